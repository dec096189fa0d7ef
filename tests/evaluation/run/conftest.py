"""The embedded model and a few photographs, for tests that attack it."""

from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture(scope="session")
def model():
    from evaluation.attacks.model import load

    return load(ROOT / "models" / "clothing")


@pytest.fixture(scope="session")
def garment(model):
    """A photograph that the model knows: one of its own samples, four times."""
    from evaluation.attacks.sampling import sample

    return sample(model, ["a photo of a red dress"], seed=4, steps=20, guidance=2.0).repeat(4, 1, 1, 1)
