"""Pictures to look at: samples of the denoiser, and where its words look on held-out scenes."""

import random
from pathlib import Path

import torch
import torch.nn.functional as F
from PIL import Image, ImageDraw
from torch import Tensor

from ..pictures import to_image
from ..sampling import denoise
from .attention import word_maps
from .cache import Cached, load_cache, to_tensor
from .compose import render
from .evaluate import Model, composed, look
from .stock import Stock
from .words import compose_caption

PROMPTS = (
    "a red apple on a white background",
    "a green apple on a blue cloth",
    "a yellow banana on a wooden table",
    "a strawberry on the left on a green background",
    "a strawberry on the right on a green background",
    "a lemon left of a red tomato on a gray background",
    "a red tomato left of a lemon on a gray background",
    "a green pear and a purple plum on a yellow cloth",
    "a kiwi between a banana and an orange on a pink background",
    "a red apple in front of cucumber",
    "a photo of carrots",
    "a photo of royal gala apple",
)
COLUMNS = 6
MARGIN = 150
SHOWN = 12
LABEL = 14


def wrapped(text: str, width: int = 24) -> str:
    """A text in lines of about `width` letters."""
    lines = [""]
    for word in text.split():
        if len(lines[-1]) + len(word) > width:
            lines.append("")
        lines[-1] = f"{lines[-1]} {word}".strip()
    return "\n".join(lines)


def sample(model: Model, texts: list[str], side: int, guidance: float, seed: int) -> Tensor:
    """One picture a text, of latents of the given side."""
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(len(texts), model.unet.config.in_channels, side, side, generator=generator)
    return denoise(model, noise, texts, guidance=guidance)


def sample_sheet(model: Model, side: int, guidance: float, path: Path) -> None:
    """A row a prompt, a column a seed."""
    pictures = [sample(model, list(PROMPTS), side, guidance, seed) for seed in range(COLUMNS)]
    size = pictures[0].shape[-1]
    sheet = Image.new("RGB", (MARGIN + COLUMNS * size, len(PROMPTS) * size), "white")
    draw = ImageDraw.Draw(sheet)
    for row, prompt in enumerate(PROMPTS):
        draw.text((3, row * size + size // 3), wrapped(prompt), fill="black")
        for column, batch in enumerate(pictures):
            sheet.paste(to_image(batch[row]), (MARGIN + column * size, row * size))
    sheet.save(path, optimize=True)


def heat(picture: Tensor, word: Tensor) -> Image.Image:
    """A picture dimmed, with a word's map over it in red; the map's maximum is full red."""
    size = picture.shape[-1]
    large = F.interpolate(word[None, None], (size, size), mode="nearest")[0, 0]
    weight = (large / large.max().clamp(min=1e-9))[None]
    red = torch.tensor([1.0, -1.0, -1.0])[:, None, None]
    return to_image((picture * 0.5) * (1 - weight) + red * weight)


def attention_sheet(model: Model, scenes: Cached, stock: Stock, path: Path, timestep: int = 500) -> None:
    """A row a scene: the picture, then for each thing its word's map at the two finest sides that hear the text."""
    maps, named = look(model, scenes, timestep)
    sides = list(maps)[:2]
    words = {side: word_maps(maps[side], named) for side in sides}
    size = scenes.latents.shape[-1] * 8
    most = max(len(scene.things) for scene in scenes.scenes)
    height = size + LABEL
    sheet = Image.new("RGB", ((1 + most * len(sides)) * size, len(scenes) * height), "white")
    draw = ImageDraw.Draw(sheet)
    for row, scene in enumerate(scenes.scenes):
        picture = to_tensor(render(scene, stock)[0], size)
        sheet.paste(to_image(picture), (0, row * height + LABEL))
        draw.text((2, row * height + 1), compose_caption(scene, random.Random(row), full=True).text, fill="black")
        for thing in range(len(scene.things)):
            for column, side in enumerate(sides):
                left = (1 + thing * len(sides) + column) * size
                sheet.paste(heat(picture, words[side][row, thing]), (left, row * height + LABEL))
    sheet.save(path, optimize=True)


def draw(model: Model, latents: Path, stock: Stock, guidance: float, path: Path) -> None:
    """Both sheets: `path` with -samples.png and -attention.png added."""
    cached = load_cache(latents, "validation")
    sample_sheet(model, cached.latents.shape[-1], guidance, path.with_name(f"{path.name}-samples.png"))
    attention_sheet(model, composed(cached, SHOWN), stock, path.with_name(f"{path.name}-attention.png"))
