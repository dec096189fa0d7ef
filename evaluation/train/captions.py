"""Classes, colour names and captions of the photographs."""

import random

import numpy as np
from PIL import Image

CLASSES = ("dress", "hat", "longsleeve", "outwear", "pants", "shirt", "shoes", "shorts", "skirt", "t-shirt")
NOUNS = {name: name for name in CLASSES} | {"outwear": "jacket"}
COLOURS = ("beige", "black", "blue", "brown", "gray", "green", "orange", "pink", "purple", "red", "white", "yellow")

TEMPLATES = (
    ("a photo of a {colour} {noun}", 0.45),
    ("a photo of a {noun}", 0.15),
    ("a photo of a sks {noun}", 0.05),
    ("{colour} {noun}", 0.15),
    ("a {noun}", 0.1),
    ("a {colour} {noun}", 0.1),
)

HUE_NAMES = (
    (14, "red"),
    (40, "orange"),
    (68, "yellow"),
    (165, "green"),
    (255, "blue"),
    (290, "purple"),
    (345, "pink"),
    (361, "red"),
)


def name_colours(hsv: np.ndarray) -> np.ndarray:
    """Colour name of each pixel; hue in degrees, saturation and value in [0, 1], shape (..., 3)."""
    hue, sat, val = hsv[..., 0], hsv[..., 1], hsv[..., 2]
    bounds = [bound for bound, _ in HUE_NAMES]
    names = np.array([name for _, name in HUE_NAMES], dtype=object)[np.digitize(hue, bounds)]
    names[(names == "red") & (sat < 0.5) & (val > 0.6)] = "pink"
    names[(names == "orange") & (val < 0.6)] = "brown"
    names[(names == "orange") & (sat < 0.45)] = "beige"
    names[(names == "yellow") & (sat < 0.35)] = "beige"
    grey = (sat < 0.16) | ((sat < 0.24) & (val < 0.5))
    names[grey] = "gray"
    names[grey & (val > 0.72)] = "white"
    names[val < 0.24] = "black"
    return names


def colour_of(image: Image.Image) -> str:
    """The commonest colour name in the middle of a photograph, where the garment is."""
    width, height = image.size
    box = (int(0.27 * width), int(0.27 * height), int(0.73 * width), int(0.73 * height))
    middle = image.crop(box).resize((30, 30), Image.Resampling.BOX).convert("HSV")
    hsv = np.asarray(middle, dtype=np.float32) / 255 * np.array([360, 1, 1], dtype=np.float32)
    names, counts = np.unique(name_colours(hsv).astype(str), return_counts=True)
    return str(names[counts.argmax()])


def caption(class_name: str, colour: str, template: str = TEMPLATES[0][0]) -> str:
    """The caption of a garment."""
    return template.format(colour=colour, noun=NOUNS[class_name])


def random_caption(class_name: str, colour: str, rng: random.Random, drop: float) -> str:
    """A caption in one of the wordings; empty, for classifier-free guidance, with probability `drop`."""
    if rng.random() < drop:
        return ""
    templates, weights = zip(*TEMPLATES)
    return caption(class_name, colour, rng.choices(templates, weights)[0])


def all_captions() -> list[str]:
    """Every caption the training can ask for, the empty one first."""
    texts = {caption(c, k, t) for c in CLASSES for k in COLOURS for t, _ in TEMPLATES}
    return ["", *sorted(texts)]
