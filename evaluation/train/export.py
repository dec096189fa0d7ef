"""The trained networks in the diffusers layout, in half precision."""

from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel

from . import text
from .latents import load_vae
from .models import make_scheduler, make_unet


def load_unet(path: Path) -> UNet2DConditionModel:
    """The averaged UNet of a training checkpoint."""
    state = torch.load(path, weights_only=False)
    unet = make_unet(state["width"])
    unet.load_state_dict(state["ema"])
    return unet.eval().requires_grad_(False)


def load_pipeline(work: Path) -> StableDiffusionPipeline:
    """The pipeline of the trained parts, in single precision."""
    tokenizer, encoder = text.load(work)
    return StableDiffusionPipeline(
        vae=load_vae(work / "vae-final.pt"),
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=load_unet(work / "unet.pt"),
        scheduler=make_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def megabytes(folder: Path) -> float:
    """Size of all weights."""
    return sum(path.stat().st_size for path in folder.rglob("*.safetensors")) / 1e6


def export(work: Path, folder: Path) -> None:
    """Write the model into `folder`."""
    load_pipeline(work).to(dtype=torch.float16).save_pretrained(folder, safe_serialization=True)
    print(f"export: {folder}, {megabytes(folder):.1f} MB of weights", flush=True)
