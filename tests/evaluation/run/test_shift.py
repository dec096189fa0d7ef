"""The comparison at equal energy, and the table of latent shifts."""

import numpy as np
import pytest

pytest.importorskip("diffusers", reason="evaluation/requirements.txt is not installed")

from evaluation import measure_shift  # noqa: E402


def test_sign_noise_has_the_energy_of_the_change():
    random = np.random.default_rng(0)
    original = random.uniform(60, 200, (32, 32, 3)).astype(np.float32)
    protected = original + random.uniform(-6, 6, original.shape).astype(np.float32)
    noisy = measure_shift.sign_noise(original, protected, seed=1)
    assert np.mean(np.square(noisy - original)) == pytest.approx(
        np.mean(np.square(protected - original)), rel=1e-4)
    assert len(np.unique(np.abs(noisy - original).round(3))) == 1


def test_the_table_marks_the_encoders_that_were_in_the_loop():
    row = {"setting": "away on taesd, taef1", "photo": "a", "psnr": 33.0,
           "taesd": 1.0, "taesdxl": 0.5, "taef1": 0.75}
    text = measure_shift.table([{**row, "kind": "protected"}, {**row, "kind": "sign noise"}])
    protected, noise = text.splitlines()[2:]
    assert "**1.00**" in protected and "**0.75**" in protected and "**0.50**" not in protected
    assert "**" not in noise
