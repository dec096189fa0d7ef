"""What every long training here shares: the state that a resumed run goes on from, the learning rate, the log line."""

import random
import signal
import time
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ..runtime import Budget, Ema, load_checkpoint, restore_rng, rng_state, save_checkpoint

DECAY_FROM = 0.75
WARM_UP = 100


def learning_rate(peak: float, step: int, fraction: float) -> float:
    """Warm-up, a plateau, and a linear fall over the last quarter of the budget; more minutes prolong the plateau."""
    fall = min(1.0, (1 - fraction) / (1 - DECAY_FROM))
    return peak * min(1.0, (step + 1) / WARM_UP) * max(0.02, fall)


class Progress:
    """A network with its average, optimiser, random generators and budget, kept in one file.

    SIGTERM ends a training after the step in progress, with a checkpoint. On a processor the budget counts the
    processor's time, so that other work on the machine makes a training last longer and not end earlier.
    """

    def __init__(self, path: Path, network: nn.Module, peak: float, decay: float, minutes: float, seed: int) -> None:
        self.path, self.network, self.peak = path, network, peak
        self.device = next(network.parameters()).device
        self.ema = Ema(network, decay)
        self.optimizer = torch.optim.AdamW(network.parameters(), lr=peak, betas=(0.9, 0.99), weight_decay=0.01)
        self.rng = random.Random(2 + seed)
        self.step, self.spent, self.stopped = 0, 0.0, False
        if state := load_checkpoint(path):
            network.load_state_dict(state["network"])
            self.ema.module.load_state_dict(state["ema"])
            self.optimizer.load_state_dict(state["optimizer"])
            restore_rng(state["rng"])
            self.rng.setstate(state["captions"])
            self.step, self.spent = state["step"], state["seconds"]
        clock = time.process_time if self.device.type == "cpu" else time.monotonic
        self.budget = Budget(minutes, self.spent, clock)
        self.begin()
        signal.signal(signal.SIGTERM, self.stop)

    def begin(self) -> None:
        """Count from now on: what was prepared since the network was loaded is no training."""
        self.budget.start = self.budget.clock() - self.spent
        self.began = time.monotonic(), self.step

    def stop(self, *_: Any) -> None:
        """Let the step in progress be the last; a handler of SIGTERM."""
        self.stopped = True

    def goes_on(self) -> bool:
        """Whether there is budget left and nobody has asked to stop."""
        return not self.stopped and self.budget.fraction() < 1

    def leave_if_stopped(self) -> None:
        """End the program where somebody has asked to stop, before the next stage begins."""
        if self.stopped:
            raise SystemExit(f"{self.path.stem}: stopped at step {self.step}")

    def save(self, **more: Any) -> None:
        """Write the checkpoint; `more` is kept beside it."""
        networks = {"network": self.network.state_dict(), "ema": self.ema.module.state_dict()}
        generators = {"rng": rng_state(), "captions": self.rng.getstate()}
        progress = {"step": self.step, "seconds": self.budget.spent(), "optimizer": self.optimizer.state_dict()}
        save_checkpoint(self.path, {**networks, **generators, **progress, **more})

    def descend(self, loss: torch.Tensor) -> float:
        """One step down the loss; returns it."""
        rate = learning_rate(self.peak, self.step, self.budget.fraction())
        for group in self.optimizer.param_groups:
            group["lr"] = rate
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.network.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        self.ema.update(self.network, self.step)
        return loss.item()

    def pace(self) -> dict[str, float]:
        """Figures of every log line: the step, seconds trained, steps a second and minutes left by the wall."""
        start, first = self.began
        rate = (self.step - first) / max(1e-9, time.monotonic() - start)
        spent = self.budget.spent()
        steps_left = max(0.0, self.budget.seconds / max(1e-9, spent) - 1) * self.step
        left = steps_left / max(1e-9, rate) / 60
        return {"step": self.step, "seconds": spent, "rate": rate, "left": left}
