"""The measured rows: one small file each, so that a run that was cut off goes on where it stood."""

import csv
import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path


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


class RowStore:
    """Rows below one folder, by what they are and by a fingerprint of what they came from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True, exist_ok=True)

    def get_or_measure(self, row: Row, inputs: str, measure: Callable[[], dict[str, float]]) -> Row:
        """The row as it was measured for the same name and `inputs`, else measured now."""
        key = hashlib.sha256(f"{row.name}\n{inputs}".encode()).hexdigest()[:24]
        path = self.folder / f"{key}.json"
        if path.exists():
            return Row(**json.loads(path.read_text()))
        measured = Row(**{**asdict(row), "values": measure()})
        part = path.with_suffix(".part")
        part.write_text(json.dumps(asdict(measured)))
        part.replace(path)
        return measured


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
