"""Holds the documents to the program: every flag in docs/api.md, and every name in operations.md real.

usage: ANTIDIFFUSIOND=build/bin/antidiffusiond python -m pytest tests/deploy/documents_test.py
"""

import re

from deployed import KUBERNETES, ROOT, flags_of_help

API = (ROOT / "docs/api.md").read_text()
SERVER = API.partition("## Server")[2].partition("\n## Client")[0]
FREE = {"help", "version"}  # of every program


def flags_in(text):
    return set(re.findall(r"`--([a-z][a-z0-9-]+)", text))


def rows(text):
    """First cells of all tables."""
    return "\n".join(re.findall(r"^\| (.+?) \|", text, re.MULTILINE))


def test_every_flag_has_its_row():
    described = flags_in(rows(SERVER)) | {"config", "print-config"}
    assert flags_of_help() - FREE <= described, flags_of_help() - FREE - described
    assert described <= flags_of_help(), described - flags_of_help()
    assert {"config", "print-config"} <= flags_in(SERVER)


def test_operations_explains_every_flag_and_no_other():
    named = flags_in((ROOT / "docs/operations.md").read_text())
    assert named == flags_of_help() - FREE
    assert flags_in((ROOT / "docs/threat_model.md").read_text()) <= flags_of_help()


def test_links_lead_somewhere():
    for page in [*ROOT.glob("docs/*.md"), ROOT / "deploy/README.md", ROOT / "README.md"]:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text()):
            if not target.startswith(("http://", "https://")):
                assert (page.parent / target).exists(), f"{page.name}: {target}"


def test_every_overlay_is_described():
    text = (ROOT / "deploy/README.md").read_text()
    for overlay in (KUBERNETES / "overlays").iterdir():
        assert f"`{overlay.name}`" in text, overlay.name
