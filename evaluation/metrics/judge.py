"""The judges' network: an embedding and a classifier trained on the clothing data alone.

It shares no weights, seed or pictures order with the judge of the model's gates, and takes part in no optimisation.
"""

from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from ..train import judge as network
from ..train.captions import CLASSES, NOUNS
from ..train.data import SIDE, load_split


class Judge:
    """Pictures of any size in [-1, 1]."""

    def __init__(self, net: network.Judge) -> None:
        self.net = net.eval().requires_grad_(False)

    def _fit(self, images: Tensor) -> Tensor:
        if images.shape[-1] == SIDE:
            return images
        return F.interpolate(images, (SIDE, SIDE), mode="bilinear", antialias=True)

    @torch.no_grad()
    def embed(self, images: Tensor) -> Tensor:
        """Unit vectors [N, D]."""
        return F.normalize(self.net.embed(self._fit(images)), dim=1)

    @torch.no_grad()
    def says(self, images: Tensor, nouns: list[str]) -> Tensor:
        """Whether the classifier sees each picture's noun: 1 or 0."""
        names = {noun: i for i, noun in enumerate(NOUNS[name] for name in CLASSES)}
        wanted = torch.tensor([names[noun] for noun in nouns])
        return (self.net(self._fit(images)).argmax(1) == wanted).float()

    @staticmethod
    def knows(nouns: list[str]) -> bool:
        """Whether the classifier has learnt all of these words."""
        return set(nouns) <= set(NOUNS.values())

    def similarity(self, images: Tensor, others: Tensor) -> Tensor:
        """Mean cosine of each picture to all of `others`."""
        return (self.embed(images) @ self.embed(others).T).mean(1)


def train(data: Path, work: Path, epochs: int) -> Judge:
    """The judge in `work`, trained first where there is none; writes its own accuracy beside it."""
    folder = work / "judge"
    folder.mkdir(parents=True, exist_ok=True)
    threads = torch.get_num_threads()
    network.train(data, folder, epochs, seed=29)
    torch.set_num_threads(threads)  # the training follows the load of the machine
    net = network.load(folder)
    note = folder / "accuracy.txt"
    if not note.exists():
        note.write_text(f"{network.accuracy(net, load_split(data, 'test')):.4f}\n")
    return Judge(net)


def accuracy(work: Path) -> float:
    """The judge's own accuracy on the test split."""
    return float((work / "judge" / "accuracy.txt").read_text())
