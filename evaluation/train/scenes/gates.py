"""Gates of the captions: whether samples show the asked thing, side and colour, by a judge of stated accuracy."""

import json
import random
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..gates import Gate, at_least
from . import judge as judging
from .compose import Scene, describe, side_of
from .evaluate import Model
from .sheets import sample
from .stock import Stock
from .words import compose_caption

SAMPLES = 200
OWN = 200
BATCH = 25
PLAIN = ("background", "cloth")


@dataclass(frozen=True)
class Marks:
    """Shares of right answers, and of how many questions."""

    thing: float
    side: float
    colour: float
    asked: tuple[int, int, int]


def mark(judge: judging.Judge, odds: Tensor, scenes: list[Scene]) -> Marks:
    """Hold what the judge sees against what the scenes say."""
    things, sides, colours = [], [], []
    for seen, scene in zip(odds, scenes):
        things += judging.finds(judge, seen, [thing.noun for thing in scene.things])
        for thing in scene.things:
            if side_of(thing) and [t.noun for t in scene.things].count(thing.noun) == 1:
                sides.append(judging.stands_on(judge, seen, thing.noun, side_of(thing)))
            if len(judging.columns_of(judge, thing.noun)) > 1:
                colours.append(judging.has_colour(judge, seen, thing.colour, thing.noun))
    shares = [sum(answers) / max(1, len(answers)) for answers in (things, sides, colours)]
    return Marks(*shares, (len(things), len(sides), len(colours)))


def asked_scenes(stock: Stock, count: int, seed: int = 31) -> list[Scene]:
    """Scenes of one or two things on grounds of one colour, to ask samples of."""
    rng, scenes = random.Random(seed), []
    while len(scenes) < count:
        scene = describe(stock, rng.randrange(10**9, 2 * 10**9), photographs=0)
        if len(scene.things) < 3 and scene.ground.kind in PLAIN:
            scenes.append(scene)
    return scenes


def own_marks(judge: judging.Judge, stock: Stock) -> Marks:
    """The judge's own accuracy on composed scenes of a split."""
    images, _, scenes = judging.draw(stock, judge.phrases, list(range(OWN)))
    with torch.no_grad():
        odds = torch.cat([judge(part) for part in images.split(BATCH)])
    return mark(judge, odds, scenes)


def sample_marks(judge: judging.Judge, model: Model, stock: Stock, side: int, guidance: float) -> Marks:
    """What the judge finds in samples of the model."""
    scenes = asked_scenes(stock, SAMPLES)
    texts = [compose_caption(scene, random.Random(n), full=True).text for n, scene in enumerate(scenes)]
    odds = []
    for start in range(0, SAMPLES, BATCH):
        pictures = sample(model, texts[start : start + BATCH], side, guidance, seed=100 + start)
        small = torch.nn.functional.interpolate(pictures, (judging.SIDE,) * 2, mode="area")
        with torch.no_grad():
            odds.append(judge(small))
    return mark(judge, torch.cat(odds), scenes)


def run(work: Path, data: Path, model: Model, side: int, guidance: float) -> list[Gate]:
    """Measure and write `gates-captions.json` into `work`."""
    judge = judging.load(work)
    own, marks = own_marks(judge, Stock(data, "test")), sample_marks(judge, model, Stock(data, "train"), side, guidance)
    bounds = {"thing": 0.7, "side": 0.75, "colour": 0.7}
    gates = []
    for place, (name, bound) in enumerate(bounds.items()):
        note = f"{marks.asked[place]} asked; judge's own accuracy on the test split {getattr(own, name):.3f}"
        gates.append(at_least(f"samples with the asked {name}", getattr(marks, name), bound, note))
    (work / "gates-captions.json").write_text(json.dumps([asdict(gate) for gate in gates], indent=1))
    return gates
