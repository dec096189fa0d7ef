"""Small encoders alone, in AutoencoderTiny's layout: students of the distilled encoders of production models."""

import json
from pathlib import Path

import torch
from diffusers import AutoencoderTiny
from diffusers.models.autoencoders.vae import EncoderTiny
from safetensors.torch import save_file
from torch import Tensor, nn

from .distil import load_average

TEACHERS = ("taesd", "taesdxl", "taef1")
WIDTH = 32
BLOCKS = (1, 3, 3, 3)


class TinyEncoder(nn.Module):
    """AutoencoderTiny's encoder: pictures in [-1, 1] to latents as the denoiser sees them."""

    def __init__(self, channels: int, width: int = WIDTH) -> None:
        super().__init__()
        self.encoder = EncoderTiny(3, channels, BLOCKS, (width,) * len(BLOCKS), act_fn="relu")

    def forward(self, images: Tensor) -> Tensor:
        """Latents of pictures in [-1, 1]."""
        return self.encoder(images)


def latent_channels(path: Path) -> int:
    """Channels of a checkpoint's latents."""
    layers = torch.load(path, weights_only=False)["ema"]
    return len(list(layers.values())[-1])


def export(path: Path, folder: Path) -> None:
    """Write the encoder of a checkpoint, in half precision and without a decoder, into `folder`."""
    channels = latent_channels(path)
    encoder = load_average(path, TinyEncoder(channels))
    config = dict(AutoencoderTiny(latent_channels=channels).config)
    config |= {"_class_name": "AutoencoderTiny", "encoder_block_out_channels": [WIDTH] * len(BLOCKS)}
    config |= {"num_encoder_blocks": list(BLOCKS), "encoder_only": True}
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, indent=1, default=list) + "\n")
    weights = {name: value.half().contiguous() for name, value in encoder.state_dict().items()}
    save_file(weights, folder / "diffusion_pytorch_model.safetensors", {"format": "pt"})
