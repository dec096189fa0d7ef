"""A classifier of the photographs: the judge of samples, and the embedding in which pictures are near or far."""

import math
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from .captions import CLASSES
from .data import Photographs, load_split
from .runtime import ThreadGovernor, autocast, bf16_is_fast, save_checkpoint
from .unet import class_balance

BATCH = 64
WIDTHS = (32, 64, 128, 256)
LEARNING_RATE = 2e-3


class Block(nn.Module):
    """Residual block that halves the side."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.first = nn.Conv2d(inputs, outputs, 3, stride=2, padding=1, bias=False)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.skip = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.norms = nn.ModuleList([nn.BatchNorm2d(outputs), nn.BatchNorm2d(outputs)])

    def forward(self, x: Tensor) -> Tensor:
        y = F.relu(self.norms[0](self.first(x)))
        return F.relu(self.norms[1](self.second(y)) + self.skip(F.avg_pool2d(x, 2)))


class Judge(nn.Module):
    """Four residual blocks and a linear readout."""

    def __init__(self) -> None:
        super().__init__()
        sizes = (WIDTHS[0], *WIDTHS)
        self.stem = nn.Conv2d(3, WIDTHS[0], 3, padding=1)
        self.blocks = nn.Sequential(*(Block(a, b) for a, b in zip(sizes, sizes[1:])))
        self.readout = nn.Linear(WIDTHS[-1], len(CLASSES))

    def embed(self, x: Tensor) -> Tensor:
        """Features averaged over the picture."""
        return self.blocks(F.relu(self.stem(x))).mean((2, 3))

    def forward(self, x: Tensor) -> Tensor:
        return self.readout(F.dropout(self.embed(x), 0.3, self.training))


def augment(x: Tensor) -> Tensor:
    """Mirror, zoom, shift, recolour, and soften some of the pictures."""
    n = len(x)
    scale = 0.8 + 0.35 * torch.rand(n)
    mirror = torch.where(torch.rand(n) < 0.5, -1.0, 1.0)
    theta = torch.zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = scale * mirror, scale
    theta[:, :, 2] = 0.2 * (torch.rand(n, 2) - 0.5)
    x = F.grid_sample(x, F.affine_grid(theta, list(x.shape), align_corners=False), "bilinear", "border", False)
    soft = F.interpolate(F.avg_pool2d(x, 2), scale_factor=2.0, mode="bilinear")
    x = torch.where(torch.rand(n, 1, 1, 1) < 0.3, soft, x)
    return x * (0.7 + 0.6 * torch.rand(n, 3, 1, 1)) + 0.3 * (torch.rand(n, 1, 1, 1) - 0.5)


@torch.no_grad()
def accuracy(judge: Judge, photographs: Photographs) -> float:
    """Share of the photographs that the judge names rightly."""
    guesses = torch.cat([judge(x).argmax(1) for x in photographs.images().split(64)])
    return float((guesses == photographs.classes).float().mean())


def train(data: Path, work: Path, epochs: int, seed: int = 3) -> None:
    """Train the judge; a finished one is kept."""
    path = work / "judge.pt"
    if path.exists():
        return
    torch.manual_seed(seed)
    photographs, held_out = load_split(data, "train"), load_split(data, "validation")
    judge, bf16, governor = Judge(), bf16_is_fast(), ThreadGovernor()
    steps = epochs * len(photographs) // BATCH
    optimizer = torch.optim.AdamW(judge.parameters(), lr=LEARNING_RATE, weight_decay=0.05)
    chances = class_balance(photographs.classes)
    for step in range(steps):
        governor.update()
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * 0.5 * (1 + math.cos(math.pi * step / steps))
        index = torch.multinomial(chances, BATCH, replacement=True)
        with autocast(bf16):
            logits = judge(augment(photographs.images(index)))
        loss = F.cross_entropy(logits.float(), photographs.classes[index], label_smoothing=0.05)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()
        if (step + 1) % 100 == 0:
            print(f"judge: step {step + 1} of {steps}, loss {loss.item():.3f}", flush=True)
    judge.eval()
    print(f"judge: accuracy {accuracy(judge, held_out):.3f} on the validation split", flush=True)
    save_checkpoint(path, judge.state_dict())


def load(work: Path) -> Judge:
    """The trained judge."""
    judge = Judge()
    judge.load_state_dict(torch.load(work / "judge.pt"))
    return judge.eval().requires_grad_(False)
