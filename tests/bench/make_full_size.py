"""Write a model folder of full size with random weights, for measuring memory and time.

    python tests/bench/make_full_size.py {sd15,sd21,sdxl} FOLDER

The folder has the tensor names and shapes of the published checkpoint (tests/golden/published), its
configs, CLIP's tokenizer, and fp16 weights drawn so that activations keep their size: it computes
what the real model computes in the same time and memory, and means nothing. Needs numpy alone;
memory for one tensor.
"""
import argparse
import json
import math
import shutil
import struct
import sys
from pathlib import Path

import numpy as np

GOLDEN = Path(__file__).resolve().parent.parent / "golden"
TOKENIZER = GOLDEN / "tokenizer"
BLOCK = 1 << 22  # random numbers drawn once and repeated: their values do not matter

UNET = {"_class_name": "UNet2DConditionModel", "in_channels": 4, "out_channels": 4,
        "layers_per_block": 2, "sample_size": 64}
SD_BLOCKS = {"block_out_channels": [320, 640, 1280, 1280],
             "down_block_types": ["CrossAttnDownBlock2D"] * 3 + ["DownBlock2D"],
             "up_block_types": ["UpBlock2D"] + ["CrossAttnUpBlock2D"] * 3}
XL_BLOCKS = {"block_out_channels": [320, 640, 1280],
             "down_block_types": ["DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"],
             "up_block_types": ["CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"]}
VAE = {"_class_name": "AutoencoderKL", "in_channels": 3, "out_channels": 3, "latent_channels": 4,
       "block_out_channels": [128, 256, 512, 512], "layers_per_block": 2,
       "down_block_types": ["DownEncoderBlock2D"] * 4, "up_block_types": ["UpDecoderBlock2D"] * 4}
SCHEDULER = {"_class_name": "DDIMScheduler", "beta_start": 0.00085, "beta_end": 0.012,
             "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}


def text(width, inner, layers, heads, act, projection=0):
    config = {"architectures": ["CLIPTextModelWithProjection" if projection else "CLIPTextModel"],
              "vocab_size": 49408, "hidden_size": width, "intermediate_size": inner,
              "num_hidden_layers": layers, "num_attention_heads": heads, "hidden_act": act,
              "max_position_embeddings": 77, "eos_token_id": 2, "bos_token_id": 0}
    if projection:
        config["projection_dim"] = projection
    return config


# part: (config, list of published tensors)
SHAPES = {
    "sd15": {
        "pipeline": "StableDiffusionPipeline", "scheduler": SCHEDULER,
        "parts": {
            "unet": ({**UNET, **SD_BLOCKS, "cross_attention_dim": 768, "attention_head_dim": 8},
                     "sd15_unet"),
            "vae": (VAE, "vae"),
            "text_encoder": (text(768, 3072, 12, 12, "quick_gelu"), "sd15_text_encoder")}},
    "sd21": {
        "pipeline": "StableDiffusionPipeline",
        "scheduler": {**SCHEDULER, "prediction_type": "v_prediction"},
        "parts": {
            "unet": ({**UNET, **SD_BLOCKS, "cross_attention_dim": 1024,
                      "attention_head_dim": [5, 10, 20, 20], "use_linear_projection": True},
                     "sd21_unet"),
            "vae": (VAE, "vae"),
            "text_encoder": (text(1024, 4096, 23, 16, "gelu"), "sd21_text_encoder")}},
    "sdxl": {
        "pipeline": "StableDiffusionXLPipeline", "scheduler": SCHEDULER,
        "parts": {
            "unet": ({**UNET, **XL_BLOCKS, "cross_attention_dim": 2048, "sample_size": 128,
                      "attention_head_dim": [5, 10, 20], "use_linear_projection": True,
                      "transformer_layers_per_block": [1, 2, 10], "addition_embed_type": "text_time",
                      "addition_time_embed_dim": 256, "projection_class_embeddings_input_dim": 2816},
                     "sdxl_unet"),
            "vae": ({**VAE, "scaling_factor": 0.13025}, "vae"),
            "text_encoder": (text(768, 3072, 12, 12, "quick_gelu", 768), "sdxl_text_encoder"),
            "text_encoder_2": (text(1280, 5120, 32, 20, "gelu", 1280), "sdxl_text_encoder_2")}},
}
CLASSES = {"unet": ("diffusers", "UNet2DConditionModel"), "vae": ("diffusers", "AutoencoderKL"),
           "text_encoder": ("transformers", "CLIPTextModel"),
           "text_encoder_2": ("transformers", "CLIPTextModelWithProjection")}


def published(name):
    for line in (GOLDEN / "published" / f"{name}.txt").read_text().splitlines():
        key, *sizes = line.split()
        yield key, [int(size) for size in sizes]


def values(key, shape, numbers):
    """The fp16 values of a tensor, in pieces."""
    count = math.prod(shape)
    if len(shape) == 1:
        is_scale = key.endswith("weight")
        yield np.full(count, 1 if is_scale else 0, np.float16)
        return
    deviation = 0.02 if "embedding" in key else 1 / math.sqrt(count / shape[0])
    scaled = (numbers * deviation).astype(np.float16)
    for start in range(0, count, BLOCK):
        yield scaled[:min(BLOCK, count - start)]


def write_weights(path, tensors, numbers):
    header, offset = {}, 0
    for key, shape in tensors:
        end = offset + 2 * math.prod(shape)
        header[key] = {"dtype": "F16", "shape": shape, "data_offsets": [offset, end]}
        offset = end
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(text)) + text)
        for key, shape in tensors:
            for piece in values(key, shape, numbers):
                file.write(piece.tobytes())
    return offset // 2


def write_json(path, value):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(value, indent=2) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("shape", choices=SHAPES)
    parser.add_argument("folder", type=Path)
    arguments = parser.parse_args()
    shape, folder = SHAPES[arguments.shape], arguments.folder
    numbers = np.random.default_rng(1).standard_normal(BLOCK, dtype=np.float32)
    index = {"_class_name": shape["pipeline"], "scheduler": ["diffusers", "DDIMScheduler"]}
    for part, (config, name) in shape["parts"].items():
        index[part] = list(CLASSES[part])
        write_json(folder / part / "config.json", config)
        stem = "model" if part.startswith("text") else "diffusion_pytorch_model"
        count = write_weights(folder / part / f"{stem}.fp16.safetensors", list(published(name)),
                              numbers)
        print(f"{part}: {count:,} weights", file=sys.stderr)
        if part.startswith("text"):
            tokenizer = part.replace("text_encoder", "tokenizer")
            index[tokenizer] = ["transformers", "CLIPTokenizer"]
            (folder / tokenizer).mkdir(exist_ok=True)
            for file in ("merges.txt", "vocab.json", "special_tokens_map.json",
                         "tokenizer_config.json"):
                shutil.copy(TOKENIZER / file, folder / tokenizer / file)
    write_json(folder / "scheduler" / "scheduler_config.json", shape["scheduler"])
    write_json(folder / "model_index.json", index)


if __name__ == "__main__":
    main()
