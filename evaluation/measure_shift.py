"""How far a protection moves a photograph in the latent spaces of encoders in and not in its loop.

Protects every photograph with every setting by the command line client, and draws sign noise of the
same energy for each result; then encodes original, result and noise with each encoder and writes
table.md and table.csv: the relative latent shift |z(x') - z(x)| / |z(x)|, mean over photographs with
its 95 % bootstrap interval.

The server's repository must hold --model and the encoders' folders under their names, e.g.

    mkdir REPOSITORY && ln -s $PWD/models/clothing ENCODERS/{taesd,taesdxl,taef1} REPOSITORY
    build/bin/antidiffusiond --model-repository REPOSITORY --grpc-address 127.0.0.1 &
    python -m evaluation.measure_shift --encoders ENCODERS --output DIR PHOTO...
"""

import argparse
import csv
import json
import subprocess
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderTiny
from PIL import Image

from evaluation.metrics.statistics import bootstrap

ENCODERS = ("taesd", "taesdxl", "taef1")
LEVELS_PER_UNIT = 127.5


def settings(model: str, steps: int) -> dict[str, list[str]]:
    """Client flags by name of the setting."""
    schedule = ["--pgd-steps", str(steps), "--prompt-steps", "0", "--seed", "1"]
    also = {name: ["--also", name] for name in ENCODERS}
    every = [word for words in also.values() for word in words]
    found = {f"away on {name}": ["--model", name, "--objective", "away"] for name in ENCODERS}
    for left_out in ENCODERS:
        first, second = (name for name in ENCODERS if name != left_out)
        found[f"away on {first}, {second}"] = ["--model", first, "--objective", "away",
                                               *also[second]]
    found["away on all three"] = ["--model", ENCODERS[0], "--objective", "away",
                                  *also[ENCODERS[1]], *also[ENCODERS[2]]]
    found[f"denoising of {model}"] = ["--model", model, "--objective", "denoising"]
    found[f"denoising of {model} + away on all three"] = ["--model", model, "--objective",
                                                         "denoising", *every]
    return {name: [*flags, *schedule] for name, flags in found.items()}


def usual_arguments(description: str) -> argparse.ArgumentParser:
    """A command line with what every measurement of files needs."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--client", type=Path, default=Path("build/bin/antidiffusion"))
    parser.add_argument("--server", default="127.0.0.1:8001")
    parser.add_argument("--model", default="clothing", help="the model with a denoiser")
    parser.add_argument("--encoders", type=Path, required=True, help="folder of taesd and its like")
    parser.add_argument("--output", type=Path, required=True, help="folder, made if missing")
    parser.add_argument("photos", nargs="+", type=Path)
    return parser


def arguments() -> argparse.Namespace:
    parser = usual_arguments(__doc__.split("\n")[0])
    parser.add_argument("--steps", type=int, default=30, help="PGD steps of every setting")
    return parser.parse_args()


def run_client(args: argparse.Namespace, folder: Path, flags: list[str]) -> dict[str, dict]:
    """The client's report of every photograph, by the photograph's path; the files go to `folder`."""
    command = [args.client, "protect", "--server", args.server, "--json", "--overwrite",
               "--output", folder, *flags, *args.photos]
    done = subprocess.run([str(word) for word in command], stdout=subprocess.PIPE, text=True,
                          check=True)
    return {line["input"]: line for line in map(json.loads, done.stdout.splitlines())}


def protect(args: argparse.Namespace, name: str, flags: list[str]) -> list[Path]:
    """The protected files, in the order of the photographs."""
    folder = args.output / name.replace(" ", "-").replace(",", "")
    lines = run_client(args, folder, ["--visibility", "0", *flags])
    return [Path(lines[str(photo)]["output"]) for photo in args.photos]


def pixels(path: Path) -> np.ndarray:
    return np.asarray(Image.open(path).convert("RGB"), np.float32)


def sign_noise(original: np.ndarray, protected: np.ndarray, seed: int) -> np.ndarray:
    """The original plus or minus one number, so chosen that the change has the same mean square."""
    size = float(np.sqrt(np.mean(np.square(protected - original))))
    signs = np.random.default_rng(seed).choice([-1.0, 1.0], original.shape)
    return np.clip(original + size * signs, 0, 255).astype(np.float32)


@torch.no_grad()
def encode(encoder: AutoencoderTiny, image: np.ndarray) -> torch.Tensor:
    """The latent of the largest middle part whose sides 8 divides."""
    height, width = (side // 8 * 8 for side in image.shape[:2])
    tensor = torch.from_numpy(image[:height, :width]).permute(2, 0, 1)[None]
    return encoder.encode(tensor / LEVELS_PER_UNIT - 1).latents


def shift(encoder: AutoencoderTiny, original: np.ndarray, changed: np.ndarray) -> float:
    before = encode(encoder, original)
    return float((encode(encoder, changed) - before).norm() / before.norm())


def measure(args: argparse.Namespace, encoders: dict[str, AutoencoderTiny]) -> list[dict]:
    rows = []
    for name, flags in settings(args.model, args.steps).items():
        print(f"{name}: {len(args.photos)} photographs", flush=True)
        for seed, (photo, file) in enumerate(zip(args.photos, protect(args, name, flags))):
            original, protected = pixels(photo), pixels(file)
            change = float(np.mean(np.square(protected - original)))
            for kind, image in (("protected", protected),
                                ("sign noise", sign_noise(original, protected, seed))):
                rows.append({"setting": name, "photo": photo.name, "kind": kind,
                             "psnr": 10 * np.log10(255 ** 2 / change),
                             **{key: shift(encoder, original, image)
                                for key, encoder in encoders.items()}})
    return rows


def table(rows: list[dict]) -> str:
    """Markdown; **bold** where the encoder was in the loop, as the setting's name says."""
    text = ["| what PGD used | PSNR dB | " + " | ".join(ENCODERS) + " |",
            "| --- | --: | " + " | ".join("--:" for _ in ENCODERS) + " |"]
    for setting in dict.fromkeys(row["setting"] for row in rows):
        for kind in ("protected", "sign noise"):
            own = [row for row in rows if row["setting"] == setting and row["kind"] == kind]
            cells = []
            for name in ENCODERS:
                found = bootstrap([row[name] for row in own])
                within = "all three" in setting or name in setting.replace(",", "").split()
                mark = "**" if within and kind == "protected" else ""
                cells.append(f"{mark}{found.mean:.2f}{mark} [{found.low:.2f}, {found.high:.2f}]")
            label = setting if kind == "protected" else "... sign noise of that energy"
            text.append(f"| {label} | {np.mean([row['psnr'] for row in own]):.1f} | "
                        + " | ".join(cells) + " |")
    return "\n".join(text) + "\n"


def main() -> None:
    args = arguments()
    args.output.mkdir(parents=True, exist_ok=True)
    encoders = {name: AutoencoderTiny.from_pretrained(args.encoders / name).eval()
                for name in ENCODERS}
    rows = measure(args, encoders)
    with open(args.output / "table.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, rows[0].keys())
        writer.writeheader()
        writer.writerows(rows)
    (args.output / "table.md").write_text(table(rows), encoding="utf-8")
    print(table(rows))


if __name__ == "__main__":
    main()
