"""Holds deploy/prometheus and deploy/grafana to their formats, to docs/api.md and to docs/operations.md.

tests/integration/monitoring_test.py holds them to a running server. Grafana itself is not run: of the
dashboard this checks the structure and the expressions. Needs promtool and PyYAML: scripts/setup --tests.
"""

import json
import pathlib
import re
import subprocess
import tempfile
import unittest

import yaml

import promql
from deployed import tool

ROOT = pathlib.Path(__file__).resolve().parents[2]
RULES = ROOT / "deploy/prometheus/rules.yml"
RULES_TEST = ROOT / "deploy/prometheus/rules_test.yml"
DASHBOARD = ROOT / "deploy/grafana/antidiffusion.json"
# What Grafana fills in, as something that promtool accepts.
GRAFANA_VARIABLES = {"$__rate_interval": "5m", "$__range": "3h"}


def promtool(*arguments):
    return subprocess.run([tool("promtool"), *map(str, arguments)], capture_output=True, text=True, check=False)


def all_rules():
    return [rule for group in yaml.safe_load(RULES.read_text())["groups"] for rule in group["rules"]]


def recorded():
    """{name: labels} of the recording rules."""
    return {rule["record"]: promql.result_labels(rule["expr"]) for rule in all_rules() if "record" in rule}


def documented():
    return promql.of_page((ROOT / "docs/api.md").read_text())


def panels():
    return [panel for panel in json.loads(DASHBOARD.read_text())["panels"] if panel["type"] != "row"]


def targets():
    return [(panel["title"], target) for panel in panels() for target in panel["targets"]]


def expressions():
    """(where, expression) of all rules and panels."""
    yield from ((rule.get("alert") or rule["record"], rule["expr"]) for rule in all_rules())
    yield from ((title, target["expr"]) for title, target in targets())


class RulesTest(unittest.TestCase):
    def setUp(self):
        self.alerts = [rule for rule in all_rules() if "alert" in rule]

    def test_promtool_finds_the_rules_clean(self):
        checked = promtool("check", "rules", "--lint=all", "--lint-fatal", RULES)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_each_rule_does_what_its_test_says(self):
        tested = promtool("test", "rules", RULES_TEST)
        self.assertEqual(tested.returncode, 0, tested.stdout + tested.stderr)

    def test_each_alert_is_seen_firing(self):
        cases = [case for test in yaml.safe_load(RULES_TEST.read_text())["tests"]
                 for case in test.get("alert_rule_test", [])]
        fired = {case["alertname"] for case in cases if case["exp_alerts"]}
        self.assertEqual(fired, {alert["alert"] for alert in self.alerts})

    def test_each_alert_says_how_urgent_it_is_and_what_to_do(self):
        page = (ROOT / "docs/operations.md").read_text()
        anchors = {heading.strip().lower().replace(" ", "-")
                   for heading in re.findall(r"^#+ (.*)$", page, re.MULTILINE)}
        for alert in self.alerts:
            with self.subTest(alert=alert["alert"]):
                self.assertIn(alert["labels"]["severity"], ("page", "ticket"))
                self.assertEqual(set(alert["annotations"]), {"summary", "description", "runbook_url"})
                path, anchor = alert["annotations"]["runbook_url"].split("#")
                self.assertEqual(path, "docs/operations.md")
                self.assertIn(anchor, anchors)


class NamesTest(unittest.TestCase):
    def test_rules_and_panels_name_documented_metrics_and_labels(self):
        known = documented() | recorded()
        for where, expression in expressions():
            with self.subTest(where=where):
                self.assertTrue(promql.references(expression) or "up{" in expression, expression)
                self.assertEqual(promql.unknown(expression, known), [])

    def test_every_documented_metric_is_shown_or_watched(self):
        named = {promql.family(metric)[0] if metric not in documented() else metric
                 for _, expression in expressions() for metric, _ in promql.references(expression)}
        self.assertEqual(documented().keys() - named, set())


class DashboardTest(unittest.TestCase):
    def setUp(self):
        self.dashboard = json.loads(DASHBOARD.read_text())

    def test_promtool_understands_every_expression(self):
        rules = []
        for number, (_, target) in enumerate(targets()):
            expression = target["expr"]
            for name, value in GRAFANA_VARIABLES.items():
                expression = expression.replace(name, value)
            rules.append({"record": f"panel:expression:n{number}", "expr": expression})
        with tempfile.TemporaryDirectory() as folder:
            file = pathlib.Path(folder) / "rules.yml"
            file.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
            checked = promtool("check", "rules", file)
        self.assertEqual(checked.returncode, 0, checked.stdout + checked.stderr)

    def test_every_variable_is_declared(self):
        declared = {variable["name"] for variable in self.dashboard["templating"]["list"]}
        used = set(re.findall(r"\$\{?(\w+)", json.dumps(self.dashboard)))
        self.assertEqual({name for name in used if not name.startswith("__")}, declared)
        for variable in self.dashboard["templating"]["list"]:
            if variable["type"] == "query":
                self.assertEqual(promql.unknown(variable["definition"], documented()), [])
                self.assertEqual(variable["definition"], variable["query"]["query"])

    def test_every_selector_obeys_the_variables(self):
        for title, target in targets():
            for selector in re.findall(r"antidiffusion_\w+(\{[^}]*\})?", target["expr"]):
                self.assertIn('job=~"$job",instance=~"$instance"', selector, title)

    def test_legends_name_labels_that_the_result_has(self):
        for title, target in targets():
            labels = set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"]))
            result = (promql.result_labels(target["expr"]) or set()) - {"le"}
            self.assertLessEqual(labels, result, title)

    def test_panels_are_whole_and_do_not_overlap(self):
        ids = [panel["id"] for panel in self.dashboard["panels"]]
        self.assertEqual(len(ids), len(set(ids)))
        places = set()
        for panel in self.dashboard["panels"]:
            place = panel["gridPos"]
            self.assertLessEqual(place["x"] + place["w"], 24, panel["title"])
            cells = {(x, y) for x in range(place["x"], place["x"] + place["w"])
                     for y in range(place["y"], place["y"] + place["h"])}
            self.assertFalse(cells & places, panel["title"])
            places |= cells
        for panel in panels():
            self.assertTrue(panel["title"] and panel["description"])
            self.assertEqual(panel["datasource"]["uid"], "${datasource}")
            self.assertTrue(panel["fieldConfig"]["defaults"]["unit"])
            names = [target["refId"] for target in panel["targets"]]
            self.assertEqual(names, sorted(set(names)))


if __name__ == "__main__":
    unittest.main()
