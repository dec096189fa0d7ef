"""Small encoders that give the latents of a large one: trained on pictures and the teacher's cached latents."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor, nn

from ..runtime import CsvLog, load_checkpoint
from .cache import Cached, load_cache, to_tensor
from .compose import render
from .networks import make_vae
from .progress import Progress
from .stock import Stock

LEARNING_RATE = 1e-3
AVERAGE = 0.995
BATCH_PIXELS = 8 * 128 * 128
SAVE_STEPS, LOG_STEPS, CHECK_STEPS, CHECKED = 100, 20, 200, 64
CERTAIN = -12.0
COLUMNS = ["step", "seconds", "rate", "left", "loss", "error", "correlation"]


class KlEncoder(nn.Module):
    """Encoder of an AutoencoderKL: the posterior's mean, scaled as the denoiser sees it."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.encoder, self.quant_conv = vae.encoder, vae.quant_conv
        self.channels, self.scale = vae.config.latent_channels, vae.config.scaling_factor

    def forward(self, images: Tensor) -> Tensor:
        """Latents of pictures in [-1, 1]."""
        return self.quant_conv(self.encoder(images))[:, : self.channels] * self.scale

    def certain(self) -> None:
        """Make the posterior's deviation constant and tiny: the teacher has none."""
        with torch.no_grad():
            self.quant_conv.weight[self.channels :] = 0
            self.quant_conv.bias[self.channels :] = CERTAIN


@dataclass(frozen=True)
class Pairs:
    """Pictures, rendered when asked for, and the teacher's latents of them, at one side."""

    stock: Stock
    cached: Cached

    @property
    def side(self) -> int:
        """Side of the pictures in pixels."""
        return self.cached.latents.shape[-1] * 8

    def images(self, index: Tensor) -> Tensor:
        """The chosen pictures in [-1, 1]."""
        scenes = [self.cached.scenes[i] for i in index.tolist()]
        return torch.stack([to_tensor(render(scene, self.stock)[0], self.side) for scene in scenes])

    def draw(self, count: int) -> tuple[Tensor, Tensor]:
        """A random batch of pictures and latents."""
        index = torch.randint(len(self.cached), (count,))
        return self.images(index), self.cached.latents[index]


def load_pairs(data: Path, folders: list[Path], split: str) -> list[Pairs]:
    """Pairs of every folder of latents that is there."""
    stock = Stock(data, split)
    return [Pairs(stock, load_cache(folder, split)) for folder in folders if folder.exists()]


def correlations(latents: Tensor, wanted: Tensor) -> list[float]:
    """Correlation of each channel."""
    pairs = zip(latents.transpose(0, 1).flatten(1), wanted.transpose(0, 1).flatten(1))
    return [float(torch.corrcoef(torch.stack(pair))[0, 1]) for pair in pairs]


@torch.no_grad()
def encode_all(encoder: nn.Module, images: Tensor, batch: int = 4) -> Tensor:
    """Latents of many pictures."""
    device = next(encoder.parameters()).device
    parts = [encoder(x.to(device, memory_format=torch.channels_last)) for x in images.split(batch)]
    return torch.cat(parts).cpu().contiguous()


def agreement(encoder: nn.Module, pairs: Pairs, count: int = CHECKED) -> dict[str, float]:
    """Relative squared error and the lowest channel's correlation with the teacher on the first pairs."""
    index = torch.arange(min(count, len(pairs.cached)))
    wanted = pairs.cached.latents[index]
    latents = encode_all(encoder, pairs.images(index))
    error = (latents - wanted).square().mean() / wanted.var((0, 2, 3)).mean()
    return {"error": float(error), "correlation": min(correlations(latents, wanted))}


def train_encoder(
    path: Path, make: Callable[[], nn.Module], train: list[Pairs], held_out: Pairs, minutes: float, device: str = "cpu"
) -> None:
    """Train, or go on training, an encoder until the minutes are spent; batches alternate between the sides."""
    torch.manual_seed(3)
    network = make().to(device, memory_format=torch.channels_last)
    progress = Progress(path, network, LEARNING_RATE, AVERAGE, minutes, seed=0)
    deviation = train[0].cached.latents.std((0, 2, 3))[:, None, None].to(device)
    log, losses = CsvLog(path.with_suffix(".csv"), COLUMNS), []
    print(f"{path.stem}: {sum(p.numel() for p in network.parameters()) / 1e6:.2f} M parameters", flush=True)
    progress.begin()
    while progress.goes_on():
        pairs = train[progress.step % len(train)]
        images, wanted = pairs.draw(max(1, BATCH_PIXELS // pairs.side**2))
        latents = network(images.to(device, memory_format=torch.channels_last))
        losses.append(progress.descend(F.mse_loss(latents / deviation, wanted.to(device) / deviation)))
        if progress.step % LOG_STEPS == 0:
            check = progress.step % CHECK_STEPS == 0
            figures = agreement(progress.ema.module, held_out) if check else {}
            log.write(**progress.pace(), loss=float(np.mean(losses)), **figures)
            losses.clear()
        if progress.step % SAVE_STEPS == 0:
            progress.save()
    progress.save()
    progress.leave_if_stopped()
    log.write(**progress.pace(), **agreement(progress.ema.module, held_out, len(held_out.cached)))


def load_average(path: Path, network: nn.Module) -> nn.Module:
    """The network with the averaged weights of a checkpoint."""
    state = load_checkpoint(path)
    if state is None:
        raise FileNotFoundError(f"no checkpoint at {path}")
    network.load_state_dict(state["ema"])
    return network.eval().requires_grad_(False)


def student_encoder(path: Path | None = None) -> KlEncoder:
    """The encoder of the scenes model's autoencoder, fresh or from a checkpoint."""
    encoder = KlEncoder(make_vae())
    if path is None:
        encoder.certain()
        return encoder
    encoder = load_average(path, encoder)
    encoder.certain()
    return encoder
