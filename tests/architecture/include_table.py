"""Holds every #include of base/, core/, server/ and client/ to the tables of docs/architecture.md.

The page is the single source. Its first table has a row for each folder: which folders (or single
headers) of the project its files may include, and which third-party libraries, perhaps in `.cc`
files only. Its second table tells which headers belong to which library. A file may not reach a
library that its row does not name, through headers of other folders either: so `server` stays free
of torch although it includes headers of `core/protect`.

usage: include_table.py [REPOSITORY]   prints each violation; exit code 1 if there is one
"""

import re
import sys
from dataclasses import dataclass, field
from pathlib import Path

FOLDERS_HEADING = "| folder | may include | third party |"
LIBRARIES_HEADING = "| library | its headers |"
CHECKED = ("base", "core", "server", "client")
CC_ONLY = re.compile(r"\s+in `?\.cc`? files only$")
INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*([<"])([^>"]+)[>"]', re.MULTILINE)
# What POSIX and Linux bring along, beside the C++ headers, whose names have no dot.
SYSTEM = re.compile(r"^(sys|linux|netinet|arpa)/|^(fcntl|poll|pthread|sched|signal|spawn|unistd)\.h$"
                    r"|^(errno|limits|math|stdint|stdio|stdlib|string|time)\.h$|^\w+intrin\.h$")
GENERATED = re.compile(r"\.pb\.h$")


class TableError(Exception):
    """The page does not hold what this check reads."""


@dataclass
class Row:
    """What the files of one folder may include."""

    own: list  # folders and single headers of the project
    libraries: set
    cc_only: set = field(default_factory=set)


@dataclass
class Tables:
    rows: dict  # folder -> Row
    libraries: dict  # name -> prefixes of its headers

    def folder_of(self, path):
        """The folder of the table that holds a file: the longest that fits, or None."""
        fitting = [name for name in self.rows if path.startswith(name + "/")]
        return max(fitting, key=len, default=None)

    def library_of(self, header):
        for name, prefixes in self.libraries.items():
            if any(header == p or (p.endswith("/") and header.startswith(p)) for p in prefixes):
                return name
        return None


def _table(text, heading):
    lines = text.splitlines()
    if heading not in lines:
        raise TableError(f"docs/architecture.md has no table with the heading {heading}")
    for line in lines[lines.index(heading) + 2:]:
        if not line.startswith("|"):
            return
        yield [cell.strip() for cell in line.strip().strip("|").split("|")]


def _names(cell):
    return [name.strip(" `") for name in cell.split(",") if name.strip(" `-")]


def read_tables(text):
    libraries = {name.strip("`"): _names(headers)
                 for name, headers in _table(text, LIBRARIES_HEADING)}
    rows = {}
    for folder, own, third_party in _table(text, FOLDERS_HEADING):
        row = Row(own=_names(own), libraries=set())
        for part in third_party.split(";"):
            names = set(_names(CC_ONLY.sub("", part.strip())))
            unknown = names - libraries.keys()
            if unknown:
                raise TableError(f"{folder}: no library is called {', '.join(sorted(unknown))}")
            (row.cc_only if CC_ONLY.search(part.strip()) else row.libraries).update(names)
        rows[folder.strip("`")] = row
    return Tables(rows, libraries)


class Checker:
    def __init__(self, repository, tables):
        self.repository = repository
        self.tables = tables
        self.reached_by = {}

    def includes(self, path):
        """(line number, header, quoted) of each #include of a file."""
        text = (self.repository / path).read_text(errors="replace")
        for match in INCLUDE.finditer(text):
            yield text.count("\n", 0, match.start()) + 1, match[2], match[1] == '"'

    def is_own(self, header):
        return GENERATED.search(header) is None and (self.repository / header).is_file()

    def reached_libraries(self, path):
        """Library -> the file that includes it, for one file and all own headers it reaches."""
        if path not in self.reached_by:
            self.reached_by[path] = reached = {}  # set first: an include circle ends here
            for _, header, _ in self.includes(path):
                if self.is_own(header):
                    reached.update(self.reached_libraries(header))
                elif library := self.tables.library_of(header):
                    reached[library] = path
        return self.reached_by[path]

    def check_include(self, path, row, header, quoted):
        """What is wrong with one #include, or None."""
        if library := self.tables.library_of(header):
            if library in row.cc_only and not path.endswith(".cc"):
                return f"{header}: {library} only in .cc files"
            if library not in row.libraries | row.cc_only:
                return f"{header}: {library} is not in the folder's row"
            return None
        if GENERATED.search(header):
            return None if "proto" in row.own else f"{header}: proto is not in the folder's row"
        if self.is_own(header):
            folder = self.tables.folder_of(path)
            allowed = header.startswith(folder + "/") or header in row.own or any(
                self.tables.folder_of(header) == name for name in row.own)
            return None if allowed else f"{header}: not in the folder's row"
        if quoted:
            return f"{header}: neither a file from the repository's root nor of a known library"
        if "." in header and not SYSTEM.search(header):
            return f"{header}: of no known library"
        return None

    def check_file(self, path):
        folder = self.tables.folder_of(path)
        if folder is None:
            yield f"{path}: its folder has no row in docs/architecture.md"
            return
        row = self.tables.rows[folder]
        for line, header, quoted in self.includes(path):
            if problem := self.check_include(path, row, header, quoted):
                yield f"{path}:{line}: {problem}"
        for library, via in sorted(self.reached_libraries(path).items()):
            if via != path and library not in row.libraries | row.cc_only:
                yield f"{path}: reaches {library} through {via}"

    def check_all(self):
        for top in CHECKED:
            for file in sorted((self.repository / top).rglob("*")):
                if file.suffix in (".h", ".cc"):
                    yield from self.check_file(str(file.relative_to(self.repository)))


def main(repository):
    text = (repository / "docs" / "architecture.md").read_text()
    problems = list(Checker(repository, read_tables(text)).check_all())
    print("\n".join(problems) or "every include is in the table")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1] if len(sys.argv) > 1 else Path(__file__).parents[2])))
