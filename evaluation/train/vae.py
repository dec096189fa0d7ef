"""Training of the autoencoder: squared error in decibels, colour apart, a light KL term."""

import math
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from .data import Photographs, load_split
from .models import make_vae
from .runtime import (
    Budget,
    CsvLog,
    Ema,
    ThreadGovernor,
    autocast,
    bf16_is_fast,
    load_checkpoint,
    restore_rng,
    rng_state,
    save_checkpoint,
)

BATCH = 16
LEARNING_RATE = 1e-3
KL_WEIGHT = 1e-3
COLUMNS = ["step", "seconds", "loss", "kl", "psnr", "chroma_blue", "chroma_red"]
OPPONENT = torch.tensor([[-1 / 3, -1 / 3, 2 / 3], [2 / 3, -1 / 3, -1 / 3]])


def chroma(x: Tensor, scale: int) -> Tensor:
    """Blue and red against the other two channels, averaged over squares of `scale` pixels."""
    return torch.einsum("oc,bchw->bohw", OPPONENT.to(x), F.avg_pool2d(x, scale))


def log_mse(x: Tensor, y: Tensor) -> Tensor:
    """Mean over pictures of the logarithm of the squared error: PSNR, but for sign and unit."""
    return ((x - y).square().mean((1, 2, 3)) + 1e-5).log().mean()


def reconstruction_loss(x: Tensor, y: Tensor) -> Tensor:
    """Squared error in decibels at full and quarter size, and of the chroma."""
    coarse = log_mse(F.avg_pool2d(x, 4), F.avg_pool2d(y, 4))
    return log_mse(x, y) + 0.1 * coarse + 0.1 * log_mse(chroma(x, 4), chroma(y, 4))


def psnr(x: Tensor, y: Tensor) -> Tensor:
    """PSNR of each picture in dB, of pictures in [-1, 1]."""
    return 10 * torch.log10(4 / (x - y).square().mean((1, 2, 3)).clamp_min(1e-10))


def chroma_correlation(x: Tensor, y: Tensor) -> tuple[float, float]:
    """Correlation of the blue and of the red chroma of two sets of pictures, over squares of 8 pixels."""
    a, b = (chroma(t, 8).transpose(0, 1).flatten(1).numpy() for t in (x, y))
    blue, red = (float(np.corrcoef(p, q)[0, 1]) for p, q in zip(a, b))
    return blue, red


@torch.no_grad()
def reconstruct(vae: AutoencoderKL, images: Tensor) -> Tensor:
    """Pictures through encoder (posterior mean) and decoder."""
    batches = [vae.decode(vae.encode(x).latent_dist.mode()).sample for x in images.split(32)]
    return torch.cat(batches).clamp(-1, 1)


def quality(vae: AutoencoderKL, photographs: Photographs) -> dict[str, float]:
    """PSNR and chroma correlations of the reconstruction."""
    images = photographs.images()
    again = reconstruct(vae, images)
    blue, red = chroma_correlation(again, images)
    return {"psnr": float(psnr(again, images).mean()), "chroma_blue": blue, "chroma_red": red}


def augment(x: Tensor) -> Tensor:
    """Mirror half of the pictures and shift their colour balance."""
    n = len(x)
    x = torch.where(torch.rand(n, 1, 1, 1) < 0.5, x.flip(-1), x)
    return (x * (1 + 0.15 * (torch.rand(n, 3, 1, 1) - 0.5))).clamp(-1, 1)


def train_step(vae: AutoencoderKL, optimizer: torch.optim.Optimizer, x: Tensor, bf16: bool) -> tuple[float, float]:
    """One step; returns the reconstruction loss and the KL divergence."""
    with autocast(bf16):
        posterior = vae.encode(x).latent_dist
        again = vae.decode(posterior.sample()).sample
    mean, logvar = posterior.mean.float(), posterior.logvar.float()
    kl = 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()
    loss = reconstruction_loss(again.float(), x)
    (loss + KL_WEIGHT * kl).backward()
    torch.nn.utils.clip_grad_norm_(vae.parameters(), 1.0)
    optimizer.step()
    optimizer.zero_grad()
    return loss.item(), kl.item()


def learning_rate(step: int, fraction: float) -> float:
    """Warm-up, then a cosine over the budget."""
    return LEARNING_RATE * min(1, (step + 1) / 100) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * fraction)))


def train(data: Path, work: Path, minutes: float) -> None:
    """Train, or go on training, until the budget is spent."""
    photographs, held_out = load_split(data, "train"), load_split(data, "validation")
    torch.manual_seed(0)
    vae, bf16 = make_vae(), bf16_is_fast()
    with torch.no_grad():
        vae.quant_conv.bias[4:] = -5
    ema = Ema(vae, 0.998)
    optimizer = torch.optim.AdamW(vae.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99), weight_decay=1e-4)
    path, step, budget = work / "vae.pt", 0, Budget(minutes)
    if state := load_checkpoint(path):
        vae.load_state_dict(state["vae"])
        ema.module.load_state_dict(state["ema"])
        optimizer.load_state_dict(state["optimizer"])
        restore_rng(state["rng"])
        step, budget = state["step"], Budget(minutes, state["seconds"])

    def save() -> None:
        networks = {"vae": vae.state_dict(), "ema": ema.module.state_dict(), "optimizer": optimizer.state_dict()}
        save_checkpoint(path, {**networks, "rng": rng_state(), "step": step, "seconds": budget.spent()})

    log, governor, losses = CsvLog(work / "vae.csv", COLUMNS), ThreadGovernor(), []
    print(f"vae: {sum(p.numel() for p in vae.parameters()) / 1e6:.2f} M parameters, bf16 {bf16}", flush=True)
    while budget.fraction() < 1:
        governor.update()
        for group in optimizer.param_groups:
            group["lr"] = learning_rate(step, budget.fraction())
        x = augment(photographs.images(torch.randint(len(photographs), (BATCH,))))
        losses.append(train_step(vae, optimizer, x, bf16))
        ema.update(vae, step)
        step += 1
        if step % 100 == 0:
            loss, kl = np.mean(losses, axis=0)
            losses.clear()
            figures = quality(ema.module, held_out) if step % 500 == 0 else {}
            log.write(step=step, seconds=budget.spent(), loss=loss, kl=kl, **figures)
            save()
    if losses:
        log.write(step=step, seconds=budget.spent(), **quality(ema.module, held_out))
        save()
