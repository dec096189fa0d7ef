"""What the measurement of the refinements of visibility makes of its rows."""

import pytest

for package in ("diffusers", "piq", "psnr_hvsm"):
    pytest.importorskip(package, reason="evaluation/requirements-visibility.txt is not installed")

import numpy as np  # noqa: E402

from evaluation import measure_visibility, visibility_sheet  # noqa: E402


def rows_of(setting: str, offset: float, strength: float) -> list[dict]:
    """Less visible with smaller budgets; `offset` in dB, `strength` a level."""
    return [{"attack": "encoder", "setting": setting, "budget": budget, "photo": photo, "strength": strength * budget,
             "psnr_hvsm": 60 + offset - 20 * np.log10(budget), "haarpsi": 1 - (budget - offset) / 100}
            for budget in measure_visibility.BUDGETS for photo in ("a", "b")]


def test_strength_is_taken_where_both_are_as_visible() -> None:
    plain = [row for row in rows_of("plain", 0, 0.01) if row["photo"] == "a"]
    hidden = [row for row in rows_of("texture 1", 2, 0.01) if row["photo"] == "a"]
    strength, budget = measure_visibility.at_equal_visibility(hidden, plain, "psnr_hvsm")
    assert budget == pytest.approx(6.375 * 10 ** (2 / 20), rel=1e-3)
    assert strength == pytest.approx(0.01 * budget, rel=0.03)
    same, usual = measure_visibility.at_equal_visibility(plain, plain, "haarpsi")
    assert (same, usual) == (pytest.approx(0.06375), pytest.approx(6.375))


def test_table_gives_ratios_to_the_plain_attack() -> None:
    rows = [row for setting in measure_visibility.SETTINGS for row in rows_of(setting, 0, 0.01)]
    for row in rows:
        if row["setting"] == "texture 1":
            row["strength"] *= 0.5
    lines = {line.split("|")[2].strip(): line for line in measure_visibility.table(rows).splitlines()[2:]}
    assert lines["plain"].count("1.00 [1.00, 1.00]") == 3
    assert lines["texture 1"].count("0.50 [0.50, 0.50]") == 3


def test_visibility_falls_with_the_change() -> None:
    original = np.full((64, 72, 3), 128, np.float32)
    signs = np.random.default_rng(1).choice([-1, 1], original.shape).astype(np.float32)
    weak, strong = (measure_visibility.visibility(original, original + levels * signs) for levels in (2, 6))
    assert weak["psnr_hvsm"] > strong["psnr_hvsm"]
    assert weak["haarpsi"] > strong["haarpsi"]


def test_crop_is_taken_from_the_flattest_part() -> None:
    picture = np.random.default_rng(1).integers(0, 255, (200, 300, 3)).astype(np.uint8)
    picture[96:, 192:] = 100
    top, left = visibility_sheet.flattest(picture, 96)
    assert (top, left) == (96, 192)
    assert visibility_sheet.row(visibility_sheet.flat_graphic(), visibility_sheet.flat_graphic()).height == 384
