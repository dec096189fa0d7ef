"""Holds the page of metrics, the rules and the dashboard to what a running server shows.

usage: ANTIDIFFUSIOND=build/bin/antidiffusiond python -m pytest tests/integration/monitoring_test.py
"""

import json
import sys

import pytest
import yaml

from running_server import ROOT, RunningServer

sys.path.insert(0, str(ROOT / "tests/deploy"))
import promql  # noqa: E402


@pytest.fixture(name="shown", scope="module")
def _shown(tmp_path_factory):
    """{family: labels} of a server that is ready and has not worked yet."""
    server = RunningServer(tmp_path_factory.mktemp("server"))
    text = server.metrics()
    server.close()
    return promql.of_exposition(text)


def rules():
    groups = yaml.safe_load((ROOT / "deploy/prometheus/rules.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def test_the_page_lists_what_the_server_shows_and_nothing_else(shown):
    assert promql.of_page((ROOT / "docs/api.md").read_text()) == shown


def test_every_rule_names_series_that_are_there(shown):
    recorded = {rule["record"]: promql.result_labels(rule["expr"])
                for rule in rules() if "record" in rule}
    for rule in rules():
        assert promql.unknown(rule["expr"], shown | recorded) == [], rule


def test_every_panel_names_series_that_are_there(shown):
    dashboard = json.loads((ROOT / "deploy/grafana/antidiffusion.json").read_text())
    targets = [target for panel in dashboard["panels"] for target in panel.get("targets", [])]
    assert len(targets) > 20
    for target in targets:
        assert promql.unknown(target["expr"], shown) == [], target["expr"]
