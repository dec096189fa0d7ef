"""DreamBooth: tune the denoiser on one photograph, and see whether its samples come nearer to it."""

import copy

import torch
import torch.nn.functional as F
from diffusers import StableDiffusionPipeline
from torch import Tensor

from .judge import Judge
from .latents import encode
from .runtime import ThreadGovernor
from .sampling import denoise, seed_latents, texts_of
from .unet import add_noise, stratified_timesteps
from .vae import psnr

BATCH = 4
LEARNING_RATE = 1e-4
SAMPLES = 8


def tune(pipe: StableDiffusionPipeline, image: Tensor, text: str, steps: int) -> StableDiffusionPipeline:
    """A copy of the pipeline whose UNet is tuned on one photograph."""
    tuned = copy.copy(pipe)
    tuned.unet = copy.deepcopy(pipe.unet).train().requires_grad_(True)
    latent, embedding = encode(pipe.vae, image[None]), texts_of(pipe, [text] * BATCH)
    optimizer = torch.optim.AdamW(tuned.unet.parameters(), lr=LEARNING_RATE, weight_decay=0.01)
    governor = ThreadGovernor()
    for _ in range(steps):
        governor.update()
        timesteps, noise = stratified_timesteps(BATCH), torch.randn(BATCH, *latent.shape[1:])
        noisy = add_noise(latent, noise, pipe.scheduler.alphas_cumprod[timesteps])
        F.mse_loss(tuned.unet(noisy, timesteps, embedding).sample, noise).backward()
        optimizer.step()
        optimizer.zero_grad()
    tuned.unet.eval().requires_grad_(False)
    return tuned


@torch.no_grad()
def nearness(pipe: StableDiffusionPipeline, judge: Judge, image: Tensor, text: str) -> tuple[float, float]:
    """Cosine similarity of the judge's embeddings and PSNR, averaged over samples, to the photograph."""
    samples = denoise(pipe, seed_latents(SAMPLES, 7), [text] * SAMPLES)
    target = image.expand_as(samples)
    similarity = F.cosine_similarity(judge.embed(samples), judge.embed(target)).mean()
    return float(similarity), float(psnr(samples, target).mean())
