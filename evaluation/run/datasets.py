"""What is protected and attacked: folders of subjects and of photographs with an edit prompt.

    SUBJECTS/NAME/*.(jpg|png)            the published photographs of one subject
    SUBJECTS/NAME/held_out/*.(jpg|png)   others of the same subject, never seen by protection or attack
    SUBJECTS/NAME/class.txt              what the subject is, one word (default: person)

    EDITS/NAME/photo.(jpg|png)           the layout of the Defense-Edit data set
    EDITS/NAME/prompt.txt                what the edit shall make of it
    EDITS/NAME/source.txt                what is in it (default: empty)
    EDITS/NAME/contrast.txt              the prompt with red for blue or blue for red: then it is measured
                                         whether the edit follows its prompt (default: not)
"""

import random
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, ImageEnhance

from ..metrics.images import opened
from ..train.captions import CLASSES, NOUNS, caption, colour_of

KINDS = (".jpg", ".jpeg", ".png")
VIEWS = 4  # published, and as many held out


@dataclass(frozen=True)
class SubjectFolder:
    name: str
    noun: str
    published: list[Path]
    held_out: list[Path]


@dataclass(frozen=True)
class EditFolder:
    name: str
    photo: Path
    source: str
    target: str
    contrast: str


def pictures(folder: Path) -> list[Path]:
    """The pictures of a folder, by name."""
    return sorted(path for path in folder.glob("*") if path.suffix.lower() in KINDS)


def text_of(path: Path, default: str) -> str:
    return path.read_text(encoding="utf-8").strip() if path.exists() else default


def subjects(folder: Path) -> list[SubjectFolder]:
    """The subjects, by name. ValueError: one without published or without held-out photographs."""
    found = []
    for path in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
        subject = SubjectFolder(path.name, text_of(path / "class.txt", "person"), pictures(path),
                                pictures(path / "held_out"))
        if not subject.published or not subject.held_out:
            raise ValueError(f"{path}: needs photographs, and others in held_out/")
        found.append(subject)
    return found


def edits(folder: Path) -> list[EditFolder]:
    """The photographs to be edited, by name. ValueError: a folder without photo or prompt."""
    found = []
    for path in sorted(entry for entry in folder.iterdir() if entry.is_dir()):
        photos = [photo for photo in pictures(path) if photo.stem == "photo"]
        prompt = text_of(path / "prompt.txt", "")
        if not photos or not prompt:
            raise ValueError(f"{path}: needs photo.(jpg|png) and prompt.txt")
        found.append(EditFolder(path.name, photos[0], text_of(path / "source.txt", ""), prompt,
                                text_of(path / "contrast.txt", "")))
    return found


def view(image: Image.Image, side: int, rng: random.Random) -> Image.Image:
    """The garment as another photograph of it might show it: nearer, off the middle, mirrored, lighter or darker."""
    width = image.width
    edge = round(width * rng.uniform(0.8, 0.98))
    left, top = rng.randint(0, width - edge), rng.randint(0, width - edge)
    seen = image.crop((left, top, left + edge, top + edge))
    if rng.random() < 0.5:
        seen = seen.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    seen = ImageEnhance.Brightness(seen).enhance(rng.uniform(0.9, 1.1))
    return seen.resize((side, side), Image.Resampling.BICUBIC)


def spread(paths: list[Path], count: int) -> list[Path]:
    return [paths[i * len(paths) // count] for i in range(count)]


def write_clothing(data: Path, folder: Path, side: int, subject_count: int, edit_count: int) -> None:
    """Both layouts from the test split of the clothing photographs (DATA/test/CLASS/NAME.jpg); the same every time.

    That data set has one photograph a garment, so a subject's photographs are views of it (`view`).
    """
    for i in range(subject_count):
        name = CLASSES[(3 * i) % len(CLASSES)]
        source = spread(pictures(data / "test" / name), 10)[i % 10]
        home, rng = folder / "subjects" / f"{i:02d}-{name}", random.Random(i)
        (home / "held_out").mkdir(parents=True, exist_ok=True)
        (home / "class.txt").write_text(NOUNS[name] + "\n")
        image = opened(source)
        for number in range(2 * VIEWS):
            place = home if number < VIEWS else home / "held_out"
            view(image, side, rng).save(place / f"{number}.png")
    for i in range(edit_count):
        name = CLASSES[(7 * i) % len(CLASSES)]
        source = spread(pictures(data / "test" / name), 12)[(i + 5) % 12]
        home = folder / "edits" / f"{i:02d}-{name}"
        home.mkdir(parents=True, exist_ok=True)
        image = opened(source)
        colour = colour_of(image)
        other = "red" if colour in ("blue", "black", "gray", "purple", "green", "white") else "blue"
        image.resize((side, side), Image.Resampling.BICUBIC).save(home / "photo.png")
        (home / "source.txt").write_text(caption(name, colour) + "\n")
        (home / "prompt.txt").write_text(caption(name, other) + "\n")
        (home / "contrast.txt").write_text(caption(name, "blue" if other == "red" else "red") + "\n")
