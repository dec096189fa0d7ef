"""Write the tensor names and shapes of published checkpoints into published/.

    python make_published.py            (needs torch, diffusers 0.35.2, transformers 4.57)

published/NAME.json is a published config file, published/NAME.txt what the libraries build from it on the
meta device, so no weights are needed: one line a tensor, sorted: the checkpoint key, then its sizes. Of
autoencoders only the encoder's half is kept.

Where the config files come from (values as they are; `_name_or_path` and line breaks left out):
- sd15_*, sd15_inpainting_unet, sd21_*, sdxl_*, sd3_vae, flux1_vae: the copies of the Hugging Face repositories
  runwayml/stable-diffusion-v1-5, runwayml/stable-diffusion-inpainting, stabilityai/stable-diffusion-2-1,
  stabilityai/stable-diffusion-xl-base-1.0, stabilityai/stable-diffusion-3-medium-diffusers and
  black-forest-labs/FLUX.1-dev in lllyasviel/stable-diffusion-webui-forge (backend/huggingface), commit dfdcbab.
- bk_tiny_unet, bk_small_unet: Nota-NetsPresso/BK-SDM, src/unet_config, commits 9889d37 and f3d9882. (No copy of
  segmind/tiny-sd's file was at hand; it is of this kind.)
- pix2pix_unet: sd15_unet with `in_channels` 8; its authors and diffusers' train_instruct_pix2pix.py change nothing
  else in the network. No copy of the published file was at hand.
- taesd: the defaults of diffusers' AutoencoderTiny, written out; madebyollin/taesd is what they were made for.
"""
import glob
import json
import os

import torch
from diffusers import AutoencoderKL, AutoencoderTiny, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "published")
DIFFUSERS = {c.__name__: c for c in (AutoencoderKL, AutoencoderTiny, UNet2DConditionModel)}
TRANSFORMERS = {c.__name__: c for c in (CLIPTextModel, CLIPTextModelWithProjection)}
DECODERS = ("decoder.", "post_quant_conv.")


def build(config):
    if "_class_name" in config:
        return DIFFUSERS[config["_class_name"]].from_config(config)
    return TRANSFORMERS[config["architectures"][0]](CLIPTextConfig.from_dict(config))


def main():
    for path in sorted(glob.glob(os.path.join(HERE, "*.json"))):
        with open(path) as f:
            config = json.load(f)
        with torch.device("meta"):
            tensors = {k: t for k, t in build(config).named_parameters() if not k.startswith(DECODERS)}
        with open(path.removesuffix("json") + "txt", "w") as f:
            for key in sorted(tensors):
                f.write(" ".join([key, *map(str, tensors[key].shape)]) + "\n")
        print(os.path.basename(path), len(tensors), sum(t.numel() for t in tensors.values()))


if __name__ == "__main__":
    main()
