"""The judge of samples: finds which things ("red apple") stand where in a picture. Trained on fresh scenes."""

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ..judge import WIDTHS, Block
from ..runtime import save_checkpoint
from .cache import to_tensor
from .compose import Scene, describe, render, side_of
from .stock import Stock

SIDE = 128
BATCH = 32
LEARNING_RATE = 2e-3
FRESH = 2 * 10**9
REGIONS = ("whole", "left", "right")


Phrase = tuple[str, str]


def phrases_of(stock: Stock) -> list[Phrase]:
    """Colour and noun of everything that can stand in a scene, in alphabetical order."""
    return sorted({(cutout.colour, cutout.noun) for cutout in stock.cutouts})


class Judge(nn.Module):
    """Residual blocks and a readout at each of 8x8 places; a region says what its best places say."""

    def __init__(self, phrases: list[Phrase]) -> None:
        super().__init__()
        sizes = (WIDTHS[0], *WIDTHS)
        self.phrases = phrases
        self.stem = nn.Conv2d(3, WIDTHS[0], 3, padding=1)
        self.blocks = nn.Sequential(*(Block(a, b) for a, b in zip(sizes, sizes[1:])))
        self.readout = nn.Conv2d(WIDTHS[-1], len(phrases), 1)

    def forward(self, images: Tensor) -> Tensor:
        """Log odds of each phrase in each region, (N, regions, phrases), of pictures of SIDE pixels."""
        places = self.readout(F.dropout2d(self.blocks(F.relu(self.stem(images))), 0.1, self.training))
        middle = places.shape[-1] // 2
        parts = (places, places[..., :middle], places[..., middle:])
        return torch.stack([part.flatten(2).logsumexp(-1) - math.log(part[0, 0].numel()) for part in parts], 1)


def labels_of(scene: Scene, phrases: list[Phrase]) -> Tensor:
    """What stands in each region: 1 or 0; -1 where a thing in the middle leaves it open."""
    labels = torch.zeros(len(REGIONS), len(phrases))
    for thing in scene.things:
        column = phrases.index((thing.colour, thing.noun))
        labels[0, column] = 1
        side = side_of(thing)
        for region in (1, 2):
            labels[region, column] = -1 if not side else float(REGIONS[region] == side)
    return labels


def draw(stock: Stock, phrases: list[Phrase], numbers: list[int]) -> tuple[Tensor, Tensor, list[Scene]]:
    """Composed scenes of the numbers: pictures, labels, descriptions."""
    scenes = [describe(stock, number, photographs=0) for number in numbers]
    images = torch.stack([to_tensor(render(scene, stock)[0], SIDE) for scene in scenes])
    return images, torch.stack([labels_of(scene, phrases) for scene in scenes]), scenes


def augment(images: Tensor) -> Tensor:
    """Recolour slightly, soften some, and add the grain that decoded samples have."""
    n = len(images)
    soft = F.interpolate(F.avg_pool2d(images, 2), scale_factor=2.0, mode="bilinear")
    images = torch.where(torch.rand(n, 1, 1, 1) < 0.5, soft, images)
    images = images * (0.9 + 0.2 * torch.rand(n, 3, 1, 1)) + 0.1 * (torch.rand(n, 1, 1, 1) - 0.5)
    return images + 0.06 * torch.rand(n, 1, 1, 1) * torch.randn_like(images)


def train(data: Path, work: Path, steps: int) -> None:
    """Train the judge; a finished one is kept."""
    path, stock = work / "judge.pt", Stock(data, "train")
    if path.exists():
        return
    torch.manual_seed(9)
    phrases = phrases_of(stock)
    judge = Judge(phrases)
    optimizer = torch.optim.AdamW(judge.parameters(), lr=LEARNING_RATE, weight_decay=0.05)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
        images, labels, _ = draw(stock, phrases, [FRESH + step * BATCH + n for n in range(BATCH)])
        losses = F.binary_cross_entropy_with_logits(judge(augment(images)), labels.clamp(min=0), reduction="none")
        loss = (losses * (labels >= 0)).sum((1, 2)).mean()
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % 50 == 0:
            print(f"judge: step {step + 1} of {steps}, loss {loss.item():.3f}", flush=True)
    save_checkpoint(path, {"phrases": phrases, "judge": judge.state_dict()})


def load(work: Path) -> Judge:
    """The trained judge."""
    state = torch.load(work / "judge.pt", weights_only=False)
    judge = Judge(state["phrases"])
    judge.load_state_dict(state["judge"])
    return judge.eval().requires_grad_(False)


def columns_of(judge: Judge, noun: str) -> list[int]:
    """The phrases that name a noun, in whatever colour."""
    return [column for column, phrase in enumerate(judge.phrases) if phrase[1] == noun]


def finds(judge: Judge, odds: Tensor, nouns: list[str]) -> list[bool]:
    """Whether each asked noun is among the picture's likeliest as many nouns; `odds` (regions, phrases)."""
    names = sorted({noun for _, noun in judge.phrases})
    scores = torch.stack([odds[0, columns_of(judge, name)].max() for name in names])
    best = {names[place] for place in scores.topk(len(nouns)).indices.tolist()}
    return [noun in best for noun in nouns]


def stands_on(judge: Judge, odds: Tensor, noun: str, side: str) -> bool:
    """Whether a noun is likelier on the given side than on the other."""
    _, left, right = odds[:, columns_of(judge, noun)].amax(1).tolist()
    return (left > right) == (side == "left")


def has_colour(judge: Judge, odds: Tensor, colour: str, noun: str) -> bool:
    """Whether the noun's likeliest colour is the asked one."""
    best = max(columns_of(judge, noun), key=lambda column: float(odds[0, column]))
    return judge.phrases[best] == (colour, noun)
