"""The trained autoencoder, its latents brought to zero mean and unit variance, and the photographs' latents."""

from collections.abc import Callable
from pathlib import Path

import torch
from diffusers import AutoencoderKL
from torch import Tensor

from .data import Photographs, load_split
from .models import SCALING_FACTOR, make_vae
from .runtime import save_checkpoint


@torch.no_grad()
def encode(vae: AutoencoderKL, images: Tensor) -> Tensor:
    """Posterior means, scaled as the UNet sees them."""
    means = [vae.encode(x).latent_dist.mode() for x in images.split(64)]
    return torch.cat(means) * vae.config.scaling_factor


@torch.no_grad()
def decode(vae: AutoencoderKL, latents: Tensor) -> Tensor:
    """Pictures in [-1, 1] of scaled latents."""
    images = [vae.decode(z / vae.config.scaling_factor).sample for z in latents.split(64)]
    return torch.cat(images).clamp(-1, 1)


@torch.no_grad()
def normalise(vae: AutoencoderKL, images: Tensor) -> None:
    """Fold mean and deviation of each latent channel into the two 1x1 convolutions beside the latent.

    Afterwards the scaled latents of `images` have zero mean and unit variance; the reconstruction is unchanged.
    """
    latents = encode(vae, images) / SCALING_FACTOR
    mean, gain = latents.mean((0, 2, 3)), 1 / (latents.std((0, 2, 3)) * SCALING_FACTOR)
    before, after = vae.quant_conv, vae.post_quant_conv
    before.bias[:4] -= mean
    before.weight[:4] *= gain[:, None, None, None]
    before.bias[:4] *= gain
    before.bias[4:] += 2 * gain.log()
    after.bias += (after.weight[:, :, 0, 0] * mean).sum(1)
    after.weight /= gain[:, None, None]


def load_vae(path: Path) -> AutoencoderKL:
    """The averaged autoencoder of a training checkpoint, or a normalised one."""
    state = torch.load(path, weights_only=False)
    vae = make_vae()
    vae.load_state_dict(state["ema"])
    return vae.eval().requires_grad_(False)


def take_vae(model: Path, work: Path) -> None:
    """The autoencoder of a trained model (a diffusers folder) for another, as Stable Diffusion 1 and 2 share theirs."""
    vae = AutoencoderKL.from_pretrained(model, subfolder="vae", torch_dtype=torch.float32)
    save_checkpoint(work / "vae-final.pt", {"ema": vae.state_dict()})


def final_vae(work: Path, images: Callable[[], Tensor]) -> AutoencoderKL:
    """The one that was taken over, else the trained one, normalised on `images`."""
    if (work / "vae-final.pt").exists():
        return load_vae(work / "vae-final.pt")
    vae = load_vae(work / "vae.pt")
    normalise(vae, images())
    save_checkpoint(work / "vae-final.pt", {"ema": vae.state_dict()})
    return vae


def prepare(data: Path, work: Path) -> None:
    """Normalise the autoencoder and encode the photographs, as they are and mirrored."""
    if (work / "latents.pt").exists():
        return
    train: Photographs = load_split(data, "train")
    held_out = load_split(data, "validation")
    vae = final_vae(work, lambda: train.images()[::4])
    both = torch.stack([encode(vae, train.images()), encode(vae, train.images().flip(-1))], 1)
    tensors = {"train": both, "classes": train.classes, "colours": train.colours}
    tensors |= {"validation": encode(vae, held_out.images())}
    tensors |= {"validation_classes": held_out.classes, "validation_colours": held_out.colours}
    save_checkpoint(work / "latents.pt", tensors)
