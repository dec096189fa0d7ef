"""The attacker's model: any diffusers folder of the Stable Diffusion 1.x / 2.x kind."""

import copy
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from diffusers import DDIMInverseScheduler, DDIMScheduler, StableDiffusionPipeline
from diffusers.utils import logging as diffusers_logging
from torch import Tensor

PIECE = 32  # pictures that go through the networks at once


@dataclass(frozen=True)
class AttackedModel:
    """A loaded pipeline. Pictures are float tensors [N, 3, side, side] in [-1, 1]."""

    pipe: StableDiffusionPipeline
    placeholder: str = "sks"  # the word that stands for a learnt subject
    size: int = 0  # side of the pictures in pixels; 0: the native one

    @property
    def device(self) -> torch.device:
        return self.pipe.unet.device

    @property
    def dtype(self) -> torch.dtype:
        return self.pipe.unet.dtype

    @property
    def factor(self) -> int:
        """Pixels a latent cell is wide."""
        return 2 ** (len(self.pipe.vae.config.block_out_channels) - 1)

    @property
    def side(self) -> int:
        """The side of the pictures in pixels."""
        return self.size or self.pipe.unet.config.sample_size * self.factor

    def texts(self, prompts: list[str], grad: bool = False) -> Tensor:
        """Embeddings [N, T, D] of the prompts."""
        tokens = self.pipe.tokenizer(
            prompts, padding="max_length", max_length=self.pipe.tokenizer.model_max_length, truncation=True,
            return_tensors="pt",
        ).input_ids.to(self.device)
        with torch.set_grad_enabled(grad):
            return self.pipe.text_encoder(tokens)[0]

    @torch.no_grad()
    def encode(self, images: Tensor) -> Tensor:
        """Scaled posterior means."""
        pieces = images.to(self.device, self.dtype).split(PIECE)
        means = [self.pipe.vae.encode(piece).latent_dist.mode() for piece in pieces]
        return torch.cat(means) * self.pipe.vae.config.scaling_factor

    @torch.no_grad()
    def decode(self, latents: Tensor) -> Tensor:
        """Pictures of scaled latents, on the CPU in float32."""
        pieces = (latents / self.pipe.vae.config.scaling_factor).split(PIECE)
        return torch.cat([self.pipe.vae.decode(piece).sample for piece in pieces]).clamp(-1, 1).float().cpu()

    def noise(self, count: int, seed: int) -> Tensor:
        """Normal noise of the latents' shape; the same on every device."""
        side = self.side // self.factor
        drawn = torch.randn(count, 4, side, side, generator=torch.Generator().manual_seed(seed))
        return drawn.to(self.device, self.dtype)

    def sampler(self, steps: int, inverse: bool = False) -> DDIMScheduler | DDIMInverseScheduler:
        """DDIM on the model's own noise schedule."""
        kind = DDIMInverseScheduler if inverse else DDIMScheduler
        scheduler = kind.from_config(self.pipe.scheduler.config, clip_sample=False)
        scheduler.set_timesteps(steps)
        return scheduler

    def target(self, latents: Tensor, noise: Tensor, timesteps: Tensor) -> Tensor:
        """What the UNet is trained to say: the noise, or v."""
        scheduler = self.sampler(10)
        if scheduler.config.prediction_type == "v_prediction":
            return scheduler.get_velocity(latents, noise, timesteps)
        return noise

    def with_unet(self, unet: torch.nn.Module) -> "AttackedModel":
        """The same model with another denoiser."""
        pipe = copy.copy(self.pipe)
        pipe.unet = unet
        return replace(self, pipe=pipe)


def load(folder: Path, device: str = "cpu", size: int = 0) -> AttackedModel:
    """Load a diffusers folder; frozen, in evaluation mode, weights in float32. ValueError: `size` fits no UNet of its depth."""
    diffusers_logging.disable_progress_bar()
    pipe = StableDiffusionPipeline.from_pretrained(
        folder, torch_dtype=torch.float32, safety_checker=None, requires_safety_checker=False
    ).to(device)
    pipe.set_progress_bar_config(disable=True)
    for part in (pipe.vae, pipe.unet, pipe.text_encoder):
        part.eval().requires_grad_(False)
    model = AttackedModel(pipe, size=size)
    cell = model.factor * 2 ** (len(pipe.unet.config.block_out_channels) - 1)
    if size % cell:
        raise ValueError(f"pictures of {size} pixels: not a multiple of {cell}")
    return model
