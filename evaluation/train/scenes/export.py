"""The trained networks in the diffusers layout, in half precision."""

from pathlib import Path

import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline

from .. import text
from ..export import megabytes
from ..models import make_scheduler
from .decoder import student_decoder
from .denoiser import load_unet
from .distil import student_encoder
from .networks import make_vae


def load_vae(work: Path) -> AutoencoderKL:
    """The student's encoder and decoder in one."""
    vae, encoder, decoder = make_vae(), student_encoder(work / "encoder.pt"), student_decoder(work / "decoder.pt")
    vae.encoder, vae.quant_conv = encoder.encoder, encoder.quant_conv
    vae.decoder, vae.post_quant_conv = decoder.decoder, decoder.post_quant_conv
    return vae.eval().requires_grad_(False)


def load_pipeline(work: Path, name: str) -> StableDiffusionPipeline:
    """The pipeline of the trained parts, in single precision; `name` is the denoiser's."""
    tokenizer, encoder = text.load(work)
    return StableDiffusionPipeline(
        vae=load_vae(work),
        text_encoder=encoder,
        tokenizer=tokenizer,
        unet=load_unet(work / f"{name}.pt"),
        scheduler=make_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def export(work: Path, name: str, folder: Path) -> None:
    """Write the model into `folder`."""
    load_pipeline(work, name).to(dtype=torch.float16).save_pretrained(folder, safe_serialization=True)
    print(f"export: {folder}, {megabytes(folder):.1f} MB of weights", flush=True)
