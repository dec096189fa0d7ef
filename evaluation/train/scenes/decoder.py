"""Training of the autoencoder's decoder behind its finished encoder: pictures back from the student's latents."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor, nn

from ..runtime import CsvLog
from ..vae import psnr, reconstruction_loss
from .cache import to_tensor
from .compose import describe, render
from .distil import encode_all, load_average, student_encoder
from .networks import make_vae
from .progress import Progress
from .stock import Stock

LEARNING_RATE = 1e-3
AVERAGE = 0.995
BATCH, CROP = 8, 128
FRESH = 10**6
SAVE_STEPS, LOG_STEPS, CHECK_STEPS, CHECKED = 100, 20, 200, 16
COLUMNS = ["step", "seconds", "rate", "left", "loss", "psnr"]


class KlDecoder(nn.Module):
    """Decoder of an AutoencoderKL for latents as the denoiser sees them."""

    def __init__(self, vae: AutoencoderKL) -> None:
        super().__init__()
        self.post_quant_conv, self.decoder = vae.post_quant_conv, vae.decoder
        self.scale = vae.config.scaling_factor

    def forward(self, latents: Tensor) -> Tensor:
        """Pictures in about [-1, 1]."""
        return self.decoder(self.post_quant_conv(latents / self.scale))


@dataclass
class Pictures:
    """Fresh scenes of a split, half of them shrunk to CROP pixels, half of them cut out of the full size."""

    stock: Stock
    rng: np.random.Generator

    def draw(self, count: int) -> Tensor:
        """A batch in [-1, 1], mirrored at random."""
        batch = []
        for number in range(count):
            picture, _ = render(describe(self.stock, FRESH + int(self.rng.integers(10**9)), 0.5), self.stock)
            if number % 2:
                y, x = self.rng.integers(0, picture.shape[0] - CROP + 1, 2)
                picture = picture[y : y + CROP, x : x + CROP]
            batch.append(to_tensor(picture[:, :: self.rng.choice([-1, 1])], CROP))
        return torch.stack(batch)


def held_out_pictures(stock: Stock, photographs: int, scenes: int) -> Tensor:
    """Photographs, evenly over the split, then composed scenes, at full size."""
    stride = max(1, len(stock.photographs) // max(1, photographs))
    shown = [stock.photograph(photograph.file) for photograph in stock.photographs[::stride][:photographs]]
    shown += [render(describe(stock, number, photographs=0), stock)[0] for number in range(scenes)]
    return torch.stack([to_tensor(picture, picture.shape[0]) for picture in shown])


@torch.no_grad()
def decode_all(decoder: nn.Module, latents: Tensor, batch: int = 4) -> Tensor:
    """Pictures of many latents, within [-1, 1]."""
    device = next(decoder.parameters()).device
    return torch.cat([decoder(z.to(device)) for z in latents.split(batch)]).clamp(-1, 1).cpu()


def train_decoder(data: Path, encoder_path: Path, path: Path, minutes: float, device: str = "cpu") -> None:
    """Train, or go on training, the decoder until the minutes are spent."""
    torch.manual_seed(4)
    encoder = student_encoder(encoder_path).to(device, memory_format=torch.channels_last)
    network = KlDecoder(make_vae()).to(device, memory_format=torch.channels_last)
    progress = Progress(path, network, LEARNING_RATE, AVERAGE, minutes, seed=0)
    pictures = Pictures(Stock(data, "train"), np.random.default_rng([4, progress.step]))
    shown = held_out_pictures(Stock(data, "validation"), CHECKED, 0)
    latents = encode_all(encoder, shown)
    log, losses = CsvLog(path.with_suffix(".csv"), COLUMNS), []
    print(f"{path.stem}: {sum(p.numel() for p in network.parameters()) / 1e6:.2f} M parameters", flush=True)

    def quality() -> dict[str, float]:
        return {"psnr": float(psnr(decode_all(progress.ema.module, latents), shown).mean())}

    progress.begin()
    while progress.goes_on():
        images = pictures.draw(BATCH).to(device, memory_format=torch.channels_last)
        with torch.no_grad():
            wanted = encoder(images)
        losses.append(progress.descend(reconstruction_loss(network(wanted), images)))
        if progress.step % LOG_STEPS == 0:
            figures = quality() if progress.step % CHECK_STEPS == 0 else {}
            log.write(**progress.pace(), loss=float(np.mean(losses)), **figures)
            losses.clear()
        if progress.step % SAVE_STEPS == 0:
            progress.save()
    progress.save()
    progress.leave_if_stopped()
    log.write(**progress.pace(), **quality())


def student_decoder(path: Path) -> KlDecoder:
    """The decoder of a checkpoint."""
    return load_average(path, KlDecoder(make_vae()))
