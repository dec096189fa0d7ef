"""Captions of scenes, true in noun, colour, side and ground, with the place of each thing's noun."""

import random
from dataclasses import dataclass, replace

from ..captions import COLOURS
from .compose import Scene, Thing, side_of
from .grounds import Ground

DROP = 0.1
SAY_COLOUR, SAY_SIDE, SAY_GROUND, SAY_PHOTO = 0.8, 0.7, 0.8, 0.3
THING_COLOURS = ("red", "green", "yellow", "orange", "brown", "purple", "pink", "blue", "black")


@dataclass(frozen=True)
class Caption:
    """Words of a caption; `nouns` holds, for each thing from left to right, the words [first, last) that name it."""

    words: tuple[str, ...]
    nouns: tuple[tuple[int, int], ...] = ()

    @property
    def text(self) -> str:
        """The caption as it is given to the tokenizer."""
        return " ".join(self.words)


class Wording:
    """Collects words, and where the nouns of things stand."""

    def __init__(self) -> None:
        self.words: list[str] = []
        self.nouns: dict[int, tuple[int, int]] = {}

    def say(self, text: str) -> "Wording":
        """Add plain words."""
        self.words += text.split()
        return self

    def name(self, number: int, thing: Thing, colour: bool) -> "Wording":
        """Add a thing with its article, and its colour where asked."""
        phrase = f"{thing.colour} {thing.noun}" if colour and thing.colour else thing.noun
        self.say(f"{'an' if phrase[0] in 'aeiou' else 'a'} {phrase}")
        self.nouns[number] = (len(self.words) - len(thing.noun.split()), len(self.words))
        return self


def ground_words(ground: Ground) -> str:
    """The end of a caption: what the things stand on or before."""
    if ground.kind == "photograph":
        return f"in front of {ground.goods}"
    phrase = f"{ground.colour} {ground.kind}".strip()
    return f"on {'an' if phrase[0] in 'aeiou' else 'a'} {phrase}"


def arrangement(count: int, side: bool, rng: random.Random) -> list[int | str]:
    """The order in which things (numbers, from left to right) are named, and the words between them."""
    if count == 2 and side:
        return rng.choice(([0, "left of", 1], [1, "right of", 0]))
    if count == 3 and side:
        return rng.choice(([1, "between", 0, "and", 2], [1, "between", 2, "and", 0]))
    order = rng.sample(range(count), count)
    return [part for number in order for part in ("and", number)][1:]


def compose_caption(scene: Scene, rng: random.Random, full: bool = False) -> Caption:
    """A caption in one of the wordings; with `full` it says colours, sides and ground."""
    said = Wording()
    if full or not scene.things or rng.random() < SAY_PHOTO:
        said.say("a photo of")
    if not scene.things:
        return Caption(tuple(said.say(scene.caption).words))
    side = full or rng.random() < SAY_SIDE
    for part in arrangement(len(scene.things), side, rng):
        if isinstance(part, str):
            said.say(part)
        else:
            said.name(part, scene.things[part], full or rng.random() < SAY_COLOUR)
    if len(scene.things) == 1 and side and side_of(scene.things[0]):
        said.say(f"on the {side_of(scene.things[0])}")
    if full or rng.random() < SAY_GROUND:
        said.say(ground_words(scene.ground))
    return Caption(tuple(said.words), tuple(said.nouns[n] for n in range(len(scene.things))))


def random_caption(scene: Scene, rng: random.Random, drop: float = DROP) -> Caption:
    """A caption for training: empty, for classifier-free guidance, with chance `drop`."""
    if rng.random() < drop:
        return Caption(())
    return compose_caption(scene, rng)


def with_wrong_sides(scene: Scene) -> Scene | None:
    """The description with left and right exchanged; None where its caption names no side."""
    if len(scene.things) == 2:
        return replace(scene, things=scene.things[::-1])
    if len(scene.things) == 1 and side_of(scene.things[0]):
        (thing,) = scene.things
        return replace(scene, things=(replace(thing, x=1 - thing.x),))
    return None


def with_wrong_colours(scene: Scene, rng: random.Random) -> Scene | None:
    """The description with other colours of the things; None where its caption names none."""
    if not any(thing.colour for thing in scene.things):
        return None
    things = (
        replace(t, colour=rng.choice([c for c in THING_COLOURS if c not in t.colour])) if t.colour else t
        for t in scene.things
    )
    return replace(scene, things=tuple(things))


def with_wrong_ground(scene: Scene, rng: random.Random) -> Scene | None:
    """The description with another colour of the ground; None where its caption names none."""
    if not scene.things or not scene.ground.colour:
        return None
    colour = rng.choice([c for c in COLOURS if c != scene.ground.colour])
    return replace(scene, ground=replace(scene.ground, colour=colour))
