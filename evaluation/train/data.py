"""The photographs as tensors: DATA/SPLIT/CLASS/NAME.jpg."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from .captions import CLASSES, COLOURS, colour_of

SIDE = 64


@dataclass(frozen=True)
class Photographs:
    """Pictures (uint8 NCHW), and for each the index of its class and of its colour."""

    pixels: Tensor
    classes: Tensor
    colours: Tensor

    def __len__(self) -> int:
        return len(self.pixels)

    def images(self, index: Tensor | slice = slice(None)) -> Tensor:
        """The chosen pictures as float in [-1, 1]."""
        return self.pixels[index].float() / 127.5 - 1


def load_split(data: Path, split: str) -> Photographs:
    """Read one split, in the order of classes and file names, at the native size."""
    pixels, classes, colours = [], [], []
    for label, name in enumerate(CLASSES):
        for path in sorted((data / split / name).glob("*.jpg")):
            with Image.open(path) as file:
                image = file.convert("RGB")
            pixels.append(np.asarray(image.resize((SIDE, SIDE), Image.Resampling.BOX)))
            classes.append(label)
            colours.append(COLOURS.index(colour_of(image)))
    if not pixels:
        raise FileNotFoundError(f"no photographs in {data / split}")
    stacked = torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).contiguous()
    return Photographs(stacked, torch.tensor(classes), torch.tensor(colours))
