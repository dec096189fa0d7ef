"""Runs clang-tidy on every source of ours in a compile database, several at a time.

Sources that are compiled in one batch are read in one go, since most of the time goes into the
headers that they share. With parts of paths only the sources that have one are read, each alone.

What was clean is not read again while nothing that it depends on has changed: its record is a hash
of the sources, the headers of this repository that they include (also indirectly), the compile
command, .clang-tidy and the version of clang-tidy. Exit code 1 on any finding.

usage: clang_tidy.py BUILD_FOLDER [--jobs N] [PATH_PART...]
"""

import argparse
import hashlib
import json
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FOLDERS = ("base", "core", "server", "client", "tests")
BATCHES = "Unity"  # the folder of CMake's batches
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)


def is_own(path):
    return path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in FOLDERS


def read_units(database):
    """{what is compiled: (its sources of ours, its entry)}: a source, or the file of a batch."""
    units = {}
    for entry in database:
        path = Path(entry["directory"], entry["file"]).resolve()
        sources = [path]
        if path.parent.name == BATCHES:
            sources = [Path(name) for name in INCLUDE.findall(path.read_text())]
        sources = [source for source in sources if is_own(source)]
        if sources:
            units.setdefault(path, (sources, entry))
    return units


def write_singles(units, parts, folder):
    """Writes a compile database in which each source that has a part stands alone; its units."""
    entries = {}
    for unit, (sources, entry) in units.items():
        for source in sources:
            if any(part in str(source.relative_to(ROOT)) for part in parts):
                command = entry["command"].replace(str(unit), str(source))
                entries.setdefault(source, {**entry, "file": str(source), "command": command})
    folder.mkdir(exist_ok=True)
    (folder / "compile_commands.json").write_text(json.dumps(list(entries.values())))
    return {source: ([source], entry) for source, entry in entries.items()}


def with_headers(sources):
    """The sources and all headers of the repository that they reach, in a fixed order."""
    seen, waiting = set(sources), list(sources)
    while waiting:
        for name in INCLUDE.findall(waiting.pop().read_text(errors="replace")):
            header = ROOT / name
            if header.is_file() and header not in seen:
                seen.add(header)
                waiting.append(header)
    return sorted(seen)


def fingerprint(sources, command, common):
    digest = hashlib.sha256(common + command.encode())
    for path in with_headers(sources):
        digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()


def tidy(build_folder, source):
    """clang-tidy's findings in one source or batch; empty when it is clean."""
    command = ["clang-tidy", "--quiet", "-p", str(build_folder), str(source)]
    if source.parent.name == BATCHES:
        command.insert(1, "--checks=-bugprone-suspicious-include")  # a batch is nothing else
    run = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=ROOT)
    if run.returncode == 0:
        return ""
    return run.stdout.strip() or run.stderr.strip() or f"clang-tidy exited {run.returncode}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build_folder", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("parts", nargs="*")
    arguments = parser.parse_intermixed_args()

    folder = arguments.build_folder
    units = read_units(json.loads((folder / "compile_commands.json").read_text()))
    if arguments.parts:
        folder = folder / "singles"
        units = write_singles(units, arguments.parts, folder)
    if not units:
        print("no source to check")
        return 1
    version = subprocess.run(["clang-tidy", "--version"], capture_output=True, check=True).stdout
    common = version + (ROOT / ".clang-tidy").read_bytes()
    records = arguments.build_folder / "clang-tidy-clean"
    records.mkdir(exist_ok=True)

    def work(unit):
        sources, entry = units[unit]
        record = records / fingerprint(sources, entry.get("command", ""), common)
        if record.exists():
            return unit, ""
        findings = tidy(folder, unit)
        if not findings:
            record.touch()
        return unit, findings

    total = sum(len(sources) for sources, _ in units.values())
    done = dirty = 0
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for unit, findings in pool.map(work, sorted(units)):
            sources, _ = units[unit]
            done += len(sources)
            for source in sources:
                print(f"[{done}/{total}] {source.relative_to(ROOT)}", flush=True)
            if findings:
                dirty += len(sources)
                print(findings, flush=True)
    print(f"clang-tidy: {total - dirty} of {total} sources clean")
    return 1 if dirty else 0


if __name__ == "__main__":
    sys.exit(main())
