"""Captions and colour labels."""

import random

import numpy as np
import pytest
from PIL import Image

from evaluation.train.captions import CLASSES, COLOURS, TEMPLATES, all_captions, caption, colour_of, random_caption


@pytest.mark.parametrize(
    ("rgb", "name"),
    [
        ((200, 20, 20), "red"),
        ((30, 60, 200), "blue"),
        ((30, 140, 40), "green"),
        ((240, 210, 30), "yellow"),
        ((240, 130, 20), "orange"),
        ((110, 60, 20), "brown"),
        ((215, 190, 160), "beige"),
        ((240, 150, 170), "pink"),
        ((110, 50, 190), "purple"),
        ((15, 15, 18), "black"),
        ((128, 128, 128), "gray"),
        ((245, 245, 245), "white"),
    ],
)
def test_plain_colours_get_their_names(rgb: tuple[int, int, int], name: str) -> None:
    assert colour_of(Image.new("RGB", (128, 128), rgb)) == name


def test_the_middle_decides() -> None:
    pixels = np.full((128, 128, 3), 250, dtype=np.uint8)
    pixels[36:92, 36:92] = (200, 20, 20)
    assert colour_of(Image.fromarray(pixels)) == "red"


def test_captions_name_class_and_colour() -> None:
    assert caption("outwear", "red") == "a photo of a red jacket"
    assert caption("t-shirt", "blue", "a {noun}") == "a t-shirt"


def test_template_chances_sum_to_one() -> None:
    assert sum(weight for _, weight in TEMPLATES) == pytest.approx(1)


def test_random_captions_are_known_and_dropped_as_often_as_asked() -> None:
    rng, known = random.Random(0), set(all_captions())
    drawn = [random_caption(rng.choice(CLASSES), rng.choice(COLOURS), rng, 0.25) for _ in range(4000)]
    assert set(drawn) <= known
    assert drawn.count("") / len(drawn) == pytest.approx(0.25, abs=0.03)


def test_all_captions_are_distinct() -> None:
    texts = all_captions()
    assert texts[0] == ""
    assert len(set(texts)) == len(texts)
