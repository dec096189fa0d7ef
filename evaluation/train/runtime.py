"""Running for hours on a shared machine: precision, threads, averages, checkpoints, logs."""

import copy
import csv
import os
import random
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import torch


def bf16_is_fast(cpuinfo: str = "/proc/cpuinfo") -> bool:
    """Whether the processor multiplies bfloat16 itself; elsewhere it is emulated and far slower than float32."""
    try:
        flags = Path(cpuinfo).read_text()
    except OSError:
        return False
    return "avx512_bf16" in flags or "amx_bf16" in flags


def autocast(enabled: bool) -> torch.autocast:
    """The autocast context of the training steps."""
    return torch.autocast("cpu", torch.bfloat16, enabled=enabled)


class ThreadGovernor:
    """Follows the load of the machine: one slow thread holds up all others, so use no more than are idle."""

    def __init__(self, period: float = 10.0) -> None:
        self.cores = os.cpu_count() or 1
        self.period = period
        self.last = time.monotonic()
        self.busy = self._foreign_seconds()

    @staticmethod
    def _foreign_seconds() -> float:
        """Processor seconds that other processes have used since the machine started."""
        try:
            fields = Path("/proc/stat").read_text().split("\n", 1)[0].split()
        except OSError:
            return 0.0
        user, nice, system = (int(field) for field in fields[1:4])
        return (user + nice + system) / os.sysconf("SC_CLK_TCK") - time.process_time()

    def update(self) -> None:
        """Set torch's thread count from the load since the last call; does nothing within the period."""
        now = time.monotonic()
        if now - self.last < self.period:
            return
        busy = self._foreign_seconds()
        free = self.cores - (busy - self.busy) / (now - self.last)
        self.last, self.busy = now, busy
        torch.set_num_threads(max(1, min(self.cores, int(free + 0.6))))


class Ema:
    """Exponential moving average of a module's parameters, shorter at first."""

    def __init__(self, module: torch.nn.Module, decay: float) -> None:
        self.module = copy.deepcopy(module).requires_grad_(False).eval()
        self.decay = decay

    @torch.no_grad()
    def update(self, module: torch.nn.Module, step: int) -> None:
        """Take in the parameters after `step` steps."""
        decay = min(self.decay, (1 + step) / (20 + step))
        torch._foreach_lerp_(list(self.module.parameters()), list(module.parameters()), 1 - decay)


class Budget:
    """Minutes of training, counted over resumed runs; the schedules run on the fraction spent.

    `clock`: seconds by which the minutes are counted, those of the wall or of the processor.
    """

    def __init__(self, minutes: float, spent: float = 0.0, clock: Callable[[], float] = time.monotonic) -> None:
        self.seconds, self.clock = minutes * 60, clock
        self.start = clock() - spent

    def spent(self) -> float:
        """Seconds trained so far."""
        return self.clock() - self.start

    def fraction(self) -> float:
        """Share of the budget spent, at most 1."""
        return min(1.0, self.spent() / self.seconds)


def rng_state() -> dict[str, Any]:
    """The state of every random generator in use."""
    return {"torch": torch.get_rng_state(), "numpy": np.random.get_state(), "python": random.getstate()}


def restore_rng(state: dict[str, Any]) -> None:
    """Put back what rng_state gave."""
    torch.set_rng_state(state["torch"])
    np.random.set_state(state["numpy"])
    random.setstate(state["python"])


@contextmanager
def whole(path: Path) -> Iterator[Path]:
    """A file of this process alone, to be written; it takes the place of `path` when it is: whole or not at all."""
    part = path.with_suffix(f".{os.getpid()}.part")
    yield part
    os.replace(part, path)


def save_checkpoint(path: Path, state: Any) -> None:
    """Write a checkpoint whole or not at all."""
    with whole(path) as part:
        torch.save(state, part)


def load_checkpoint(path: Path) -> dict[str, Any] | None:
    """The checkpoint, or None where there is none yet."""
    return torch.load(path, weights_only=False) if path.exists() else None


class CsvLog:
    """Progress, to the terminal and to a CSV file that resumed runs go on with."""

    def __init__(self, path: Path, columns: list[str]) -> None:
        self.path, self.columns = path, columns
        if not path.exists():
            self._append(columns)

    def _append(self, row: list[Any]) -> None:
        with self.path.open("a", newline="") as file:
            csv.writer(file).writerow(row)

    def write(self, **values: float) -> None:
        """Add a row; columns that are not given stay empty."""
        cells = [f"{values[c]:.5g}" if c in values else "" for c in self.columns]
        self._append(cells)
        print(self.path.stem, " ".join(f"{c} {v}" for c, v in zip(self.columns, cells) if v), flush=True)
