"""A sheet to look at: what a protection's change looks like on photographs and on drawn graphics.

    python -m evaluation.visibility_sheet --output sheet.png PHOTO...

A row for each picture: as a whole before and after, a crop of both at 400 %, and the change of the whole times ten about
grey. Two pictures are drawn: flat shapes with a soft gradient, and a window of text. Flags behind -- go to the client:

    python -m evaluation.visibility_sheet --output sheet.png PHOTO... -- --effort draft
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

CELL, ENLARGED = 384, 4
WHITE, INK = (255, 255, 255), (32, 33, 36)
PARAGRAPH = ("A photograph that is published can be copied, and a model can learn from the copy what its subject looks "
             "like. What is added here is too little to be seen, and enough to lead such a model astray.").split()


def flat_graphic() -> Image.Image:
    """Even areas, hard edges and one slow gradient."""
    picture = Image.linear_gradient("L").resize((640, 448)).convert("RGB")
    picture = Image.blend(picture, Image.new("RGB", picture.size, (120, 180, 235)), 0.8)
    draw = ImageDraw.Draw(picture)
    draw.rectangle((0, 330, 640, 448), fill=(90, 160, 90))
    draw.ellipse((430, 40, 560, 170), fill=(250, 215, 80))
    draw.polygon([(80, 330), (220, 120), (360, 330)], fill=(160, 150, 170))
    draw.rectangle((400, 230, 520, 330), fill=(205, 90, 70))
    return picture


def window_of_text() -> Image.Image:
    """Dark text on white, a grey bar, a button."""
    picture = Image.new("RGB", (640, 448), WHITE)
    draw = ImageDraw.Draw(picture)
    font, small = ImageFont.load_default(22), ImageFont.load_default(15)
    draw.rectangle((0, 0, 640, 44), fill=(236, 237, 240))
    draw.text((20, 10), "Settings - Privacy", INK, font)
    line, top = "", 70
    for word in [*PARAGRAPH, *PARAGRAPH]:
        if draw.textlength(f"{line} {word}", small) > 590:
            draw.text((20, top), line, INK, small)
            line, top = "", top + 26
        line = f"{line} {word}".strip()
    draw.text((20, top), line, INK, small)
    draw.rounded_rectangle((470, 380, 610, 424), 8, fill=(26, 115, 232))
    draw.text((505, 390), "Protect", WHITE, font)
    return picture


def flattest(picture: np.ndarray, side: int) -> tuple[int, int]:
    """Top and left of the crop with the least deviation that is neither black nor white: there a change is seen most."""
    best, place = np.inf, (0, 0)
    for top in range(0, picture.shape[0] - side + 1, side // 2):
        for left in range(0, picture.shape[1] - side + 1, side // 2):
            crop = picture[top : top + side, left : left + side].astype(float)
            if 16 < crop.mean() < 240 and crop.std((0, 1)).mean() < best:
                best, place = crop.std((0, 1)).mean(), (top, left)
    return place


def row(before: Image.Image, after: Image.Image) -> Image.Image:
    """Five cells."""
    side = CELL // ENLARGED
    first, second = np.asarray(before), np.asarray(after)
    top, left = flattest(first, side)
    change = np.clip(128 + 10 * (second.astype(int) - first), 0, 255).astype(np.uint8)
    strip = Image.new("RGB", (5 * (CELL + 8) - 8, CELL), WHITE)
    cells = [before, after]
    cells += [picture.crop((left, top, left + side, top + side)).resize((CELL, CELL), Image.Resampling.NEAREST)
              for picture in (before, after)]
    cells.append(Image.fromarray(change))
    for column, cell in enumerate(cells):
        cell.thumbnail((CELL, CELL))
        strip.paste(cell, (column * (CELL + 8), (CELL - cell.height) // 2))
    return strip


def main() -> None:
    """Draw, protect, paste."""
    own, flags = sys.argv[1:], []
    if "--" in own:
        own, flags = own[: own.index("--")], own[own.index("--") + 1 :]
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--client", type=Path, default=Path("build/bin/antidiffusion"))
    parser.add_argument("--server", default="127.0.0.1:8001")
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("photos", nargs="*", type=Path)
    args = parser.parse_args(own)
    with tempfile.TemporaryDirectory() as folder:
        pictures = [Image.open(photo).convert("RGB") for photo in args.photos] + [flat_graphic(), window_of_text()]
        files = [Path(folder) / f"{number:02d}.png" for number in range(len(pictures))]
        for picture, file in zip(pictures, files):
            picture.save(file)
        subprocess.run([args.client, "protect", "--server", args.server, "--output", Path(folder) / "out", *flags, *files],
                       check=True)
        rows = [row(picture, Image.open(next((Path(folder) / "out").glob(f"{file.stem}*"))).convert("RGB"))
                for picture, file in zip(pictures, files)]
    sheet = Image.new("RGB", (rows[0].width, len(rows) * (CELL + 8) - 8), WHITE)
    for number, strip in enumerate(rows):
        sheet.paste(strip, (0, number * (CELL + 8)))
    sheet.save(args.output)


if __name__ == "__main__":
    main()
