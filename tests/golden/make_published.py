"""Write the tensor names and shapes of the published Stable Diffusion checkpoints into published/.

    python make_published.py            (needs torch, diffusers 0.35.2, transformers 4.57)

One line a tensor, sorted: the checkpoint key, then its sizes. The libraries build the models of the
published configurations on the meta device, so no weights are needed.
"""
import os

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "published")


def unet(**kwargs):
    return UNet2DConditionModel(
        in_channels=4, out_channels=4, block_out_channels=[320, 640, 1280, 1280], layers_per_block=2,
        down_block_types=["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
        up_block_types=["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3, **kwargs)


def text(width, inner, layers, heads, act):
    return CLIPTextModel(CLIPTextConfig(
        vocab_size=49408, hidden_size=width, intermediate_size=inner, num_hidden_layers=layers,
        num_attention_heads=heads, max_position_embeddings=77, hidden_act=act))


def vae():
    return AutoencoderKL(
        in_channels=3, out_channels=3, latent_channels=4, block_out_channels=[128, 256, 512, 512],
        layers_per_block=2, down_block_types=["DownEncoderBlock2D"] * 4,
        up_block_types=["UpDecoderBlock2D"] * 4)


MODELS = {
    "sd15_unet": lambda: unet(cross_attention_dim=768, attention_head_dim=8),
    "sd21_unet": lambda: unet(cross_attention_dim=1024, attention_head_dim=[5, 10, 20, 20],
                              use_linear_projection=True),
    "vae": vae,
    "sd15_text_encoder": lambda: text(768, 3072, 12, 12, "quick_gelu"),
    "sd21_text_encoder": lambda: text(1024, 4096, 23, 16, "gelu"),
}


def main():
    for name, build in MODELS.items():
        with torch.device("meta"):
            tensors = dict(build().named_parameters())
        with open(os.path.join(HERE, name + ".txt"), "w") as f:
            for key in sorted(tensors):
                f.write(" ".join([key, *map(str, tensors[key].shape)]) + "\n")
        print(name, len(tensors), sum(t.numel() for t in tensors.values()))


if __name__ == "__main__":
    main()
