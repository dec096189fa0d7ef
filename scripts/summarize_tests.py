"""Adds up what a run of scripts/test left in its results folder and prints the closing line.

ctest.xml    JUnit, one entry a program (ctest --output-junit)
gtest/*.xml  the single cases of those programs that are GoogleTest ones, named as the program
pytest.xml   JUnit
checks.txt   lines "passed NAME" or "failed NAME"
"""

import sys
import xml.etree.ElementTree as ElementTree
from pathlib import Path


def skip_reason(skipped):
    """What a <skipped> element says; pytest puts the reason of a whole file into its text."""
    if skipped is None:
        return "disabled"
    reason = skipped.get("message") or "no reason"
    if reason == "collection skipped" and skipped.text:
        reason = skipped.text.rpartition("Skipped: ")[2].rstrip("')")
    return " ".join(reason.split())


class Tally:
    """Names of what passed, failed and was skipped (with the reason)."""

    def __init__(self):
        self.passed = []
        self.failed = []
        self.skipped = []

    def add_junit(self, path, prefix=""):
        """Counts every case of a JUnit or GoogleTest file; returns how many of them failed."""
        failed_before = len(self.failed)
        for case in ElementTree.parse(path).iter("testcase"):
            name = prefix + ".".join(filter(None, [case.get("classname"), case.get("name")]))
            skipped = case.find("skipped")
            if case.find("failure") is not None or case.find("error") is not None:
                self.failed.append(name)
            elif skipped is not None or case.get("status") in ("notrun", "disabled"):
                self.skipped.append(f"{name}: {skip_reason(skipped)}")
            else:
                self.passed.append(name)
        return len(self.failed) - failed_before

    def add_ctest(self, path, gtest_folder):
        """A GoogleTest program counts by its cases; any other one, or one that crashed, as one."""
        for case in ElementTree.parse(path).iter("testcase"):
            name = case.get("name")
            status = case.get("status")
            cases = gtest_folder / f"{name}.xml"
            skipped = case.find("skipped")
            reason = "" if skipped is None else skipped.get("message")
            if cases.exists():
                failures = self.add_junit(cases, prefix=f"{name}: ")
                if status == "fail" and failures == 0:
                    self.failed.append(f"{name}: every case passed, then the program failed")
            elif status == "run":
                self.passed.append(name)
            elif status == "disabled" or reason.startswith("SKIP_"):
                self.skipped.append(f"{name}: {reason or status}")
            else:
                self.failed.append(f"{name}: {reason or status}")

    def add_checks(self, path):
        for line in path.read_text().splitlines():
            verdict, name = line.split(" ", 1)
            (self.passed if verdict == "passed" else self.failed).append(name)


def main(folder):
    tally = Tally()
    if (folder / "ctest.xml").exists():
        tally.add_ctest(folder / "ctest.xml", folder / "gtest")
    if (folder / "pytest.xml").exists():
        tally.add_junit(folder / "pytest.xml")
    if (folder / "checks.txt").exists():
        tally.add_checks(folder / "checks.txt")
    for line in tally.skipped:
        print(f"skipped: {line}")
    for name in tally.failed:
        print(f"FAILED: {name}")
    print(f"{len(tally.passed)} passed, {len(tally.failed)} failed")
    return 1 if tally.failed or not tally.passed else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1])))
