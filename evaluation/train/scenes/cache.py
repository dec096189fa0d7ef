"""Scenes and their latents, computed in advance: shards of a few hundred, each written whole."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderTiny
from torch import Tensor

from ..runtime import save_checkpoint
from .compose import MOST, Scene, describe, render
from .stock import Stock

SHARD = 400
BATCH = 4  # with channels last, the fastest on one core
MASK_SIDE = 32


class Encoder(Protocol):
    """Turns pictures in [-1, 1] into latents as the denoiser sees them."""

    def __call__(self, images: Tensor) -> Tensor: ...


def load_teacher(encoders: Path, name: str = "taesd") -> AutoencoderTiny:
    """A distilled autoencoder of a production model, in single precision."""
    return AutoencoderTiny.from_pretrained(encoders / name, torch_dtype=torch.float32).eval().requires_grad_(False)


def teacher_encoder(encoders: Path, name: str = "taesd", device: str = "cpu") -> Encoder:
    """The teacher's encoder."""
    teacher = load_teacher(encoders, name).to(device, memory_format=torch.channels_last)

    def encode(images: Tensor) -> Tensor:
        return teacher.encode(images.to(device, memory_format=torch.channels_last)).latents.cpu().contiguous()

    return encode


def to_tensor(picture: np.ndarray, side: int) -> Tensor:
    """A rendered picture as float (3, side, side) in [-1, 1], box-filtered to the side."""
    pixels = torch.from_numpy(picture.copy()).permute(2, 0, 1).float() / 127.5 - 1
    return F.avg_pool2d(pixels, pixels.shape[-1] // side)


def pack_masks(masks: np.ndarray) -> Tensor:
    """Masks (things, S, S) in [0, 1] as bytes (MOST, MASK_SIDE, MASK_SIDE); absent things are empty."""
    packed = torch.zeros(MOST, MASK_SIDE, MASK_SIDE, dtype=torch.uint8)
    if len(masks):
        pooled = F.adaptive_avg_pool2d(torch.from_numpy(masks), MASK_SIDE)
        packed[: len(masks)] = (pooled * 255).round().byte()
    return packed


@torch.no_grad()
def make_shard(stock: Stock, first: int, count: int, side: int, encode: Encoder) -> dict[str, Any]:
    """The scenes of numbers `first` and up, with latents (half precision) and masks."""
    scenes = [describe(stock, first + number) for number in range(count)]
    latents, masks = [], []
    for start in range(0, count, BATCH):
        pictures = [render(scene, stock) for scene in scenes[start : start + BATCH]]
        latents.append(encode(torch.stack([to_tensor(picture, side) for picture, _ in pictures])).half())
        masks += [pack_masks(mask) for _, mask in pictures]
    described = [scene.to_dict() for scene in scenes]
    return {"scenes": described, "latents": torch.cat(latents), "masks": torch.stack(masks)}


def fill(data: Path, folder: Path, split: str, shards: int, side: int, encode: Encoder) -> None:
    """Make the shards that are not there yet."""
    folder.mkdir(parents=True, exist_ok=True)
    stock = Stock(data, split)
    for number in range(shards):
        path = folder / f"{split}-{number:03d}.pt"
        if path.exists():
            continue
        start = time.monotonic()
        save_checkpoint(path, make_shard(stock, number * SHARD, SHARD, side, encode))
        print(f"latents: {path.name} at {side} px, {time.monotonic() - start:.0f} s", flush=True)


@dataclass(frozen=True)
class Cached:
    """Scenes with latents (N, C, s, s) and masks (N, MOST, MASK_SIDE, MASK_SIDE) in [0, 1]."""

    scenes: list[Scene]
    latents: Tensor
    masks: Tensor

    def __len__(self) -> int:
        return len(self.scenes)

    def masks_of(self, index: Tensor | slice) -> Tensor:
        """Masks of the chosen scenes as floats in [0, 1]."""
        return self.masks[index].float() / 255


def count_shards(folder: Path, split: str) -> int:
    """Number of shards of a split that are there."""
    return len(list(folder.glob(f"{split}-*.pt")))


def load_cache(folder: Path, split: str) -> Cached:
    """All shards of a split that are there."""
    paths = sorted(folder.glob(f"{split}-*.pt"))
    if not paths:
        raise FileNotFoundError(f"no latents of split {split!r} in {folder}: the stage latents comes first")
    shards = [torch.load(path, weights_only=False) for path in paths]
    scenes = [Scene.from_dict(values) for shard in shards for values in shard["scenes"]]
    latents = torch.cat([shard["latents"] for shard in shards])
    return Cached(scenes, latents.float(), torch.cat([shard["masks"] for shard in shards]))
