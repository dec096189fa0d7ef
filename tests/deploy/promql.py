"""Which metrics, with which labels, an expression of PromQL names; and which a page or a server has.

A reader for the expressions of this repository, not a parser of the language: selectors with braces,
`sum by (labels) (...)` with the labels in front. promtool judges the grammar.
"""

import re

PREFIX = "antidiffusion_"
SCRAPED = {"job", "instance"}  # labels that Prometheus adds
_NAME = re.compile(rf"(?<![\w:])({PREFIX}\w+|\w+:{PREFIX}\w+:\w+)(?:\{{([^}}]*)\}})?")
_LABEL = re.compile(r'(\w+)\s*(?:=~|!~|!=|=)\s*"')
_BY = re.compile(r"\bby\s*\(([^)]*)\)\s*\(")
_SUFFIXES = ("_bucket", "_sum", "_count")


def _span(text, start):
    """The end of the parenthesis that opens before `start`."""
    depth = 1
    for end in range(start, len(text)):
        depth += {"(": 1, ")": -1}.get(text[end], 0)
        if depth == 0:
            return end
    raise ValueError(f"a parenthesis is not closed: {text}")


def references(expression):
    """[(metric, {label, ...})] of an expression, with the labels that it groups by."""
    groups = []
    for match in _BY.finditer(expression):
        labels = {label.strip() for label in match[1].split(",") if label.strip()}
        groups.append((match.end(), _span(expression, match.end()), labels))
    found = []
    for match in _NAME.finditer(expression):
        labels = set(_LABEL.findall(match[2] or ""))
        for start, end, of_group in groups:
            if start <= match.start() < end:
                labels |= of_group
        found.append((match[1], labels))
    return found


def result_labels(expression):
    """The labels of a result, as the outermost `by` says; None when nothing is said."""
    match = _BY.search(expression)
    return None if match is None else {label.strip() for label in match[1].split(",")}


def family(metric):
    """(family, labels that the series of a histogram have beside)."""
    for suffix in _SUFFIXES:
        if metric.endswith(suffix):
            return metric.removesuffix(suffix), {"le"} if suffix == "_bucket" else set()
    return metric, set()


def unknown(expression, known):
    """What `expression` names that `known` ({family: labels}) has not; recording rules included."""
    problems = []
    for metric, labels in references(expression):
        name, more = (metric, set()) if metric in known else family(metric)
        if name not in known:
            problems.append(f"no metric {metric}")
        elif missing := labels - known[name] - more - SCRAPED:
            problems.append(f"{metric} has no label {', '.join(sorted(missing))}")
    return problems


def of_page(text):
    """{family: labels} of the table of metrics in docs/api.md."""
    rows = text.split("### Metrics", 1)[1].split("\n### ", 1)[0].splitlines()
    known = {}
    for cells in (row.strip("|").split("|") for row in rows if row.startswith("| `")):
        labels = set(re.findall(r"`(\w+)`", cells[2])) if len(cells) > 2 else set()
        for name in re.findall(r"`([\w{},]+)`", cells[0]):
            for expanded in _expand(name):
                known[PREFIX + expanded] = labels
    return known


def _expand(name):
    """device_memory_{used,total}_bytes: both names."""
    match = re.search(r"\{([^}]*)\}", name)
    if match is None:
        return [name]
    return [name[:match.start()] + part + name[match.end():] for part in match[1].split(",")]


def of_exposition(text):
    """{family: labels} of what a server shows at /metrics."""
    types = dict(re.findall(r"^# TYPE (\w+) (\w+)$", text, re.MULTILINE))
    known = {name: set() for name in types}
    for metric, labels in re.findall(r"^(\w+)(?:\{(.*)\})? \S+$", text, re.MULTILINE):
        name = metric if metric in types else family(metric)[0]
        known[name] |= set(_LABEL.findall(labels)) - {"le"}
    return known
