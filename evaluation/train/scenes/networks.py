"""The shapes of the scenes model's networks; the text encoder and the schedule are those of ..models."""

from diffusers import AutoencoderKL, UNet2DConditionModel

from ..models import CONTEXT, SCALING_FACTOR

SIDE = 256
FACTOR = 8
LATENT_SIDE = SIDE // FACTOR
WIDTHS = (64, 128, 224)
VAE_WIDTHS = (24, 48, 96, 128)


def make_unet(widths: tuple[int, ...] = WIDTHS, latent_channels: int = 4) -> UNet2DConditionModel:
    """Denoiser of three levels; those of a half and a quarter of the latent's side, and the middle, hear the text."""
    attends = ("CrossAttn",) * (len(widths) - 1)
    return UNet2DConditionModel(
        sample_size=LATENT_SIDE,
        in_channels=latent_channels,
        out_channels=latent_channels,
        layers_per_block=1,
        block_out_channels=widths,
        norm_num_groups=8,
        down_block_types=("DownBlock2D", *(f"{kind}DownBlock2D" for kind in attends)),
        mid_block_type="UNetMidBlock2DCrossAttn",
        up_block_types=(*(f"{kind}UpBlock2D" for kind in attends), "UpBlock2D"),
        cross_attention_dim=CONTEXT,
        attention_head_dim=4,
        use_linear_projection=True,
    )


def make_vae(widths: tuple[int, ...] = VAE_WIDTHS) -> AutoencoderKL:
    """Autoencoder of four levels: 256x256 pixels to 32x32 latents of four channels."""
    return AutoencoderKL(
        in_channels=3,
        out_channels=3,
        latent_channels=4,
        sample_size=SIDE,
        layers_per_block=1,
        block_out_channels=widths,
        norm_num_groups=8,
        down_block_types=("DownEncoderBlock2D",) * len(widths),
        up_block_types=("UpDecoderBlock2D",) * len(widths),
        scaling_factor=SCALING_FACTOR,
    )
