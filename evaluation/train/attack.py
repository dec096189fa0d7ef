"""How far a small change of a photograph raises the model's denoising loss."""

import torch
import torch.nn.functional as F
from diffusers import StableDiffusionPipeline
from torch import Tensor

from .models import LATENT_SIDE
from .runtime import ThreadGovernor
from .sampling import seed_latents, texts_of
from .unet import add_noise, stratified_timesteps

STEP = 0.005
DRAWS = 16


def denoising_loss(
    pipe: StableDiffusionPipeline, images: Tensor, texts: list[str], timesteps: Tensor, noise: Tensor
) -> Tensor:
    """Mean squared error of the predicted noise on the pictures' latents."""
    latents = pipe.vae.encode(images).latent_dist.mode() * pipe.vae.config.scaling_factor
    noisy = add_noise(latents, noise, pipe.scheduler.alphas_cumprod[timesteps])
    return F.mse_loss(pipe.unet(noisy, timesteps, texts_of(pipe, texts)).sample, noise)


@torch.no_grad()
def measured_loss(pipe: StableDiffusionPipeline, images: Tensor, texts: list[str]) -> float:
    """The loss over the whole schedule, with the same noise at every call."""
    n, losses = len(images), []
    for draw in range(DRAWS):
        timesteps = (torch.arange(n) * DRAWS + draw) * 1000 // (n * DRAWS)
        order = torch.randperm(n, generator=torch.Generator().manual_seed(draw))
        losses.append(denoising_loss(pipe, images, texts, timesteps[order], seed_latents(n, 100 + draw)))
    return float(torch.stack(losses).mean())


def uniform_noise(images: Tensor, budget: float) -> Tensor:
    """The photographs with uniform noise of the budget."""
    return (images + budget * (2 * torch.rand_like(images) - 1)).clamp(-1, 1)


def pgd(pipe: StableDiffusionPipeline, images: Tensor, texts: list[str], budget: float, steps: int) -> Tensor:
    """The photographs after projected gradient ascent on the denoising loss."""
    attacked, governor = uniform_noise(images, budget), ThreadGovernor()
    for _ in range(steps):
        governor.update()
        attacked.requires_grad_(True)
        timesteps = stratified_timesteps(len(images))[torch.randperm(len(images))]
        loss = denoising_loss(pipe, attacked, texts, timesteps, torch.randn(len(images), 4, LATENT_SIDE, LATENT_SIDE))
        (gradient,) = torch.autograd.grad(loss, attacked)
        moved = attacked.detach() + STEP * gradient.sign()
        attacked = (images + (moved - images).clamp(-budget, budget)).clamp(-1, 1)
    return attacked.detach()
