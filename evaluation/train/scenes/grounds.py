"""Grounds that scenes stand on: plain, textured by procedure, or photographed."""

import random
from dataclasses import dataclass
from functools import cache

import numpy as np
from PIL import Image

from ..captions import COLOURS, name_colours

SIDE = 256
KINDS = (("background", 0.35), ("cloth", 0.2), ("striped cloth", 0.1), ("checked cloth", 0.1), ("wooden table", 0.1))
MARGINS = ((0, 0, 0), (8, 0, 0), (-8, 0, 0), (0, 0.06, 0), (0, -0.06, 0), (0, 0, 0.08), (0, 0, -0.08))
LEAST_VALUE = {"yellow": 0.75, "green": 0.35, "red": 0.5}


@dataclass(frozen=True)
class Ground:
    """A ground: `kind` is one of KINDS or "photograph"; `colour` is empty where the caption names none."""

    kind: str
    colour: str = ""
    rgb: tuple[float, float, float] = (0.5, 0.5, 0.5)
    seed: int = 0
    file: str = ""
    goods: str = ""


@cache
def palette() -> dict[str, list[tuple[float, float, float]]]:
    """For each colour name, colours (RGB in [0, 1]) that keep it when hue, saturation or value shift a little."""
    rng = np.random.default_rng(7)
    hsv = rng.random((12000, 3)) * np.array([360, 1, 1])
    names = name_colours(hsv)
    for shift in MARGINS:
        moved = hsv + np.array(shift)
        moved[:, 0] %= 360
        names = np.where(names == name_colours(np.clip(moved, 0, [360, 1, 1])), names, "")
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in COLOURS}
    for name, (hue, saturation, value) in zip(names, hsv):
        if name and value > LEAST_VALUE.get(name, 0):
            found[name].append(to_rgb(hue, saturation, value))
    return found


def to_rgb(hue: float, saturation: float, value: float) -> tuple[float, float, float]:
    """RGB in [0, 1] of hue in degrees, saturation and value in [0, 1]."""
    k = (np.array([5.0, 3.0, 1.0]) + hue / 60) % 6
    red, green, blue = value - value * saturation * np.clip(np.minimum(k, 4 - k), 0, 1)
    return float(red), float(green), float(blue)


def random_ground(rng: random.Random, backdrops: list[tuple[str, str]]) -> Ground:
    """A ground; `backdrops` are files of photographs and the goods they show."""
    kinds, weights = zip(*KINDS)
    kind = rng.choices((*kinds, "photograph"), (*weights, 1 - sum(weights)))[0]
    seed = rng.randrange(2**31)
    if kind == "photograph":
        file, goods = rng.choice(backdrops)
        return Ground(kind, seed=seed, file=file, goods=goods)
    if kind == "wooden table":
        return Ground(kind, rgb=to_rgb(rng.uniform(22, 36), rng.uniform(0.35, 0.65), rng.uniform(0.4, 0.8)), seed=seed)
    colour = rng.choice(COLOURS)
    return Ground(kind, colour, rng.choice(palette()[colour]), seed)


def smooth_noise(rng: np.random.Generator, rows: int, columns: int) -> np.ndarray:
    """Smooth noise in [-1, 1] of `rows` by `columns` cells, (SIDE, SIDE)."""
    cells = rng.uniform(-1, 1, (rows, columns)).astype(np.float32)
    return np.asarray(Image.fromarray(cells).resize((SIDE, SIDE), Image.Resampling.BICUBIC))


def stripes(rng: np.random.Generator) -> np.ndarray:
    """Parallel stripes of any direction: 0 or 1."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    angle, count = rng.uniform(0, np.pi), rng.uniform(5, 11)
    return (((np.cos(angle) * x + np.sin(angle) * y) * count + rng.uniform()) % 1 < 0.5).astype(np.float32)


def checks(rng: np.random.Generator) -> np.ndarray:
    """A chequered pattern, 0 or 1, upright."""
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE
    count, shift = rng.uniform(6, 12), rng.uniform(0, 1, 2)
    return ((np.floor(x * count + shift[0]) + np.floor(y * count + shift[1])) % 2).astype(np.float32)


def texture(kind: str, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """The share of a lighter tint, and the brightness, of each pixel; both (SIDE, SIDE)."""
    none = np.zeros((SIDE, SIDE), dtype=np.float32)
    if kind == "striped cloth":
        return 0.55 * stripes(rng), 1 + 0.03 * smooth_noise(rng, 128, 128)
    if kind == "checked cloth":
        return 0.55 * checks(rng), 1 + 0.03 * smooth_noise(rng, 128, 128)
    if kind == "cloth":
        folds = smooth_noise(rng, 5, 5)
        return none, 1 + 0.12 * folds + 0.06 * smooth_noise(rng, 128, 128)
    if kind == "wooden table":
        planks = np.repeat(rng.uniform(0.85, 1.1, 8), 32)[:, None]
        return none, planks * (1 + 0.1 * smooth_noise(rng, 96, 4) + 0.04 * smooth_noise(rng, 128, 16))
    return none, 1 + none


def render_ground(ground: Ground, photograph: np.ndarray | None = None) -> np.ndarray:
    """The ground as float RGB in [0, 1], (SIDE, SIDE, 3); `photograph` (uint8) is the one that `file` names."""
    if ground.kind == "photograph":
        if photograph is None:
            raise ValueError(f"the ground is the photograph {ground.file!r}, which was not given")
        return photograph.astype(np.float32) / 255
    rng = np.random.default_rng(ground.seed)
    tint, light = texture(ground.kind, rng)
    base = np.array(ground.rgb, dtype=np.float32)
    colours = base + tint[..., None] * (1 - base) * 0.8
    slope = rng.uniform(-0.08, 0.08, 2)
    y, x = np.mgrid[:SIDE, :SIDE] / SIDE - 0.5
    light = light * (1 + slope[0] * x + slope[1] * y)
    return np.clip(colours * light[..., None], 0, 1).astype(np.float32)
