"""The measured rows: one small file each, so that a run that was cut off goes on where it stood."""

import csv
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

import torch
from torch import Tensor

from ..train.runtime import save_checkpoint, whole


@dataclass(frozen=True)
class Row:
    """What one attack made of one item under one method."""

    kind: str  # tuning, editing, cost
    attack: str
    method: str
    variant: str  # of the method: its effort or other flags; "" the suite's own
    countermeasure: str
    target: str  # the attacker's model
    item: str  # subject or photograph
    seed: int
    values: dict[str, float] = field(default_factory=dict)

    @property
    def name(self) -> str:
        return "/".join([self.kind, self.attack, self.method, self.variant, self.countermeasure, self.target, self.item,
                         str(self.seed)])

    @property
    def label(self) -> str:
        """What a progress bar calls it."""
        return " ".join(filter(None, [self.attack, self.method, self.variant, self.countermeasure, self.target, self.item]))


class RowStore:
    """Rows below one folder, by what they are and by a fingerprint of what they came from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def _path(self, row: Row, inputs: str) -> Path:
        return self.folder / f"{hashlib.sha256(f'{row.name}{chr(10)}{inputs}'.encode()).hexdigest()[:24]}.json"

    def find(self, row: Row, inputs: str) -> Row | None:
        """The row as it was measured for the same name and `inputs`."""
        path = self._path(row, inputs)
        return Row(**json.loads(path.read_text())) if path.exists() else None

    def keep(self, row: Row, inputs: str, values: dict[str, float]) -> Row:
        """The row with its values, kept for `find`."""
        measured = replace(row, values=values)
        with whole(self._path(row, inputs)) as part:
            part.write_text(json.dumps(asdict(measured)))
        return measured

    def tensor(self, key: str, make: Callable[[], Tensor]) -> Tensor:
        """The tensor that was kept under `key`, else made now; two processes may both make it."""
        path = self.folder / f"{key}.pt"
        if not path.exists():
            save_checkpoint(path, make())
        return torch.load(path)


def write_csv(rows: Iterable[Row], path: Path) -> None:
    """One line a row; the columns of the values are the union of all."""
    rows = list(rows)
    names = sorted({name for row in rows for name in row.values})
    heads = ["kind", "attack", "method", "variant", "countermeasure", "target", "item", "seed"]
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(heads + names)
        for row in rows:
            cells = [getattr(row, head) for head in heads]
            writer.writerow(cells + [f"{row.values[n]:.6g}" if n in row.values else "" for n in names])
