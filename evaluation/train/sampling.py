"""Pictures from the model: text to image, and edits of a photograph (SDEdit)."""

import torch
from diffusers import DDIMScheduler, StableDiffusionPipeline
from torch import Tensor

from .latents import decode, encode
from .models import LATENT_SIDE
from .text import embed

STEPS = 30
GUIDANCE = 4.0


def seed_latents(count: int, seed: int) -> Tensor:
    """Noise to start from."""
    return torch.randn(count, 4, LATENT_SIDE, LATENT_SIDE, generator=torch.Generator().manual_seed(seed))


def texts_of(pipe: StableDiffusionPipeline, texts: list[str]) -> Tensor:
    """Embeddings of the texts, each distinct text embedded once."""
    distinct = sorted(set(texts))
    table = embed(pipe.tokenizer, pipe.text_encoder, distinct)
    return table[[distinct.index(text) for text in texts]]


@torch.no_grad()
def denoise(
    pipe: StableDiffusionPipeline, latents: Tensor, texts: list[str], strength: float = 1.0, guidance: float = GUIDANCE
) -> Tensor:
    """DDIM with classifier-free guidance over the last `strength` of the schedule, then the decoder."""
    scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    scheduler.set_timesteps(STEPS)
    embeddings = torch.cat([texts_of(pipe, [""] * len(texts)), texts_of(pipe, texts)])
    for timestep in scheduler.timesteps[STEPS - round(STEPS * strength) :]:
        noise = pipe.unet(latents.repeat(2, 1, 1, 1), timestep, embeddings).sample
        plain, conditioned = noise.chunk(2)
        latents = scheduler.step(plain + guidance * (conditioned - plain), timestep, latents).prev_sample
    return decode(pipe.vae, latents)


def sample(pipe: StableDiffusionPipeline, texts: list[str], seed: int) -> Tensor:
    """One picture a text."""
    noise = seed_latents(len(texts), seed)
    batches = [denoise(pipe, noise[i : i + 25], texts[i : i + 25]) for i in range(0, len(texts), 25)]
    return torch.cat(batches)


def edit(pipe: StableDiffusionPipeline, images: Tensor, texts: list[str], strength: float, seed: int) -> Tensor:
    """SDEdit: noise the photographs up to `strength` of the schedule and denoise them towards the texts."""
    scheduler = DDIMScheduler.from_config(pipe.scheduler.config)
    scheduler.set_timesteps(STEPS)
    start = scheduler.timesteps[STEPS - round(STEPS * strength)]
    noise = seed_latents(len(images), seed)
    noisy = scheduler.add_noise(encode(pipe.vae, images), noise, start.repeat(len(images)))
    batches = [denoise(pipe, noisy[i : i + 25], texts[i : i + 25], strength) for i in range(0, len(texts), 25)]
    return torch.cat(batches)
