"""Attacks that edit a photograph after a prompt: SDEdit, DiffEdit, MasaCtrl, inpainting by latent blending."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from diffusers import StableDiffusionDiffEditPipeline, StableDiffusionImg2ImgPipeline
from torch import Tensor

from .masactrl import mutual_self_attention
from .model import AttackedModel
from .sampling import guided


@dataclass(frozen=True)
class EditSettings:
    """How the edits are made; the same for every method."""

    steps: int = 30
    guidance: float = 2.0
    strength: float = 0.7
    seed: int = 0


@dataclass(frozen=True)
class EditTask:
    """Photographs, what is in them, and what they shall become; one prompt of each kind a photograph."""

    images: Tensor
    source: list[str]
    target: list[str]


def generators(count: int, seed: int) -> list[torch.Generator]:
    """One generator a picture, so that a picture's edit does not depend on the batch."""
    return [torch.Generator().manual_seed(seed + i) for i in range(count)]


def sdedit(model: AttackedModel, task: EditTask, settings: EditSettings) -> Tensor:
    """Noise up to `strength` of the schedule, then denoise towards the target (Meng et al. 2022); diffusers' pipeline."""
    pipe = StableDiffusionImg2ImgPipeline(**parts(model), requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    edited = pipe(
        prompt=task.target, image=(task.images + 1) / 2, strength=settings.strength, output_type="pt",
        num_inference_steps=settings.steps, guidance_scale=settings.guidance,
        generator=generators(len(task.images), settings.seed),
    ).images
    return edited.float().cpu() * 2 - 1


def parts(model: AttackedModel) -> dict:
    """The components for another of diffusers' pipelines, with DDIM."""
    pipe = model.pipe
    return {"vae": pipe.vae, "unet": pipe.unet, "text_encoder": pipe.text_encoder, "tokenizer": pipe.tokenizer,
            "scheduler": model.sampler(50), "safety_checker": None, "feature_extractor": None}


def diffedit(model: AttackedModel, task: EditTask, settings: EditSettings) -> Tensor:
    """A mask from two prompts, DDIM inversion, and denoising inside of the mask (Couairon et al. 2023)."""
    pipe = StableDiffusionDiffEditPipeline(
        **parts(model), inverse_scheduler=model.sampler(50, inverse=True), requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    edits = []
    for i in range(len(task.images)):
        image = (task.images[i : i + 1] + 1) / 2
        common = {"num_inference_steps": settings.steps, "guidance_scale": settings.guidance,
                  "generator": generators(1, settings.seed + i)[0]}
        torch.manual_seed(settings.seed + i)
        mask = pipe.generate_mask(image=image, source_prompt=task.source[i], target_prompt=task.target[i], **common)
        inverted = pipe.invert(prompt=task.source[i], image=image, inpaint_strength=settings.strength,
                               decode_latents=False, **common).latents
        edit = pipe(prompt=task.target[i], mask_image=mask, image_latents=inverted, negative_prompt=task.source[i],
                    inpaint_strength=settings.strength, output_type="pt", **common).images
        edits.append(edit.float().cpu() * 2 - 1)
    return torch.cat(edits)


@torch.no_grad()
def invert(model: AttackedModel, latents: Tensor, texts: Tensor, steps: int) -> Tensor:
    """DDIM inversion without guidance: the noise that denoises to `latents` under `texts`."""
    scheduler = model.sampler(steps, inverse=True)
    for timestep in scheduler.timesteps:
        prediction = model.pipe.unet(latents, timestep, texts).sample
        latents = scheduler.step(prediction, timestep, latents).prev_sample
    return latents


@torch.no_grad()
def masactrl(model: AttackedModel, task: EditTask, settings: EditSettings) -> Tensor:
    """Denoising whose self-attention looks at the photograph's own pass (Cao et al. 2023)."""
    count = len(task.images)
    start = invert(model, model.encode(task.images), model.texts(task.source), settings.steps)
    texts = model.texts([""] * (2 * count) + task.source + task.target)
    latents = start.repeat(2, 1, 1, 1)
    scheduler = model.sampler(settings.steps)
    begin = max(1, settings.steps // 12)  # the published start: step 4 of 50
    for step, timestep in enumerate(scheduler.timesteps):
        with mutual_self_attention(model.pipe.unet, pictures=count, active=step >= begin):
            prediction = guided(model, latents, timestep, texts, settings.guidance)
        # The photograph's own pass is not guided: it shall come back as it was.
        plain = model.pipe.unet(latents[:count], timestep, texts[2 * count : 3 * count]).sample
        prediction = torch.cat([plain, prediction[count:]])
        latents = scheduler.step(prediction, timestep, latents).prev_sample
    return model.decode(latents[count:])


@torch.no_grad()
def inpainting(model: AttackedModel, task: EditTask, settings: EditSettings) -> Tensor:
    """The middle of the photograph made anew, the rest held at each step (latent blending, Avrahami et al. 2023)."""
    clean = model.encode(task.images)
    count, _, height, width = clean.shape
    mask = torch.zeros(1, 1, height, width, device=model.device, dtype=model.dtype)
    mask[:, :, height // 4 : -(height // 4), width // 4 : -(width // 4)] = 1
    noise = model.noise(count, settings.seed)
    scheduler = model.sampler(settings.steps)
    texts = model.texts([""] * count + task.target)
    latents = noise
    for step, timestep in enumerate(scheduler.timesteps):
        prediction = guided(model, latents, timestep, texts, settings.guidance)
        latents = scheduler.step(prediction, timestep, latents).prev_sample
        last = step + 1 == len(scheduler.timesteps)
        held = clean if last else scheduler.add_noise(clean, noise, scheduler.timesteps[step + 1].repeat(count))
        latents = mask * latents + (1 - mask) * held
    return model.decode(latents)


EDIT_ATTACKS: dict[str, Callable[[AttackedModel, EditTask, EditSettings], Tensor]] = {
    "sdedit": sdedit,
    "diffedit": diffedit,
    "masactrl": masactrl,
    "inpainting": inpainting,
}
