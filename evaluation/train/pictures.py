"""The sample sheet and the training curves."""

import csv
from pathlib import Path

import matplotlib
import torch
from diffusers import StableDiffusionPipeline
from PIL import Image, ImageDraw
from torch import Tensor

from .captions import CLASSES, NOUNS, caption
from .data import SIDE, load_split
from .gates import EDIT_STRENGTH, spread
from .sampling import edit, sample
from .vae import reconstruct

matplotlib.use("Agg")
from matplotlib import pyplot as plt  # noqa: E402

MARGIN = 92
SEEDS = 4
SHOWN = 12


def to_image(picture: Tensor) -> Image.Image:
    """A picture in [-1, 1] as an image."""
    pixels = ((picture + 1) * 127.5).round().clamp(0, 255).byte()
    return Image.fromarray(pixels.permute(1, 2, 0).numpy())


def draw_sheet(rows: list[tuple[str, Tensor]], path: Path) -> None:
    """Rows of pictures, each with its label, at their own size, in a palette to keep the file small."""
    width = max(len(pictures) for _, pictures in rows)
    sheet = Image.new("RGB", (MARGIN + width * SIDE, len(rows) * SIDE), "white")
    draw = ImageDraw.Draw(sheet)
    for y, (label, pictures) in enumerate(rows):
        draw.text((3, y * SIDE + SIDE // 2 - 6), label, fill="black")
        for x, picture in enumerate(pictures):
            sheet.paste(to_image(picture), (MARGIN + x * SIDE, y * SIDE))
    sheet.quantize(256, dither=Image.Dither.NONE).save(path, optimize=True)


def sample_sheet(pipe: StableDiffusionPipeline, path: Path) -> None:
    """Ten classes at four seeds, then the same class in four colours."""
    rows = []
    for number, name in enumerate(CLASSES):
        texts = [f"a photo of a {NOUNS[name]}"] * SEEDS + [caption(name, c) for c in ("red", "blue", "black", "white")]
        rows.append((NOUNS[name], sample(pipe, texts, seed=21 + number)))
    draw_sheet(rows, path)


def edit_sheet(pipe: StableDiffusionPipeline, data: Path, path: Path) -> None:
    """Test photographs, their reconstruction, and edits of them to red and to blue."""
    chosen = spread(load_split(data, "test"), SHOWN)
    images, rows = chosen.images(), []
    names = [CLASSES[y] for y in chosen.classes.tolist()]
    rows += [("photograph", images), ("reconstructed", reconstruct(pipe.vae, images))]
    for colour in ("red", "blue"):
        edited = edit(pipe, images, [caption(n, colour) for n in names], EDIT_STRENGTH, seed=12)
        rows.append((f"edited: {colour}", edited))
    draw_sheet(rows, path)


def draw_pictures(model: Path, data: Path, folder: Path) -> None:
    """Write both sheets of the exported model into `folder`."""
    pipe = StableDiffusionPipeline.from_pretrained(model, torch_dtype=torch.float32)
    sample_sheet(pipe, folder / "samples.png")
    edit_sheet(pipe, data, folder / "edits.png")


def columns(path: Path) -> dict[str, tuple[list[float], list[float]]]:
    """Each column of a log: the steps at which it was written, and its values."""
    found: dict[str, tuple[list[float], list[float]]] = {}
    with path.open() as file:
        for row in csv.DictReader(file):
            for name, cell in row.items():
                if cell:
                    steps, values = found.setdefault(name, ([], []))
                    steps.append(float(row["step"]))
                    values.append(float(cell))
    return found


def draw_curves(work: Path, path: Path) -> None:
    """Quality of the autoencoder and loss of the denoiser against steps."""
    figure, (left, middle, right) = plt.subplots(1, 3, figsize=(12, 3.2))
    vae, unet = columns(work / "vae.csv"), columns(work / "unet.csv")
    left.plot(*vae["psnr"], ".-")
    left.set(title="VAE: PSNR, validation split", xlabel="step", ylabel="dB")
    middle.plot(*unet["loss"], ".-")
    middle.set(title="UNet: weighted training loss", xlabel="step", yscale="log")
    for mode in ("right", "wrong_class", "wrong_colour", "empty"):
        right.plot(*unet[mode], ".-", label=mode.replace("_", " "))
    right.set(title="UNet: validation noise error by caption", xlabel="step")
    right.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=80, pil_kwargs={"optimize": True})
    plt.close(figure)


def thin_log(source: Path, target: Path, rows: int = 150) -> None:
    """A log cut to about `rows` rows, those with validation figures kept."""
    with source.open() as file:
        head, *body = list(csv.reader(file))
    stride = max(1, len(body) // rows)
    kept = [row for i, row in enumerate(body) if row[-1] or i % stride == 0 or i == len(body) - 1]
    with target.open("w", newline="") as file:
        csv.writer(file).writerows([head, *kept])
