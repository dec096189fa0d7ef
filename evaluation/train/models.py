"""The shapes of the three networks and of the schedule."""

from diffusers import AutoencoderKL, PNDMScheduler, UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel

from .data import SIDE

LATENT_SIDE = SIDE // 4
CONTEXT = 128
VOCABULARY = 8192
TOKENS = 77
SCALING_FACTOR = 0.18215
WIDTH = 64


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


def make_unet(width: int = WIDTH) -> UNet2DConditionModel:
    """Denoiser of four levels, the second and third (grids of a half and a quarter of the latent's) with attention.

    `width`: channels of the first level, a multiple of 16; the others have 2, 2.5 and 3 times as many.
    """
    return UNet2DConditionModel(
        sample_size=LATENT_SIDE,
        in_channels=4,
        out_channels=4,
        layers_per_block=1,
        block_out_channels=(width, 2 * width, 5 * width // 2, 3 * width),
        norm_num_groups=8,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
        mid_block_type="UNetMidBlock2DCrossAttn",
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        cross_attention_dim=CONTEXT,
        attention_head_dim=4,
        use_linear_projection=True,
    )


def make_text_encoder() -> CLIPTextModel:
    """CLIP text transformer of three layers."""
    config = CLIPTextConfig(
        vocab_size=VOCABULARY,
        hidden_size=CONTEXT,
        intermediate_size=4 * CONTEXT,
        num_hidden_layers=3,
        num_attention_heads=4,
        max_position_embeddings=TOKENS,
        projection_dim=CONTEXT,
        bos_token_id=VOCABULARY - 2,
        eos_token_id=VOCABULARY - 1,
        pad_token_id=VOCABULARY - 1,
    )
    model = CLIPTextModel(config)
    embeddings = model.text_model.embeddings
    for table in (embeddings.token_embedding, embeddings.position_embedding):
        table.weight.data.normal_(0, 0.1)
    return model


def make_scheduler() -> PNDMScheduler:
    """Stable Diffusion's noise schedule and sampler settings."""
    return PNDMScheduler(
        num_train_timesteps=1000,
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type="epsilon",
        skip_prk_steps=True,
        set_alpha_to_one=False,
        steps_offset=1,
    )


def alphas_cumprod() -> Tensor:
    """Share of the signal's variance left at each timestep."""
    return make_scheduler().alphas_cumprod
