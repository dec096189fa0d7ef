"""Progress: a bar on a terminal, a line now and then elsewhere."""

import sys
import time
from types import TracebackType

WIDTH = 30
SILENCE = 20.0  # seconds between lines where there is no terminal


def duration(seconds: float) -> str:
    """As people say it."""
    minutes = round(seconds / 60)
    return f"{seconds:.0f} s" if seconds < 120 else f"{minutes} min" if minutes < 120 else f"{minutes / 60:.1f} h"


class Bar:
    """Counts steps of one named piece of work; silent when nothing was counted.

    `lines`: a line now and then even on a terminal and no last one, for work within other work.
    """

    def __init__(self, name: str, total: int, lines: bool = False) -> None:
        self.name, self.total = " ".join(name.split()), total
        self.done, self.started, self.told = 0, time.monotonic(), 0.0
        self.lines, self.terminal = lines, sys.stderr.isatty() and not lines

    def __enter__(self) -> "Bar":
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self.done and self.terminal:
            print(file=sys.stderr)
        elif self.done and not self.lines:
            print(f"{self.name}: {time.monotonic() - self.started:.1f} s", file=sys.stderr, flush=True)

    def step(self, note: str = "") -> None:
        """One more is done."""
        self.done += 1
        now = time.monotonic()
        if self.terminal and (now - self.told > 0.1 or self.done == self.total):
            filled = WIDTH * self.done // self.total
            left = (now - self.started) / self.done * (self.total - self.done)
            print(f"\r{self.name} [{'#' * filled}{'.' * (WIDTH - filled)}] {self.done}/{self.total} {duration(left)} left "
                  f"{note:<60.60}", end="", file=sys.stderr, flush=True)
            self.told = now
        elif not self.terminal and now - max(self.told, self.started) > SILENCE:
            left = (now - self.started) / self.done * (self.total - self.done)
            print(f"{self.name}: {self.done}/{self.total}, {duration(left)} left; {note}", file=sys.stderr, flush=True)
            self.told = now
