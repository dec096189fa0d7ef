"""The shapes of the three networks and of the schedule."""

from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

from .data import SIDE

LATENT_SIDE = SIDE // 4
CONTEXT = 128
VOCABULARY = 8192
SCALING_FACTOR = 0.18215


def make_vae() -> AutoencoderKL:
    """Autoencoder of three levels: 64x64 pixels to 16x16 latents of four channels."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        sample_size=SIDE,
        layers_per_block=1,
        block_out_channels=(32, 48, 128),
        norm_num_groups=8,
        down_block_types=("DownEncoderBlock2D",) * 3,
        up_block_types=("UpDecoderBlock2D",) * 3,
        scaling_factor=SCALING_FACTOR,
    )
