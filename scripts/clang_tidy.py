"""Runs clang-tidy on every source of ours in a compile database, several at a time.

A source that was clean is not read again while nothing that it depends on has changed: its record
is a hash of the source, the headers of this repository that it includes (also indirectly), the
compile command, .clang-tidy and the version of clang-tidy. Exit code 1 on any finding.

usage: clang_tidy.py BUILD_FOLDER [--jobs N] [PATH_PART...]   (only sources whose path has a part)
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
INCLUDE = re.compile(r'^\s*#\s*include\s*"([^"]+)"', re.MULTILINE)


def own_sources(database, parts):
    """(source, compile command) of each source in our folders, once each."""
    commands = {}
    for entry in database:
        path = Path(entry["directory"], entry["file"]).resolve()
        if path.is_relative_to(ROOT) and path.relative_to(ROOT).parts[0] in FOLDERS:
            if not parts or any(part in str(path.relative_to(ROOT)) for part in parts):
                commands.setdefault(path, entry.get("command", ""))
    return sorted(commands.items())


def with_headers(source):
    """The source and all headers of the repository that it reaches, in a fixed order."""
    seen, waiting = {source}, [source]
    while waiting:
        for name in INCLUDE.findall(waiting.pop().read_text(errors="replace")):
            header = ROOT / name
            if header.is_file() and header not in seen:
                seen.add(header)
                waiting.append(header)
    return sorted(seen)


def fingerprint(source, command, common):
    digest = hashlib.sha256(common + command.encode())
    for path in with_headers(source):
        digest.update(str(path.relative_to(ROOT)).encode() + path.read_bytes())
    return digest.hexdigest()


def tidy(build_folder, source):
    """clang-tidy's findings in one source; empty when it is clean."""
    run = subprocess.run(
        ["clang-tidy", "--quiet", "-p", str(build_folder), str(source)],
        capture_output=True, text=True, check=False, cwd=ROOT)
    if run.returncode == 0:
        return ""
    return run.stdout.strip() or run.stderr.strip() or f"clang-tidy exited {run.returncode}"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("build_folder", type=Path)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("parts", nargs="*")
    arguments = parser.parse_intermixed_args()

    database = json.loads((arguments.build_folder / "compile_commands.json").read_text())
    sources = own_sources(database, arguments.parts)
    if not sources:
        print("no source to check")
        return 1
    version = subprocess.run(["clang-tidy", "--version"], capture_output=True, check=True).stdout
    common = version + (ROOT / ".clang-tidy").read_bytes()
    records = arguments.build_folder / "clang-tidy-clean"
    records.mkdir(exist_ok=True)

    def work(item):
        source, command = item
        record = records / fingerprint(source, command, common)
        if record.exists():
            return source, ""
        findings = tidy(arguments.build_folder, source)
        if not findings:
            record.touch()
        return source, findings

    dirty = 0
    with ThreadPoolExecutor(arguments.jobs) as pool:
        for count, (source, findings) in enumerate(pool.map(work, sources), 1):
            print(f"[{count}/{len(sources)}] {source.relative_to(ROOT)}", flush=True)
            if findings:
                dirty += 1
                print(findings, flush=True)
    print(f"clang-tidy: {len(sources) - dirty} of {len(sources)} sources clean")
    return 1 if dirty else 0


if __name__ == "__main__":
    sys.exit(main())
