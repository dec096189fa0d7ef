"""A second model: another width, another seed, the autoencoder of the first."""

from pathlib import Path

import pytest

pytest.importorskip("diffusers", reason="evaluation/train/requirements.txt is not installed")

import torch  # noqa: E402

from evaluation.train import export  # noqa: E402
from evaluation.train.latents import final_vae, load_vae, take_vae  # noqa: E402
from evaluation.train.models import make_unet  # noqa: E402

MODEL = Path(__file__).resolve().parents[3] / "models" / "clothing"


def never() -> torch.Tensor:
    raise AssertionError("an autoencoder that was taken over is not normalised again")


def test_an_autoencoder_is_taken_over_as_it_is(tmp_path: Path) -> None:
    take_vae(MODEL, tmp_path)
    vae, first = final_vae(tmp_path, never), export.load_vae(tmp_path / "vae-final.pt")
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1
    latent = vae.encode(picture).latent_dist.mode()
    assert latent.shape == (1, 4, 16, 16) and latent.equal(first.encode(picture).latent_dist.mode())
    assert load_vae(tmp_path / "vae-final.pt").config.scaling_factor == pytest.approx(0.18215)


def test_a_checkpoint_knows_its_width(tmp_path: Path) -> None:
    unet = make_unet(32)
    assert tuple(unet.config.block_out_channels) == (32, 64, 80, 96)
    torch.save({"width": 32, "ema": unet.state_dict()}, tmp_path / "unet.pt")
    again = export.load_unet(tmp_path / "unet.pt")
    assert all(a.equal(b) for a, b in zip(unet.parameters(), again.parameters(), strict=True))
    assert tuple(make_unet().config.block_out_channels) == (64, 128, 160, 192)
