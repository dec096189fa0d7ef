"""What each method does to the same photographs, through a running server: loss, PSNR, seconds.

Protects every photograph with every setting by the command line client, all with the full report
(denoising loss on fixed probes before and after), and writes table.md, table.csv and sheet.png.

usage: python evaluation/measure_methods.py --client build/bin/antidiffusion \
           --server 127.0.0.1:8001 --output DIR PHOTO...
"""

import argparse
import csv
import json
import statistics
import subprocess
from pathlib import Path

from PIL import Image, ImageChops

SETTINGS: dict[str, list[str]] = {
    "noise": ["--method", "noise"],
    "draft": ["--effort", "draft"],
    "standard": ["--effort", "standard"],
    "standard-unseen": ["--effort", "standard", "--visibility", "0.6"],
    "paper": ["--effort", "paper"],
    "released": ["--effort", "paper", "--mode", "released"],
}
AMPLIFICATION = 8
TILE = 128  # pixels


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--client", type=Path, default=Path("build/bin/antidiffusion"))
    parser.add_argument("--server", default="127.0.0.1:8001")
    parser.add_argument("--output", type=Path, required=True, help="folder, made if missing")
    parser.add_argument("--settings", nargs="+", choices=SETTINGS, default=list(SETTINGS))
    parser.add_argument("photos", nargs="+", type=Path)
    return parser.parse_args()


def protect(args: argparse.Namespace, setting: str) -> list[dict]:
    """The client's JSON object of each photograph, in the order given."""
    folder = args.output / setting
    limit = [] if "--visibility" in SETTINGS[setting] else ["--visibility", "0"]
    command = [args.client, "protect", "--server", args.server, "--json", "--overwrite", *limit,
               "--report", "full", "--seed", "1", "--output", folder, *SETTINGS[setting],
               *args.photos]
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True,
                          check=True)
    lines = {line["input"]: line for line in map(json.loads, done.stdout.splitlines())}
    return [lines[str(photo)] for photo in args.photos]


def row(setting: str, line: dict) -> dict:
    report = line["report"]
    before, after = (report["full"][key]["denoising_loss"] for key in ("before", "after"))
    return {"setting": setting, "photo": Path(line["input"]).name, "before": before, "after": after,
            "gain_percent": 100 * (after / before - 1), "max_difference": report["max_difference"],
            "psnr": float(report["psnr"]), "ssim": report["ssim"], "seconds": line["seconds"]}


def table(rows: list[dict]) -> str:
    """Markdown: the mean of each figure by setting, and the range of the gain."""
    text = ["| setting | loss before | after | change (least .. most) | levels | PSNR dB | SSIM | s |",
            "| --- | --: | --: | --: | --: | --: | --: | --: |"]
    for setting in dict.fromkeys(found["setting"] for found in rows):
        own = [found for found in rows if found["setting"] == setting]
        mean = {key: statistics.fmean(found[key] for found in own) for key in own[0]
                if key not in ("setting", "photo")}
        gains = [found["gain_percent"] for found in own]
        text.append(
            f"| {setting} | {mean['before']:.4f} | {mean['after']:.4f} "
            f"| {mean['gain_percent']:+.1f} % ({min(gains):+.1f} .. {max(gains):+.1f}) "
            f"| {max(found['max_difference'] for found in own)} | {mean['psnr']:.1f} "
            f"| {mean['ssim']:.4f} | {mean['seconds']:.1f} |")
    return "\n".join(text) + "\n"


def sheet(outputs: dict[str, list[str]], photos: list[Path]) -> Image.Image:
    """A row a photograph: the original, then each setting's result and its amplified difference."""
    canvas = Image.new("RGB", (TILE * (1 + 2 * len(outputs)), TILE * len(photos)), "white")
    for i, photo in enumerate(photos):
        original = Image.open(photo).convert("RGB")
        tiles = [original]
        for files in outputs.values():
            image = Image.open(files[i]).convert("RGB")
            up = ImageChops.subtract(image, original, 1 / AMPLIFICATION, 128)
            tiles += [image, up]
        for column, tile in enumerate(tiles):
            canvas.paste(tile.resize((TILE, TILE)), (column * TILE, i * TILE))
    return canvas


def main() -> None:
    args = arguments()
    args.output.mkdir(parents=True, exist_ok=True)
    rows, outputs = [], {}
    for setting in args.settings:
        print(f"{setting}: {len(args.photos)} photographs", flush=True)
        lines = protect(args, setting)
        rows += [row(setting, line) for line in lines]
        outputs[setting] = [line["output"] for line in lines]
    with open(args.output / "table.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    (args.output / "table.md").write_text(table(rows), encoding="utf-8")
    sheet(outputs, args.photos).save(args.output / "sheet.png")
    print(table(rows))


if __name__ == "__main__":
    main()
