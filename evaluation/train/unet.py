"""Training of the denoiser on the photographs' latents; the text encoder is frozen, as in Stable Diffusion."""

import math
import random
import time
from pathlib import Path

import numpy as np
import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from .captions import CLASSES, COLOURS, caption, random_caption
from .models import WIDTH, alphas_cumprod, make_unet
from .runtime import (
    Budget,
    CsvLog,
    Ema,
    ThreadGovernor,
    autocast,
    bf16_is_fast,
    load_checkpoint,
    restore_rng,
    rng_state,
    save_checkpoint,
)
from .text import caption_table

BATCH = 32
LEARNING_RATE = 1e-3
CAPTION_DROP = 0.1
CHECK_SECONDS = 400
MODES = ("right", "wrong_class", "wrong_colour", "empty")
COLUMNS = ["step", "seconds", "epoch", "loss", *MODES]


def broadcast(values: Tensor) -> Tensor:
    """One value a picture, shaped to multiply NCHW tensors."""
    return values[:, None, None, None]


def add_noise(latents: Tensor, noise: Tensor, alphas: Tensor) -> Tensor:
    """Latents with noise, where `alphas` is the signal's share of the variance."""
    return broadcast(alphas).sqrt() * latents + broadcast(1 - alphas).sqrt() * noise


def loss_weights(alphas: Tensor) -> Tensor:
    """Weights of the noise error: those of v-prediction, bounded at both ends.

    Layout, class and colour are decided at high noise, where the plain noise error is tiny.
    """
    snr = alphas / (1 - alphas)
    weights = (snr + 1).clamp(max=5) / snr
    return weights.clamp(max=30)


def stratified_timesteps(count: int) -> Tensor:
    """One timestep from each of `count` equal parts of the schedule."""
    return ((torch.arange(count) + torch.rand(count)) * 1000 / count).long().clamp(max=999)


def class_balance(classes: Tensor) -> Tensor:
    """Chance of each picture: halfway (square root) between even over pictures and even over classes."""
    return classes.bincount(minlength=len(CLASSES))[classes].float().rsqrt()


class Validation:
    """Noise error on held-out latents with right, wrong and empty captions, always of the same noise."""

    def __init__(self, tensors: dict[str, Tensor], rows: dict[str, int], embeddings: Tensor, count: int = 320) -> None:
        generator = torch.Generator().manual_seed(5)
        chosen = torch.randperm(len(tensors["validation"]), generator=generator)[:count]
        self.latents = tensors["validation"][chosen]
        self.noise = torch.randn(self.latents.shape, generator=generator)
        self.timesteps = torch.arange(len(chosen)) * 1000 // len(chosen)
        labels = tensors["validation_classes"][chosen].tolist(), tensors["validation_colours"][chosen].tolist()
        pairs = list(zip(*labels))
        shifted = {"right": (0, 0), "wrong_class": (3, 0), "wrong_colour": (0, 4)}
        self.embeddings = {"empty": embeddings[[rows[""]] * len(pairs)]}
        for mode, (dy, dc) in shifted.items():
            texts = [caption(CLASSES[(y + dy) % len(CLASSES)], COLOURS[(c + dc) % len(COLOURS)]) for y, c in pairs]
            self.embeddings[mode] = embeddings[[rows[t] for t in texts]]

    @torch.no_grad()
    def __call__(self, unet: UNet2DConditionModel, alphas: Tensor) -> dict[str, float]:
        noisy, errors = add_noise(self.latents, self.noise, alphas[self.timesteps]), {}
        for mode in MODES:
            batches = zip(noisy.split(32), self.timesteps.split(32), self.embeddings[mode].split(32))
            predicted = torch.cat([unet(x, t, e).sample for x, t, e in batches])
            errors[mode] = float((predicted - self.noise).square().mean())
        return errors


class Sampler:
    """Draws training examples: latents, mirrored or not, and the row of a caption."""

    def __init__(self, tensors: dict[str, Tensor], rows: dict[str, int], seed: int) -> None:
        self.latents, self.rows = tensors["train"], rows
        self.classes, self.colours = tensors["classes"].tolist(), tensors["colours"].tolist()
        self.chances = class_balance(tensors["classes"])
        self.rng = random.Random(2 + seed)

    def draw(self, count: int) -> tuple[Tensor, list[int]]:
        """A batch."""
        index = torch.multinomial(self.chances, count, replacement=True)
        labels = [(CLASSES[self.classes[i]], COLOURS[self.colours[i]]) for i in index.tolist()]
        captions = [self.rows[random_caption(c, k, self.rng, CAPTION_DROP)] for c, k in labels]
        return self.latents[index, torch.randint(2, (count,))], captions


def learning_rate(step: int, fraction: float) -> float:
    """Warm-up, then a cosine over the budget."""
    return LEARNING_RATE * min(1, (step + 1) / 200) * (0.02 + 0.98 * 0.5 * (1 + math.cos(math.pi * fraction)))


class Trainer:
    """The denoiser, its average and optimiser, and the state that a resumed run goes on from."""

    def __init__(self, work: Path, minutes: float, seed: int, width: int) -> None:
        torch.manual_seed(2 + seed)
        self.path, self.width = work / "unet.pt", width
        self.unet, self.bf16, self.alphas = make_unet(width), bf16_is_fast(), alphas_cumprod()
        self.ema = Ema(self.unet, 0.999)
        self.optimizer = torch.optim.AdamW(
            self.unet.parameters(), lr=LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.01
        )
        self.step, spent = 0, 0.0
        tensors = load_checkpoint(work / "latents.pt")
        if tensors is None:
            raise FileNotFoundError("the latents come first")
        rows, self.embeddings = caption_table(work)
        self.sampler = Sampler(tensors, rows, seed)
        self.validation = Validation(tensors, rows, self.embeddings)
        if state := load_checkpoint(self.path):
            self.unet.load_state_dict(state["unet"])
            self.ema.module.load_state_dict(state["ema"])
            self.optimizer.load_state_dict(state["optimizer"])
            restore_rng(state["rng"])
            self.sampler.rng.setstate(state["captions"])
            self.step, spent = state["step"], state["seconds"]
        self.budget = Budget(minutes, spent)

    def save(self) -> None:
        """Write the checkpoint."""
        networks = {"width": self.width, "unet": self.unet.state_dict(), "ema": self.ema.module.state_dict()}
        rng = {"rng": rng_state(), "captions": self.sampler.rng.getstate()}
        progress = {"step": self.step, "seconds": self.budget.spent()}
        save_checkpoint(self.path, {**networks, **rng, **progress, "optimizer": self.optimizer.state_dict()})

    def train_step(self) -> float:
        """One step; returns the weighted loss."""
        for group in self.optimizer.param_groups:
            group["lr"] = learning_rate(self.step, self.budget.fraction())
        latents, captions = self.sampler.draw(BATCH)
        timesteps, noise = stratified_timesteps(BATCH), torch.randn_like(latents)
        alphas = self.alphas[timesteps]
        with autocast(self.bf16):
            predicted = self.unet(add_noise(latents, noise, alphas), timesteps, self.embeddings[captions]).sample
        weights = loss_weights(alphas)
        errors = (predicted.float() - noise).square().mean((1, 2, 3))
        loss = (weights / weights.mean() * errors).mean()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.unet.parameters(), 1.0)
        self.optimizer.step()
        self.optimizer.zero_grad()
        self.step += 1
        self.ema.update(self.unet, self.step)
        return loss.item()


def train(work: Path, minutes: float, seed: int = 0, width: int = WIDTH) -> None:
    """Train, or go on training, until the budget is spent."""
    trainer, governor = Trainer(work, minutes, seed, width), ThreadGovernor()
    log, losses, checked = CsvLog(work / "unet.csv", COLUMNS), [], time.monotonic()
    size = sum(p.numel() for p in trainer.unet.parameters())
    print(f"unet: {size / 1e6:.2f} M parameters, bf16 {trainer.bf16}", flush=True)
    while trainer.budget.fraction() < 1:
        governor.update()
        losses.append(trainer.train_step())
        if trainer.step % 200 == 0:
            figures: dict[str, float] = {}
            if time.monotonic() - checked > CHECK_SECONDS:
                figures, checked = trainer.validation(trainer.ema.module, trainer.alphas), time.monotonic()
            epoch = trainer.step * BATCH / len(trainer.sampler.latents)
            seconds, loss = trainer.budget.spent(), float(np.mean(losses))
            log.write(step=trainer.step, seconds=seconds, epoch=epoch, loss=loss, **figures)
            losses.clear()
            trainer.save()
    if losses:
        figures = trainer.validation(trainer.ema.module, trainer.alphas)
        log.write(step=trainer.step, seconds=trainer.budget.spent(), **figures)
        trainer.save()
