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

SCHEDULER = {"_class_name": "DDIMScheduler", "beta_start": 0.00085, "beta_end": 0.012,
             "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}

# Pipeline, prediction type, latent side, and for each part the published config and tensor list.
SHAPES = {
    "sd15": ("StableDiffusionPipeline", "epsilon", 64,
             {"unet": "sd15_unet", "vae": "sd15_vae", "text_encoder": "sd15_text_encoder"}),
    "sd21": ("StableDiffusionPipeline", "v_prediction", 64,
             {"unet": "sd21_unet", "vae": "sd15_vae", "text_encoder": "sd21_text_encoder"}),
    "sdxl": ("StableDiffusionXLPipeline", "epsilon", 128,
             {"unet": "sdxl_unet", "vae": "sdxl_vae", "text_encoder": "sdxl_text_encoder",
              "text_encoder_2": "sdxl_text_encoder_2"}),
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
    pipeline, prediction, side, parts = SHAPES[arguments.shape]
    folder = arguments.folder
    numbers = np.random.default_rng(1).standard_normal(BLOCK, dtype=np.float32)
    index = {"_class_name": pipeline, "scheduler": ["diffusers", "DDIMScheduler"]}
    for part, name in parts.items():
        index[part] = list(CLASSES[part])
        config = json.loads((GOLDEN / "published" / f"{name}.json").read_text())
        if part == "unet":
            config["sample_size"] = side
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
    write_json(folder / "scheduler" / "scheduler_config.json",
               {**SCHEDULER, "prediction_type": prediction})
    write_json(folder / "model_index.json", index)


if __name__ == "__main__":
    main()
