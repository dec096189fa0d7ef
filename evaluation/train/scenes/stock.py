"""What scenes are made of: cut-out objects and photographs, one split of each."""

import csv
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from PIL import Image

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True)
class Cutout:
    """One view of an object; `file` is relative to the data set's folder, `area` the opaque share of the picture."""

    file: str
    noun: str
    colour: str
    area: float


@dataclass(frozen=True)
class Photograph:
    """An uncomposed photograph; `coarse` is the kind of goods it shows."""

    file: str
    caption: str
    coarse: str


def read_manifest(folder: Path, split: str) -> list[dict[str, str]]:
    """The rows of a data set's manifest that belong to the split, in the order of file names."""
    with (folder / "manifest.csv").open(newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["split"] == split]
    if not rows:
        raise FileNotFoundError(f"no pictures of split {split!r} in {folder}")
    return sorted(rows, key=lambda row: row["file"])


class Stock:
    """The objects and the photographs of one split; pictures are read when they are asked for."""

    def __init__(self, data: Path, split: str) -> None:
        self.split = split
        self.folders = {"objects": data / "objects-128", "photographs": data / "scenes-256"}
        self.cutouts = [
            Cutout(
                row["file"],
                row["noun"],
                "" if row["caption"] == row["noun"] else row["colour"],
                float(row["area"]),
            )
            for row in read_manifest(self.folders["objects"], split)
        ]
        self.photographs = [
            Photograph(row["file"], row["caption"], row["coarse"])
            for row in read_manifest(self.folders["photographs"], split)
        ]
        self.by_noun: dict[str, list[Cutout]] = {}
        for cutout in self.cutouts:
            self.by_noun.setdefault(cutout.noun, []).append(cutout)

    @cached_property
    def backdrops(self) -> list[Photograph]:
        """Photographs that show none of the objects' nouns, so that a word's place stays unambiguous."""
        return [p for p in self.photographs if not any(n in f"{p.caption} {p.coarse}" for n in self.by_noun)]

    def cutout(self, file: str) -> Image.Image:
        """An object with its alpha channel."""
        with Image.open(self.folders["objects"] / file) as image:
            return image.convert("RGBA")

    def photograph(self, file: str) -> np.ndarray:
        """A photograph, uint8 (256, 256, 3)."""
        with Image.open(self.folders["photographs"] / file) as image:
            return np.asarray(image.convert("RGB"))
