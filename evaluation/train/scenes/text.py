"""Training of the text encoder: noun and colour can be read off at a thing's word, the whole layout at the end."""

import random
from dataclasses import dataclass
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..captions import COLOURS
from ..models import CONTEXT, make_text_encoder
from ..runtime import CsvLog, save_checkpoint
from ..text import readout
from ..tokenizer import export_tokenizer
from .compose import Scene, describe, side_of
from .grounds import KINDS
from .stock import Stock
from .tokens import CaptionTokens
from .words import Caption, random_caption

BATCH = 48
STEPS = 700
LEARNING_RATE = 1e-3
FILLER_CHANCE = 0.2
GROUNDS = ("", "in front of", *(kind for kind, _ in KINDS))
SLOTS = ("left", "middle", "right")


@dataclass(frozen=True)
class Names:
    """The names that can be asked for; index 0 of each list stands for none."""

    nouns: list[str]
    colours: list[str]
    goods: list[str]
    captions: list[str]

    @classmethod
    def of(cls, stock: Stock) -> "Names":
        """All names of a stock."""
        colours = {cutout.colour for cutout in stock.cutouts} | set(COLOURS)
        goods, captions = {p.coarse for p in stock.backdrops}, {p.caption for p in stock.photographs}
        lists = (set(stock.by_noun), colours - {""}, goods, captions)
        return cls(*(["", *sorted(names)] for names in lists))


def slot_of(scene: Scene, thing: int, text: str) -> str:
    """The place that the caption gives to a thing: one of SLOTS, or "" where it gives none."""
    if len(scene.things) == 1:
        return side_of(scene.things[0]) if " on the " in text else ""
    if len(scene.things) == 2:
        return ("left", "right")[thing] if " left of " in text or " right of " in text else ""
    return SLOTS[1] if thing == 1 and " between " in text else ""


def said_colour(caption: Caption, thing: int, colour: str) -> str:
    """The colour of a thing if the caption says it."""
    first = caption.nouns[thing][0]
    words = colour.split()
    return colour if words and list(caption.words[max(0, first - len(words)) : first]) == words else ""


def targets(scene: Scene, caption: Caption, names: Names) -> dict[str, int | list[float]]:
    """What can be read off the whole caption."""
    found: dict[str, int | list[float]] = {f"{slot} {what}": 0 for slot in SLOTS for what in ("noun", "colour")}
    present, text = [0.0] * len(names.nouns), f" {caption.text} "
    for number, thing in enumerate(scene.things if caption.words else ()):
        present[names.nouns.index(thing.noun)] = 1.0
        if slot := slot_of(scene, number, text):
            found[f"{slot} noun"] = names.nouns.index(thing.noun)
            found[f"{slot} colour"] = names.colours.index(said_colour(caption, number, thing.colour))
    ground = scene.ground
    kind = "in front of" if ground.goods else ground.kind
    told = bool(scene.things) and f" {kind}" in text
    goods = ground.goods if told and ground.goods else ""
    whole = scene.caption if caption.words and not scene.things else ""
    return found | {
        "present": present,
        "ground": GROUNDS.index(kind) if told else 0,
        "ground colour": names.colours.index(ground.colour) if told else 0,
        "goods": names.goods.index(goods),
        "caption": names.captions.index(whole),
    }


class Heads(nn.Module):
    """Linear readouts of the caption's end and of the words that name things."""

    def __init__(self, names: Names) -> None:
        super().__init__()
        nouns, colours = len(names.nouns), len(names.colours)
        sizes = {f"{slot} noun": nouns for slot in SLOTS} | {f"{slot} colour": colours for slot in SLOTS}
        sizes |= {"present": nouns, "ground": len(GROUNDS), "ground colour": colours}
        sizes |= {"goods": len(names.goods), "caption": len(names.captions)}
        self.whole = nn.ModuleDict({name: nn.Linear(CONTEXT, size) for name, size in sizes.items()})
        self.noun, self.colour = nn.Linear(CONTEXT, nouns), nn.Linear(CONTEXT, colours)

    def whole_loss(self, features: Tensor, wanted: list[dict[str, int | list[float]]]) -> Tensor:
        """Loss of the readouts at the caption's end; `features` holds as many repeats of the batch as it likes."""
        repeats, loss = len(features) // len(wanted), features.new_zeros(())
        for name, head in self.whole.items():
            goal = torch.tensor([values[name] for values in wanted], device=features.device)
            goal = goal.repeat(repeats, *[1] * (goal.dim() - 1))
            logits = head(features)
            if name == "present":
                loss = loss + 10 * F.binary_cross_entropy_with_logits(logits, goal)
            else:
                loss = loss + F.cross_entropy(logits, goal)
        return loss

    def word_loss(self, hidden: Tensor, named: Tensor, nouns: Tensor, colours: Tensor) -> Tensor:
        """Loss of noun and colour at the last token of each thing's noun; -100 where there is no thing."""
        last = (named * torch.arange(1, named.shape[-1] + 1, device=named.device)).argmax(-1)
        features = hidden.gather(1, last[..., None].expand(-1, -1, hidden.shape[-1])).flatten(0, 1)
        return F.cross_entropy(self.noun(features), nouns) + F.cross_entropy(self.colour(features), colours)


def word_targets(scenes: list[Scene], captions: list[Caption], names: Names, most: int) -> tuple[Tensor, Tensor]:
    """Noun and said colour of each thing, flattened (scenes, most); -100 where there is none."""
    nouns, colours = torch.full((len(scenes), most), -100), torch.full((len(scenes), most), -100)
    for row, (scene, caption) in enumerate(zip(scenes, captions)):
        for column, thing in enumerate(scene.things if caption.words else ()):
            nouns[row, column] = names.nouns.index(thing.noun)
            colours[row, column] = names.colours.index(said_colour(caption, column, thing.colour))
    return nouns.flatten(), colours.flatten()


def train(data: Path, work: Path, seed: int = 0, steps: int = STEPS) -> None:
    """Train the text encoder and write it with the tokenizer; a finished one is kept."""
    path = work / "text.pt"
    if path.exists():
        return
    torch.manual_seed(1 + seed)
    rng, stock = random.Random(1 + seed), Stock(data, "train")
    names, tokens = Names.of(stock), CaptionTokens(export_tokenizer(work / "tokenizer"))
    encoder, heads = make_text_encoder(), Heads(names)
    parameters = [*encoder.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.01)
    log = CsvLog(work / "text.csv", ["step", "whole", "words"])
    for step in range(1, steps + 1):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * min(1, step / 50, 0.02 + 2 * (1 - step / steps))
        scenes = [describe(stock, rng.randrange(10**6, 10**9), photographs=0.15) for _ in range(BATCH)]
        captions = [random_caption(scene, rng) for scene in scenes]
        ids, named = tokens(captions, rng if rng.random() < FILLER_CHANCE else None)
        hidden = encoder(ids).last_hidden_state
        wanted = [targets(scene, caption, names) for scene, caption in zip(scenes, captions)]
        whole = heads.whole_loss(readout(hidden, ids), wanted)
        words = heads.word_loss(hidden, named, *word_targets(scenes, captions, names, named.shape[1]))
        (whole + words).backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if step % 50 == 0:
            log.write(step=step, whole=whole.item(), words=words.item())
    save_checkpoint(path, encoder.state_dict())
