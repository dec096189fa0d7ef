"""Markdown table of golden parity, from the PARITY lines that the golden tests print.

usage: parity_table.py build/Testing/Temporary/LastTest.log [MODEL...]   default: all models, a column each
"""

import re
import sys

LINE = re.compile(r"PARITY (.+?) \| (.+?) \| max_dev (\S+) \| tolerance (\S+)")


def nearest(lines):
    """kind -> model -> the (deviation, tolerance) that comes nearest to its tolerance."""
    found = {}
    for line in lines:
        match = LINE.match(line)
        if not match:
            continue
        # Both modes of a trajectory are in one column, and so is a family's model under both its names.
        model, kind = match[1].split()[0].split("/")[-1], match[2]
        pair = float(match[3]), float(match[4])
        column = found.setdefault(kind, {})
        if model not in column or pair[0] / pair[1] > column[model][0] / column[model][1]:
            column[model] = pair
    return found


def main():
    with open(sys.argv[1], encoding="utf-8", errors="replace") as log:
        found = nearest(log)
    known = sorted({model for column in found.values() for model in column})
    models = [model for model in known if model in sys.argv[2:]] or known
    print("| deviation / tolerance |", " | ".join(models), "|")
    print("| --- |", " | ".join(["---"] * len(models)), "|")
    for kind, column in found.items():
        if not any(model in column for model in models):
            continue
        cells = [f"{column[m][0]:.2g} / {column[m][1]:.2g}" if m in column else "" for m in models]
        print(f"| {kind} |", " | ".join(cells), "|")


if __name__ == "__main__":
    main()
