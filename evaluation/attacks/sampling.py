"""Pictures from a (tuned) model: text to image with classifier-free guidance."""

import torch
from torch import Tensor

from .model import AttackedModel


@torch.no_grad()
def guided(model: AttackedModel, latents: Tensor, timestep: Tensor, texts: Tensor, guidance: float) -> Tensor:
    """The UNet's guided prediction; `texts` holds the plain embeddings, then the conditioned ones."""
    plain, conditioned = model.pipe.unet(latents.repeat(2, 1, 1, 1), timestep, texts).sample.chunk(2)
    return plain + guidance * (conditioned - plain)


@torch.no_grad()
def sample(model: AttackedModel, prompts: list[str], seed: int, steps: int, guidance: float) -> Tensor:
    """One picture a prompt."""
    scheduler = model.sampler(steps)
    latents = model.noise(len(prompts), seed)
    texts = model.texts([""] * len(prompts) + prompts)
    for timestep in scheduler.timesteps:
        prediction = guided(model, latents, timestep, texts, guidance)
        latents = scheduler.step(prediction, timestep, latents).prev_sample
    return model.decode(latents)
