"""A small stock of cut-outs and photographs, drawn here."""

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from evaluation.train.scenes.stock import Stock

CUTOUTS = (
    ("apple", "red apple", "red", (200, 20, 20)),
    ("apple", "green apple", "green", (30, 140, 40)),
    ("banana", "yellow banana", "yellow", (240, 210, 30)),
    ("orange", "orange", "orange", (240, 130, 20)),
)
PHOTOGRAPHS = (("carrots", "carrots", (230, 120, 40)), ("royal gala apple", "apple", (180, 40, 40)))


def write_manifest(folder: Path, rows: list[dict[str, str]]) -> None:
    """The manifest of a data set."""
    with (folder / "manifest.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder laid out as the data sets are; the three splits alike."""
    root = tmp_path_factory.mktemp("datasets")
    objects, scenes = root / "objects-128", root / "scenes-256"
    cutouts, photographs = [], []
    for split in ("train", "validation", "test"):
        for folder in (objects / split, scenes / split):
            folder.mkdir(parents=True)
        for number, (noun, caption, colour, rgb) in enumerate(CUTOUTS):
            image = Image.new("RGBA", (100, 100))
            ImageDraw.Draw(image).ellipse((4, 4, 95, 95), fill=(*rgb, 255))
            image.save(objects / split / f"{number}.webp", lossless=True)
            row = {"file": f"{split}/{number}.webp", "caption": caption, "noun": noun, "colour": colour}
            cutouts.append({**row, "split": split, "area": "0.65"})
        for number, (caption, coarse, rgb) in enumerate(PHOTOGRAPHS):
            pixels = np.random.default_rng(number).integers(-20, 20, (256, 256, 3)) + np.array(rgb)
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(scenes / split / f"{number}.jpg")
            photographs.append({"file": f"{split}/{number}.jpg", "caption": caption, "coarse": coarse, "split": split})
    write_manifest(objects, cutouts)
    write_manifest(scenes, photographs)
    return root


@pytest.fixture(scope="session")
def stock(data: Path) -> Stock:
    """The train split."""
    return Stock(data, "train")


@pytest.fixture(scope="session")
def merges() -> list[str]:
    """Merges of any letters, to stand for CLIP's."""
    letters = "abcdefghijklmnopqrstuvwxyz"
    pairs = [f"{a} {b}" for a in letters for b in letters]
    triples = [f"{a}{b} {c}" for a in letters for b in letters for c in letters]
    return (pairs + triples)[: 8192 - 514]
