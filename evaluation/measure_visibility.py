"""What the refinements of visibility gain at equal visibility: the texture mask and the frequency weight.

Protects every photograph with every setting at several budgets by the command line client, and measures how strong the
attack is and how visible the change: PSNR-HVS-M (contrast sensitivity and masking, Ponomarenko et al. 2007) and HaarPSI
(Reisenhofer et al. 2018), of luma. For each photograph and measure of visibility, the strength of a setting is taken, by
interpolation over the logarithm of the budget, where it is as visible as the plain attack at 6.375 levels. Writes
table.csv, all runs, and table.md: the ratio to the plain attack, mean over photographs with its 95 % bootstrap interval.

The server's repository must hold --model and taesd (see evaluation.measure_shift). Needs requirements-visibility.txt.
"""

import argparse
import csv
from pathlib import Path
from typing import Any

import numpy as np
import psnr_hvsm
import torch
from diffusers import AutoencoderTiny
from piq import haarpsi

from evaluation.measure_shift import pixels, run_client, shift, usual_arguments
from evaluation.metrics.statistics import bootstrap

PLAIN, USUAL = "plain", 6.375
BUDGETS = (USUAL, 8.0, 12.0, 18.0)
OFF = ["--texture", "0", "--frequency-power", "0"]
SETTINGS = {
    PLAIN: OFF,
    "texture 0.5": ["--texture", "0.5", *OFF[2:]],
    "texture 1": ["--texture", "1", *OFF[2:]],
    "frequency 0.3": [*OFF[:2], "--frequency-power", "0.3"],
    "frequency 1": [*OFF[:2], "--frequency-power", "1"],
    "texture 1, frequency 0.3": ["--texture", "1", "--frequency-power", "0.3"],
}
MEASURES = ("psnr_hvsm", "haarpsi")
ENCODER = "taesd"


def attacks(model: str) -> dict[str, list[str]]:
    """Client flags of what is attacked."""
    usual = ["--seed", "1", "--prompt-steps", "0", "--pgd-steps", "20"]
    return {
        "encoder": ["--model", ENCODER, "--objective", "away", *usual],
        "denoising": ["--model", model, "--objective", "denoising", "--report", "full", *usual],
    }


def luma(image: np.ndarray) -> np.ndarray:
    """BT.601, in 0..1."""
    return image @ np.array([0.299, 0.587, 0.114], np.float32) / 255


def whole_blocks(image: np.ndarray) -> np.ndarray:
    """The largest part whose sides 8 divides."""
    height, width = (side // 8 * 8 for side in image.shape[:2])
    return image[:height, :width]


def visibility(original: np.ndarray, changed: np.ndarray) -> dict[str, float]:
    """Higher is less visible, of both."""
    before, after = (whole_blocks(luma(image)) for image in (original, changed))
    hvsm = psnr_hvsm.psnr_hvs_hvsm_np(before, after)[1]
    tensors = (torch.from_numpy(image)[None, None] for image in (before, after))
    return {"psnr_hvsm": float(hvsm), "haarpsi": float(haarpsi(*tensors))}


def strength(attack: str, report: dict[str, Any], encoder: AutoencoderTiny, photo: Path) -> float:
    """Relative shift of the latent, or relative rise of the denoising loss."""
    if attack == "encoder":
        return shift(encoder, pixels(photo), pixels(Path(report["output"])))
    full = report["report"]["full"]
    return full["after"]["denoising_loss"] / full["before"]["denoising_loss"] - 1


def write(rows: list[dict[str, Any]], path: Path) -> None:
    """As CSV."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    """One row for each attack, setting, budget and photograph; written down as they come."""
    encoder, rows = AutoencoderTiny.from_pretrained(args.encoders / ENCODER).eval(), []
    for attack, goal in attacks(args.model).items():
        for setting, flags in SETTINGS.items():
            for budget in BUDGETS if setting != PLAIN else (USUAL,):
                print(f"{attack}, {setting}, {budget} levels", flush=True)
                reports = run_client(args, args.output / "files", [*goal, *flags, "--budget", str(budget)])
                for photo in args.photos:
                    report = reports[str(photo)]
                    seen = visibility(pixels(photo), pixels(Path(report["output"])))
                    rows.append({"attack": attack, "setting": setting, "budget": budget, "photo": photo.name, **seen,
                                 "strength": strength(attack, report, encoder, photo)})
                write(rows, args.output / "table.csv")
    return rows


def at_equal_visibility(rows: list[dict[str, Any]], plain: list[dict[str, Any]], measured: str) -> tuple[float, float]:
    """Of one photograph: the strength, and the budget, where it is as visible as the plain attack at the usual one."""
    wanted = next(row[measured] for row in plain if row["budget"] == USUAL)
    rows = sorted(rows, key=lambda row: row[measured])  # more visible first
    logs = np.interp(wanted, [row[measured] for row in rows], [np.log(row["budget"]) for row in rows])
    order = sorted(rows, key=lambda row: row["budget"])
    found = np.interp(logs, [np.log(row["budget"]) for row in order], [row["strength"] for row in order])
    return float(found), float(np.exp(logs))


def chosen(rows: list[dict[str, Any]], **wanted: Any) -> list[dict[str, Any]]:
    """The rows with these values."""
    return [row for row in rows if all(row[key] == value for key, value in wanted.items())]


def table(rows: list[dict[str, Any]]) -> str:
    """Markdown: strength as a multiple of the plain attack's, at equal budget and at equal visibility."""
    text = ["| attack | setting | equal budget | equal PSNR-HVS-M (budget) | equal HaarPSI (budget) |",
            "| --- | --- | --: | --: | --: |"]
    photos = list(dict.fromkeys(row["photo"] for row in rows))
    for attack in dict.fromkeys(row["attack"] for row in rows):
        for setting in SETTINGS:
            ratios: dict[str, list[float]] = {name: [] for name in ("budget", *MEASURES)}
            budgets: dict[str, list[float]] = {name: [] for name in MEASURES}
            for photo in photos:
                plain = chosen(rows, attack=attack, setting=PLAIN, photo=photo)
                own = chosen(rows, attack=attack, setting=setting, photo=photo)
                usual, same = (next(row["strength"] for row in found if row["budget"] == USUAL) for found in (plain, own))
                ratios["budget"].append(same / usual)
                for name in MEASURES:
                    found, budget = at_equal_visibility(own, plain, name)
                    ratios[name].append(found / usual)
                    budgets[name].append(budget)
            cells = []
            for name, values in ratios.items():
                found = bootstrap(values)
                levels = f" ({np.mean(budgets[name]):.1f})" if name in budgets else ""
                cells.append(f"{found.mean:.2f} [{found.low:.2f}, {found.high:.2f}]{levels}")
            text.append(f"| {attack} | {setting} | " + " | ".join(cells) + " |")
    return "\n".join(text) + "\n"


def main() -> None:
    """Measure, and write both tables."""
    args = usual_arguments(__doc__.split("\n")[0]).parse_args()
    args.output.mkdir(parents=True, exist_ok=True)
    text = table(measure(args))
    (args.output / "table.md").write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
