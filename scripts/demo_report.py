"""Prints what scripts/demo's report.jsonl says, as a table for people.

usage: demo_report.py [--pairs] REPORT    --pairs: "original TAB protected" of each good file
"""

import json
import sys
from pathlib import Path


def read(path):
    return [json.loads(line) for line in Path(path).read_text().splitlines()]


def percent(part, whole):
    return f"{100 * (part / whole - 1):+.0f} %" if whole else "-"


def row(outcome):
    name = Path(outcome["input"]).name
    if outcome["status"] != "OK":
        return [name, f"{outcome['status']}: {outcome['message']}"]
    report = outcome["report"]
    full = report.get("full", {})
    before, after = full.get("before", {}), full.get("after", {})
    left = full.get("after_jpeg_q75", {}).get("gain_left")
    return [
        name,
        f"{outcome['seconds']:.1f} s",
        f"{report.get('max_difference', 0)} of {report.get('budget', 0)}",
        f"{float(report.get('psnr', 'nan')):.1f} dB",
        f"{report.get('ssim', float('nan')):.3f}",
        f"{report.get('chroma_bias', float('nan')):.2f}",
        percent(after.get("denoising_loss", 0), before.get("denoising_loss", 0)),
        "-" if left is None else f"{100 * left:.0f} %",
    ]


def main(arguments):
    outcomes = read(arguments[-1])
    if arguments[0] == "--pairs":
        for outcome in outcomes:
            if outcome["status"] == "OK":
                print(outcome["input"], outcome["output"], sep="\t")
        return
    rows = [["photograph", "time", "largest change", "PSNR", "SSIM", "colour shift", "model's loss",
             "left after JPEG 75"]]
    rows += [row(outcome) for outcome in outcomes]
    widths = [max(len(r[i]) for r in rows if len(r) == len(rows[0]))
              for i in range(len(rows[0]))]
    for cells in rows:
        print("  ".join(cell.ljust(width) for cell, width in zip(cells, widths)).rstrip())


if __name__ == "__main__":
    main(sys.argv[1:])
