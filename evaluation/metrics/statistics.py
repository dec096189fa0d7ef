"""How sure a mean is: bootstrap intervals of paired differences."""

from dataclasses import dataclass

import numpy as np


FEW = 5  # of fewer items a bootstrap interval is far too narrow


@dataclass(frozen=True)
class Interval:
    """A mean and its 95 % bootstrap interval, over so many items."""

    mean: float
    low: float
    high: float
    items: int

    def __str__(self) -> str:
        return f"{self.mean:.3f} [{self.low:.3f}, {self.high:.3f}]"

    @property
    def excludes_zero(self) -> bool:
        """Whether the difference is told from none; never by fewer than FEW items."""
        return self.items >= FEW and (self.low > 0 or self.high < 0)


def bootstrap(values: list[float], draws: int = 4000, seed: int = 0) -> Interval:
    """Of the mean of independent values."""
    data = np.asarray(values, dtype=float)
    chosen = np.random.default_rng(seed).integers(0, len(data), (draws, len(data)))
    low, high = np.percentile(data[chosen].mean(1), [2.5, 97.5])
    return Interval(float(data.mean()), float(low), float(high), len(data))


def paired(first: dict[str, float], second: dict[str, float]) -> Interval:
    """Of the mean of `first - second` over the items that both have."""
    items = sorted(first.keys() & second.keys())
    if not items:
        raise ValueError("no item has both values")
    return bootstrap([first[item] - second[item] for item in items])


def ratio(part: dict[str, float], whole: dict[str, float], draws: int = 4000, seed: int = 0) -> Interval | None:
    """Of mean(part) / mean(whole) over the items that both have; None where the whole is not told from zero."""
    items = sorted(part.keys() & whole.keys())
    if not items:
        raise ValueError("no item has both values")
    data = np.asarray([[part[item], whole[item]] for item in items], dtype=float)
    means = data[np.random.default_rng(seed).integers(0, len(items), (draws, len(items)))].mean(1)
    if data[:, 1].mean() <= 0 or np.percentile(means[:, 1], 2.5) <= 0:
        return None
    low, high = np.percentile(means[:, 0] / means[:, 1].clip(1e-9), [2.5, 97.5])
    return Interval(float(data[:, 0].mean() / data[:, 1].mean()), float(low), float(high), len(items))
