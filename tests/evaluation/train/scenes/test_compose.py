"""Composition: the same every time, masks where the things are, captions that tell the truth."""

import random

import numpy as np
import pytest
from PIL import Image

from evaluation.train.captions import COLOURS, colour_of, name_colours
from evaluation.train.scenes.compose import Scene, describe, render, side_of
from evaluation.train.scenes.grounds import Ground, palette, render_ground
from evaluation.train.scenes.stock import Stock
from evaluation.train.scenes.words import (
    compose_caption,
    random_caption,
    with_wrong_colours,
    with_wrong_ground,
    with_wrong_sides,
)

SCENES = 60


@pytest.fixture(scope="module")
def scenes(stock: Stock) -> list[Scene]:
    return [describe(stock, number) for number in range(SCENES)]


def centre(mask: np.ndarray) -> tuple[float, float]:
    """Centre of gravity, as shares of the side."""
    y, x = np.indices(mask.shape) / mask.shape[0]
    return float((x * mask).sum() / mask.sum()), float((y * mask).sum() / mask.sum())


def test_a_number_gives_the_same_scene_and_picture(stock: Stock) -> None:
    for number in range(4):
        first, second = describe(stock, number), describe(stock, number)
        assert first == second
        assert np.array_equal(render(first, stock)[0], render(second, stock)[0])
    assert describe(stock, 0) != describe(stock, 1)


def test_another_split_gives_another_scene(data, stock: Stock) -> None:
    assert describe(stock, 1) != describe(Stock(data, "validation"), 1)


def test_descriptions_survive_files(scenes: list[Scene]) -> None:
    assert [Scene.from_dict(scene.to_dict()) for scene in scenes] == scenes


def test_a_quarter_is_uncomposed(stock: Stock) -> None:
    share = np.mean([not describe(stock, number).things for number in range(2000)])
    assert share == pytest.approx(0.25, abs=0.04)


def test_things_lie_inside_and_where_they_are_said_to_be(scenes: list[Scene], stock: Stock) -> None:
    for scene in scenes:
        _, masks = render(scene, stock)
        edge = np.concatenate([masks[:, 0], masks[:, -1], masks[:, :, 0], masks[:, :, -1]], 1)
        assert edge.max(initial=0) < 0.5
        if len(scene.things) == 1:
            (thing,) = scene.things
            assert centre(masks[0]) == pytest.approx((thing.x, thing.y), abs=0.02)


def test_masks_hold_what_is_seen_once(scenes: list[Scene], stock: Stock) -> None:
    for scene in scenes:
        _, masks = render(scene, stock)
        assert masks.sum(0).max(initial=0) <= 1.001
        assert all(mask.mean() > 0.01 for mask in masks)


def test_a_mask_covers_pixels_of_the_things_colour(stock: Stock) -> None:
    scene = next(s for n in range(200) if len((s := describe(stock, n)).things) == 1 and s.things[0].noun == "banana")
    picture, masks = render(scene, stock)
    inside = Image.fromarray(np.broadcast_to(picture[masks[0] > 0.99].mean(0), (64, 64, 3)).astype(np.uint8))
    assert colour_of(inside) == "yellow"


def test_captions_tell_sides_truly(scenes: list[Scene]) -> None:
    for number, scene in enumerate(scenes):
        caption = compose_caption(scene, random.Random(number), full=True)
        spoken = [" ".join(caption.words[first:last]) for first, last in caption.nouns]
        assert spoken == [thing.noun for thing in scene.things]
        if len(scene.things) == 2:
            (left, right), (first, second) = scene.things, caption.nouns
            assert left.x < right.x
            assert ("left of" in caption.text) == (first < second)
            assert ("right of" in caption.text) == (first > second)
        if len(scene.things) == 1:
            side = side_of(scene.things[0])
            assert (f"on the {side}" in caption.text) == bool(side)


def test_captions_tell_colours_truly(scenes: list[Scene]) -> None:
    for number, scene in enumerate(scenes):
        caption = compose_caption(scene, random.Random(number), full=True)
        for thing, (first, _) in zip(scene.things, caption.nouns):
            if thing.colour:
                assert caption.words[first - 1] == thing.colour.split()[-1]


def test_a_thing_named_by_its_colour_gets_no_adjective(stock: Stock) -> None:
    assert {cutout.colour for cutout in stock.by_noun["orange"]} == {""}


def test_backdrops_show_no_noun_of_a_thing(stock: Stock) -> None:
    assert [photograph.caption for photograph in stock.backdrops] == ["carrots"]


@pytest.mark.parametrize("kind", ["background", "cloth"])
def test_grounds_have_the_colour_that_captions_tell(kind: str) -> None:
    for colour in COLOURS:
        mean = render_ground(Ground(kind, colour, palette()[colour][0], seed=1)).mean((0, 1))
        hsv = np.asarray(Image.fromarray((mean * 255).astype(np.uint8)[None, None]).convert("HSV"), dtype=float)
        assert name_colours(hsv / 255 * np.array([360, 1, 1])).item() == colour


def test_captions_are_dropped_as_often_as_asked(scenes: list[Scene]) -> None:
    rng = random.Random(0)
    empty = [not random_caption(scenes[n % SCENES], rng, 0.1).words for n in range(3000)]
    assert np.mean(empty) == pytest.approx(0.1, abs=0.02)


def test_wrong_captions_are_wrong_in_one_respect(scenes: list[Scene]) -> None:
    told = 0
    for number, scene in enumerate(scenes):
        right = compose_caption(scene, random.Random(number), full=True).text
        rng = random.Random(number)
        changes = (with_wrong_sides(scene), with_wrong_colours(scene, rng), with_wrong_ground(scene, rng))
        for other in changes:
            if other:
                wrong = compose_caption(other, random.Random(number), full=True).text
                assert wrong != right
                assert sorted(t.noun for t in other.things) == sorted(t.noun for t in scene.things)
                told += 1
    assert told > SCENES // 2
