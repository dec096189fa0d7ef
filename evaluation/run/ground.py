"""What every measurement of a run shares: the attackers' models, the judges, the rows measured before."""

import hashlib
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import torch

from ..attacks.model import AttackedModel, load
from ..metrics import judge
from ..metrics.brisque import Brisque
from ..metrics.faces import FaceJudge
from .measure import Judges
from .rows import RowStore

JUDGE_EPOCHS = 25


@dataclass(frozen=True)
class Setup:
    """Where the ground is loaded from: small, so that it goes to other processes."""

    models: tuple[Path, ...]  # diffusers folders of the attackers; the surrogate's is first
    work: Path
    data: Path | None = None  # clothing photographs, of which the judge is trained
    faces: bool = False
    device: str = "cpu"
    precision: str = "fp32"  # or bf16: of the arithmetic; weights are held in float32, so that tuning can move them
    size: int = 0  # side of the pictures in pixels; 0: the model's native one
    threads: int = 0  # of one process; 0: torch's own choice

    @property
    def targets(self) -> list[str]:
        """The names of the attackers' models."""
        return [path.name for path in self.models]

    def arithmetic(self) -> torch.autocast:
        """The context in which attacks run."""
        return torch.autocast(torch.device(self.device).type, torch.bfloat16, enabled=self.precision == "bf16")

    def settings(self) -> list[object]:
        """What rows depend on beside photographs, models and the attacks' own settings."""
        return [bool(self.data), self.faces, self.precision, self.size]


@dataclass(frozen=True)
class Ground:
    """A loaded setup."""

    models: dict[str, AttackedModel]
    made_with: dict[str, str]  # of each model: what its rows came from beside photographs and settings
    judges: Judges
    store: RowStore


def fingerprint(files: list[Path], *more: object) -> str:
    """Of the files' contents and the settings that a row came from."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    digest.update(repr(more).encode())
    return digest.hexdigest()


@cache
def load_ground(setup: Setup) -> Ground:
    """The ground of a setup, loaded once in each process. Trains the judge where there is none yet."""
    clothing = judge.train(setup.data, setup.work, JUDGE_EPOCHS) if setup.data else None
    if setup.threads:
        torch.set_num_threads(setup.threads)
    made_with = {path.name: fingerprint(sorted(path.rglob("*.safetensors")), *setup.settings()) for path in setup.models}
    return Ground({path.name: load(path, setup.device, setup.size) for path in setup.models}, made_with,
                  Judges(Brisque(), clothing, FaceJudge() if setup.faces else None), RowStore(setup.work / "rows"))
