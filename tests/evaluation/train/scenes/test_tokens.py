"""Tokens of captions, and what the text encoder is asked to tell."""

import random
from pathlib import Path

import pytest

pytest.importorskip("diffusers", reason="evaluation/train/requirements.txt is not installed")

from transformers import CLIPTokenizer  # noqa: E402

from evaluation.train.scenes.compose import describe  # noqa: E402
from evaluation.train.scenes.stock import Stock  # noqa: E402
from evaluation.train.scenes.text import Names, said_colour, targets  # noqa: E402
from evaluation.train.scenes.tokens import CaptionTokens  # noqa: E402
from evaluation.train.scenes.words import Caption, compose_caption  # noqa: E402

TOKENIZER = Path(__file__).resolve().parents[4] / "models" / "clothing" / "tokenizer"


@pytest.fixture(scope="module")
def tokenizer() -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(TOKENIZER)


def test_ids_are_those_of_the_whole_text(tokenizer: CLIPTokenizer, stock: Stock) -> None:
    captions = [compose_caption(describe(stock, n), random.Random(n), full=True) for n in range(30)]
    ids, named = CaptionTokens(tokenizer)(captions)
    for row, spoken, caption in zip(ids.tolist(), named, captions):
        assert row == tokenizer(caption.text, padding="max_length").input_ids
        for thing, (first, last) in enumerate(caption.nouns):
            tokens = [token for token, said in zip(row, spoken[thing].tolist()) if said]
            assert tokenizer.decode(tokens).split() == list(caption.words[first:last])


def test_a_filler_moves_the_named_tokens_along(tokenizer: CLIPTokenizer) -> None:
    caption = Caption(("a", "red", "apple"), ((2, 3),))
    tokens = CaptionTokens(tokenizer)
    apple = tokens.word("apple")
    for seed in range(20):
        row, ((first, last),) = tokens.row(caption, random.Random(seed))
        assert row[first:last] == apple


def test_only_what_is_said_is_asked_for(stock: Stock) -> None:
    names = Names.of(stock)
    scene = next(s for n in range(300) if len((s := describe(stock, n)).things) == 2 and s.things[0].colour)
    full = compose_caption(scene, random.Random(0), full=True)
    wanted = targets(scene, full, names)
    assert names.nouns[wanted["left noun"]] == scene.things[0].noun
    assert names.nouns[wanted["right noun"]] == scene.things[1].noun
    assert said_colour(full, 0, scene.things[0].colour) == scene.things[0].colour
    empty = targets(scene, Caption(()), names)
    assert not any(value for name, value in empty.items() if name != "present") and not any(empty["present"])
    bare = Caption(("a", "x", "and", "a", "y"), ((1, 2), (4, 5)))
    assert targets(scene, bare, names)["left noun"] == 0 == targets(scene, bare, names)["ground"]
