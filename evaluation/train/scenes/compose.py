"""Composition of scenes: first a description, which decides everything, then its picture and masks."""

import random
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from PIL import Image, ImageFilter

from .grounds import SIDE, Ground, random_ground, render_ground
from .stock import Cutout, Stock

PHOTOGRAPHS = 0.25
COUNTS = ((1, 0.42), (2, 0.43), (3, 0.15))
MOST = 3
SIZES = {1: (92, 172), 2: (76, 116), 3: (60, 82)}
COLUMNS = {1: ((0.2, 0.8),), 2: ((0.2, 0.38), (0.62, 0.8)), 3: ((0.15, 0.21), (0.46, 0.54), (0.79, 0.85))}
LEFT, RIGHT = 0.4, 0.6
SHADOW = 0.4
SLIM = 1.35


@dataclass(frozen=True)
class Thing:
    """An object in a scene: its centre and size as shares of the side, its turn in degrees."""

    file: str
    noun: str
    colour: str
    x: float
    y: float
    size: float
    angle: float
    mirrored: bool
    light: float


@dataclass(frozen=True)
class Scene:
    """A composed scene with its things from left to right, or an uncomposed photograph with its caption."""

    things: tuple[Thing, ...]
    ground: Ground
    caption: str = ""
    mirrored: bool = False

    def to_dict(self) -> dict[str, Any]:
        """The description as plain values, for files."""
        return asdict(self)

    @classmethod
    def from_dict(cls, values: dict[str, Any]) -> "Scene":
        """The description that to_dict gave."""
        ground = dict(values["ground"], rgb=tuple(values["ground"]["rgb"]))
        things = tuple(Thing(**thing) for thing in values["things"])
        return cls(things, Ground(**ground), values["caption"], values["mirrored"])


def side_of(thing: Thing) -> str:
    """Where a thing stands: "left", "right", or "" in the middle."""
    return "left" if thing.x < LEFT else "right" if thing.x > RIGHT else ""


def place(cutout: Cutout, count: int, column: int, rng: random.Random) -> Thing:
    """A thing in the given one of `count` columns, wholly inside the picture; slim ones are drawn larger."""
    slim = min(SLIM, (0.65 / cutout.area) ** 0.5)
    size = rng.uniform(*SIZES[count]) / SIDE * max(1, slim)
    reach = 0.5 * size
    low, high = COLUMNS[count][column]
    x = min(max(rng.uniform(low, high), reach), 1 - reach)
    y = min(max(rng.uniform(0.4, 0.72), reach), 1 - reach)
    turn, mirrored, light = rng.uniform(-15, 15), rng.random() < 0.5, rng.uniform(0.85, 1.1)
    return Thing(cutout.file, cutout.noun, cutout.colour, x, y, size, turn, mirrored, light)


def draw_cutouts(stock: Stock, count: int, rng: random.Random) -> list[Cutout]:
    """Objects that differ in noun or in colour; every noun is as likely as another."""
    chosen: list[Cutout] = []
    while len(chosen) < count:
        cutout = rng.choice(stock.by_noun[rng.choice(sorted(stock.by_noun))])
        if all((cutout.noun, cutout.colour) != (other.noun, other.colour) for other in chosen):
            chosen.append(cutout)
    return chosen


def describe(stock: Stock, index: int, photographs: float = PHOTOGRAPHS) -> Scene:
    """The scene of a number: the same split and number give the same scene.

    `photographs`: share of uncomposed photographs among the scenes.
    """
    rng = random.Random(f"{stock.split} {index}")
    if rng.random() < photographs:
        photograph = rng.choice(stock.photographs)
        ground = Ground("photograph", file=photograph.file, goods=photograph.coarse)
        return Scene((), ground, photograph.caption, rng.random() < 0.5)
    count = rng.choices(*zip(*COUNTS))[0]
    cutouts = draw_cutouts(stock, count, rng)
    things = tuple(place(cutout, count, column, rng) for column, cutout in enumerate(cutouts))
    ground = random_ground(rng, [(p.file, p.coarse) for p in stock.backdrops])
    return Scene(things, ground, mirrored=rng.random() < 0.5)


def render_thing(thing: Thing, stock: Stock) -> tuple[np.ndarray, np.ndarray]:
    """A thing alone at its place: premultiplied RGB (SIDE, SIDE, 3) and alpha (SIDE, SIDE), both in [0, 1]."""
    pixels = np.asarray(stock.cutout(thing.file), dtype=np.float32) / 255
    pixels = pixels[:, ::-1] if thing.mirrored else pixels
    scale = thing.size * SIDE / pixels.shape[0]
    turn = np.deg2rad(thing.angle)
    forward = np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]]) * scale
    inverse = np.linalg.inv(forward)
    centre = np.array([thing.x, thing.y]) * SIDE
    shift = np.array(pixels.shape[1::-1]) / 2 - inverse @ centre
    matrix = (*inverse[0], shift[0], *inverse[1], shift[1])
    premultiplied = np.concatenate([pixels[..., :3] * pixels[..., 3:], pixels[..., 3:]], -1)
    planes = [
        Image.fromarray(np.ascontiguousarray(premultiplied[..., channel])).transform(
            (SIDE, SIDE), Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR
        )
        for channel in range(4)
    ]
    stacked = np.stack([np.asarray(plane) for plane in planes], -1)
    return stacked[..., :3] * thing.light, stacked[..., 3]


def shadow_of(alpha: np.ndarray, thing: Thing) -> np.ndarray:
    """A soft shadow below a thing, in [0, 1]."""
    image = Image.fromarray((alpha * 255).astype(np.uint8))
    blurred = image.filter(ImageFilter.GaussianBlur(0.05 * thing.size * SIDE))
    return np.roll(np.asarray(blurred), round(0.06 * thing.size * SIDE), 0).astype(np.float32) / 255


def render(scene: Scene, stock: Stock) -> tuple[np.ndarray, np.ndarray]:
    """The picture, uint8 (SIDE, SIDE, 3), and what is seen of each thing, float32 (things, SIDE, SIDE)."""
    photograph = stock.photograph(scene.ground.file) if scene.ground.file else None
    picture = render_ground(scene.ground, photograph)
    picture = picture[:, ::-1] if scene.mirrored else picture
    masks = np.zeros((len(scene.things), SIDE, SIDE), dtype=np.float32)
    for number, thing in enumerate(scene.things):
        colours, alpha = render_thing(thing, stock)
        picture = picture * (1 - SHADOW * shadow_of(alpha, thing)[..., None])
        picture = picture * (1 - alpha[..., None]) + colours
        masks[:number] *= 1 - alpha
        masks[number] = alpha
    return np.clip(picture * 255 + 0.5, 0, 255).astype(np.uint8), masks
