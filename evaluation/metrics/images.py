"""Pictures as tensors and files, and how far apart two are."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from PIL import Image, ImageOps
from torch import Tensor

from ..train.vae import psnr

__all__ = ["max_levels", "opened", "psnr", "read", "ssim", "to_pil", "to_tensor"]


def opened(path: Path) -> Image.Image:
    """RGB, upright as the service makes it."""
    with Image.open(path) as file:
        return ImageOps.exif_transpose(file).convert("RGB")


def to_tensor(images: list[Image.Image]) -> Tensor:
    """Equal-sized pictures as float [N, 3, H, W] in [-1, 1]."""
    arrays = np.stack([np.asarray(image.convert("RGB")) for image in images])
    return torch.from_numpy(arrays).permute(0, 3, 1, 2).float() / 127.5 - 1


def to_pil(images: Tensor) -> list[Image.Image]:
    """The pictures rounded to 8 bits."""
    levels = ((images + 1) * 127.5).round().clamp(0, 255).byte().permute(0, 2, 3, 1)
    return [Image.fromarray(picture.numpy()) for picture in levels.cpu()]


def read(paths: list[Path], side: int) -> Tensor:
    """Files at the model's native side: the short side resized, the middle cut out."""
    images = []
    for image in map(opened, paths):
        edge = min(image.size)
        left, top = (image.width - edge) // 2, (image.height - edge) // 2
        image = image.crop((left, top, left + edge, top + edge))
        if edge != side:
            image = image.resize((side, side), Image.Resampling.BICUBIC, reducing_gap=3)
        images.append(image)
    return to_tensor(images)


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity of each pair (Wang et al. 2004; Gaussian window 11, deviation 1.5; on luma)."""
    weights = torch.tensor([0.299, 0.587, 0.114]).view(1, 3, 1, 1)
    x, y = (((v + 1) / 2 * weights).sum(1, keepdim=True) for v in (a, b))
    places = torch.arange(-5, 6).float()
    line = torch.exp(-(places**2) / (2 * 1.5**2))
    line = line / line.sum()
    window = (line[:, None] * line[None]).view(1, 1, 11, 11)
    mean_x, mean_y = F.conv2d(x, window), F.conv2d(y, window)
    var_x = F.conv2d(x * x, window) - mean_x**2
    var_y = F.conv2d(y * y, window) - mean_y**2
    both = F.conv2d(x * y, window) - mean_x * mean_y
    c1, c2 = 0.01**2, 0.03**2
    value = (2 * mean_x * mean_y + c1) * (2 * both + c2) / ((mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2))
    return value.mean((1, 2, 3))


def max_levels(a: Path, b: Path) -> int:
    """The largest change of a channel between two files of one size, in 8-bit levels."""
    x, y = (np.asarray(opened(path)).astype(int) for path in (a, b))
    return int(np.abs(x - y).max())
