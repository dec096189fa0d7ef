"""How much a tuned model has learned of a subject, told by its own loss; needs no other network."""

import torch
import torch.nn.functional as F
from torch import Tensor

from ..attacks.model import AttackedModel

DRAWS = 16  # timesteps and noises a photograph; the same at every call


@torch.no_grad()
def denoising_loss(model: AttackedModel, images: Tensor, prompt: str) -> Tensor:
    """Mean loss of each photograph over fixed timesteps and noises; shape [N], on the CPU."""
    latents = model.encode(images)
    scheduler = model.sampler(10)
    total = scheduler.config.num_train_timesteps
    texts = model.texts([prompt]).expand(len(images), -1, -1)
    losses = []
    for draw in range(DRAWS):
        timesteps = torch.full((len(images),), (2 * draw + 1) * total // (2 * DRAWS), device=model.device)
        noise = model.noise(len(images), 1000 + draw)
        prediction = model.pipe.unet(scheduler.add_noise(latents, noise, timesteps), timesteps, texts).sample
        error = F.mse_loss(prediction.float(), model.target(latents, noise, timesteps).float(), reduction="none")
        losses.append(error.mean((1, 2, 3)).cpu())
    return torch.stack(losses).mean(0)


def learned(untuned: Tensor, tuned: Tensor) -> float:
    """Share of the untuned model's loss that tuning took away; 0: nothing learned, below: harm done."""
    return float((1 - tuned / untuned).mean())
