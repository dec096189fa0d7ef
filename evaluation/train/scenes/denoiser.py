"""Training of the denoiser on cached latents of scenes; the text encoder is frozen, as in Stable Diffusion."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from .. import text
from ..models import alphas_cumprod
from ..runtime import CsvLog, load_checkpoint
from ..unet import add_noise, broadcast, loss_weights, stratified_timesteps
from .attention import pull_loss, recorded
from .cache import SHARD, Cached, count_shards, load_cache
from .networks import WIDTHS, make_unet
from .progress import Progress
from .tokens import CaptionTokens
from .validation import MODES, Validation
from .words import random_caption

BATCH = 24
LEARNING_RATE = 8e-4
AVERAGE = 0.998
PULL = 0.3
LEAST_WEIGHT = 0.3
SAVE_STEPS, LOG_STEPS, CHECK_STEPS = 50, 10, 200
COLUMNS = ["step", "seconds", "rate", "left", "loss", "pull", *MODES]


@dataclass(frozen=True)
class Options:
    """How a denoiser is trained: the latents' folder, minutes, and where it starts from.

    `pull_share`: share of the minutes in which the words' maps are pulled to the masks; 0 for never.
    """

    latents: Path
    minutes: float
    start: Path | None = None
    pull_share: float = 1 / 3
    seed: int = 0
    widths: tuple[int, ...] = WIDTHS
    device: str = "cpu"
    batch: int = BATCH
    peak: float = LEARNING_RATE


class Trainer:
    """Draws scenes with fresh captions and takes steps."""

    def __init__(self, work: Path, path: Path, options: Options) -> None:
        torch.manual_seed(2 + options.seed)
        self.options = options
        self.cached: Cached = load_cache(options.latents, "train")
        tokenizer, encoder = text.load(work)
        self.tokens, self.encoder = CaptionTokens(tokenizer), encoder.to(options.device)
        unet = make_unet(options.widths, self.cached.latents.shape[1])
        if options.start and not path.exists():
            unet.load_state_dict(torch.load(options.start, weights_only=False)["ema"])
        unet.to(options.device)
        self.progress = Progress(path, unet, options.peak, AVERAGE, options.minutes, options.seed)
        self.alphas = alphas_cumprod().to(options.device)

    def renew(self) -> None:
        """Take in shards that were made since the last look."""
        if count_shards(self.options.latents, "train") * SHARD > len(self.cached):
            self.cached = load_cache(self.options.latents, "train")

    def pulling(self) -> bool:
        """Whether the words' maps are still pulled."""
        return self.progress.budget.fraction() < self.options.pull_share

    def draw(self, count: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Latents, text embeddings, named tokens and masks of a batch."""
        index, device = torch.randint(len(self.cached), (count,)), self.options.device
        captions = [random_caption(self.cached.scenes[i], self.progress.rng) for i in index.tolist()]
        ids, named = self.tokens(captions)
        with torch.no_grad():
            embeddings = self.encoder(ids.to(device)).last_hidden_state
        masks = self.cached.masks_of(index)
        return self.cached.latents[index].to(device), embeddings, named.to(device), masks.to(device)

    def denoising_loss(self, latents: Tensor, embeddings: Tensor) -> Tensor:
        """Weighted error of the predicted noise."""
        device = latents.device
        timesteps = stratified_timesteps(len(latents)).to(device)
        noise = torch.randn(latents.shape).to(device)
        alphas = self.alphas[timesteps]
        predicted = self.progress.network(add_noise(latents, noise, alphas), timesteps, embeddings).sample
        weights = broadcast(loss_weights(alphas).clamp(min=LEAST_WEIGHT))
        return (weights / weights.mean() * (predicted - noise).square()).mean()

    def train_step(self) -> tuple[float, float]:
        """One step; returns the noise's loss and the pull's (0 when released)."""
        latents, embeddings, named, masks = self.draw(self.options.batch)
        if not self.pulling():
            return self.progress.descend(self.denoising_loss(latents, embeddings)), 0.0
        with recorded(self.progress.network) as maps:
            loss = self.denoising_loss(latents, embeddings)
            pull = pull_loss(maps, named, masks)
        total = self.progress.descend(loss + PULL * pull)
        return total - PULL * pull.item(), pull.item()


def train(work: Path, name: str, options: Options) -> None:
    """Train, or go on training, the denoiser `name` until the minutes are spent."""
    path = work / f"{name}.pt"
    trainer = Trainer(work, path, options)
    validation = Validation(load_cache(options.latents, "validation"), trainer.tokens, trainer.encoder)
    progress, log = trainer.progress, CsvLog(work / f"{name}.csv", COLUMNS)
    size, count = sum(p.numel() for p in progress.network.parameters()), len(trainer.cached)
    print(f"{name}: {size / 1e6:.2f} M parameters, {count} scenes, step {progress.step}", flush=True)
    losses: list[tuple[float, float]] = []
    progress.begin()
    while progress.goes_on():
        losses.append(trainer.train_step())
        if progress.step % LOG_STEPS == 0:
            figures: dict[str, float] = {}
            if progress.step % CHECK_STEPS == 0:
                figures = validation(progress.ema.module, trainer.alphas)
            loss, pull = np.mean(losses, axis=0)
            log.write(**progress.pace(), loss=loss, pull=pull, **figures)
            losses.clear()
        if progress.step % SAVE_STEPS == 0:
            progress.save(widths=options.widths)
            trainer.renew()
    progress.save(widths=options.widths)
    progress.leave_if_stopped()
    log.write(**progress.pace(), **validation(progress.ema.module, trainer.alphas))


def load_unet(path: Path) -> UNet2DConditionModel:
    """The averaged denoiser of a checkpoint."""
    state = load_checkpoint(path)
    if state is None:
        raise FileNotFoundError(f"no denoiser at {path}")
    unet = make_unet(state["widths"], state["ema"]["conv_in.weight"].shape[1])
    unet.load_state_dict(state["ema"])
    return unet.eval().requires_grad_(False)
