"""Chroma, PSNR and the weights of the loss."""

import pytest

pytest.importorskip("diffusers", reason="evaluation/train/requirements.txt is not installed")

import torch  # noqa: E402

from evaluation.train.gates import below, redness  # noqa: E402
from evaluation.train.unet import class_balance, loss_weights, stratified_timesteps  # noqa: E402
from evaluation.train.vae import chroma, chroma_correlation, psnr  # noqa: E402


def pictures(count: int = 6) -> torch.Tensor:
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1


def test_grey_has_no_chroma() -> None:
    grey = pictures()[:, :1].expand(-1, 3, -1, -1)
    assert chroma(grey, 8).abs().max() < 1e-6


def test_chroma_correlation_of_same_and_opposite_pictures() -> None:
    x = pictures()
    assert chroma_correlation(x, x) == pytest.approx((1, 1), abs=1e-5)
    assert chroma_correlation(x, -x) == pytest.approx((-1, -1), abs=1e-5)


def test_psnr_of_a_constant_error() -> None:
    x = pictures() * 0.5
    assert psnr(x + 0.2, x).tolist() == pytest.approx([20.0] * len(x), abs=1e-3)


def test_redness_tells_red_from_blue() -> None:
    red, blue = (torch.tensor(c).view(1, 3, 1, 1).expand(1, 3, 64, 64) for c in ([1.0, -1, -1], [-1.0, -1, 1]))
    assert redness(red).item() > 0 > redness(blue).item()


def test_loss_weights_grow_with_noise_and_are_bounded() -> None:
    weights = loss_weights(torch.linspace(0.999, 0.001, 50))
    assert (weights.diff() >= 0).all()
    assert weights.max() == 30


def test_timesteps_cover_the_schedule() -> None:
    timesteps = stratified_timesteps(32)
    assert (timesteps // 31.25).long().unique().numel() >= 31
    assert ((timesteps >= 0) & (timesteps <= 999)).all()


def test_rare_classes_are_drawn_more_often() -> None:
    chances = class_balance(torch.tensor([0, 0, 0, 0, 1]))
    assert chances[4] / chances[0] == pytest.approx(2)


def test_a_gate_says_whether_it_is_passed() -> None:
    assert below("size", 39.9, 40).passed
    assert not below("size", 40.0, 40).passed
