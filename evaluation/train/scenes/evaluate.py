"""Figures of a denoiser in training: what captions are worth to it, and where its words look, on held-out scenes."""

import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from torch.nn.functional import adaptive_avg_pool2d
from transformers import CLIPTextModel, CLIPTokenizer

from .. import text
from ..models import alphas_cumprod
from ..unet import add_noise
from .attention import by_side, concentration, hits, mass_on, recorded, share_on, without_start, word_maps
from .cache import Cached, load_cache
from .denoiser import load_unet
from .tokens import CaptionTokens
from .validation import MODES, Validation
from .words import compose_caption

TIMESTEPS = (200, 500, 800)
LOOKED_AT = 96
HIGH_NOISE = 500
FIGURES = ("pointing", "chance", "share", "mass", "focus", "focus without start")
BATCH = 24


@dataclass(frozen=True)
class Model:
    """A denoiser in training with its text encoder; `vae` is added where pictures are wanted."""

    unet: UNet2DConditionModel
    tokenizer: CLIPTokenizer
    text_encoder: CLIPTextModel
    scheduler: Any = None
    vae: Any = None

    @property
    def tokens(self) -> CaptionTokens:
        """Captions to ids."""
        return CaptionTokens(self.tokenizer)


def load_model(work: Path, name: str, **more: Any) -> Model:
    """The model of a work folder; `name` is the denoiser's."""
    tokenizer, encoder = text.load(work)
    return Model(load_unet(work / f"{name}.pt"), tokenizer, encoder, **more)


def composed(cached: Cached, count: int) -> Cached:
    """The first `count` scenes that have things in them."""
    rows = torch.tensor([row for row, scene in enumerate(cached.scenes) if scene.things][:count])
    return Cached([cached.scenes[row] for row in rows.tolist()], cached.latents[rows], cached.masks[rows])


def interval(values: Tensor) -> tuple[float, float]:
    """Mean, and half the width of its 95 % interval."""
    return float(values.mean()), float(1.96 * values.std() / len(values) ** 0.5)


def caption_figures(model: Model, cached: Cached) -> dict[str, Any]:
    """Loss with the right caption, and how much each wrong one adds, with intervals."""
    validation = Validation(cached, model.tokens, model.text_encoder, len(cached))
    errors = validation.errors(model.unet, alphas_cumprod())
    right = errors["right"]
    figures: dict[str, Any] = {"right": float(right.mean())}
    for mode in MODES[1:]:
        rows = validation.rows[mode]
        added, noisy = errors[mode] - right[rows], validation.timesteps[rows] >= HIGH_NOISE
        mean, half = interval(added)
        share = float(added[noisy].mean() / right[rows][noisy].mean())
        figures[mode] = {"added": mean, "half_width": half, "scenes": len(rows), "passed": mean - half > 0}
        figures[mode]["high_noise"] = share
    return figures


@torch.no_grad()
def look(model: Model, scenes: Cached, timestep: int) -> tuple[dict[int, Tensor], Tensor]:
    """Cross-attention by side (scenes, positions, tokens) under full captions, and the tokens that name things."""
    captions = [compose_caption(scene, random.Random(n), full=True) for n, scene in enumerate(scenes.scenes)]
    ids, named = model.tokens(captions)
    noise = torch.randn(scenes.latents.shape, generator=torch.Generator().manual_seed(timestep))
    noisy = add_noise(scenes.latents, noise, alphas_cumprod()[[timestep] * len(noise)])
    parts: dict[int, list[Tensor]] = {}
    for x, row in zip(noisy.split(BATCH), ids.split(BATCH)):
        with recorded(model.unet) as maps:
            model.unet(x, timestep, model.text_encoder(row).last_hidden_state)
        for side, chances in by_side(maps).items():
            parts.setdefault(side, []).append(chances)
    return {side: torch.cat(chances) for side, chances in parts.items()}, named


def attention_figures(model: Model, scenes: Cached) -> dict[str, dict[str, list[float]]]:
    """For each side the FIGURES, each at each of TIMESTEPS."""
    masks, figures = scenes.masks_of(slice(None)), {}
    for timestep in TIMESTEPS:
        maps, named = look(model, scenes, timestep)
        there = named.sum(-1) > 0
        for side, chances in maps.items():
            words = word_maps(chances, named)
            area = masks.mean((2, 3))
            pooled = adaptive_avg_pool2d(masks, side)
            share = share_on(words, pooled) / area.clamp(min=1e-9)
            row = figures.setdefault(f"side {side}", {name: [] for name in FIGURES})
            row["pointing"].append(float(hits(words, masks)[there].float().mean()))
            row["chance"].append(float((masks >= 0.5).float().mean((2, 3))[there].mean()))
            row["share"].append(float(share[there].median()))
            row["mass"].append(float(mass_on(chances, named, pooled)[there].mean()))
            row["focus"].append(concentration(chances))
            row["focus without start"].append(concentration(without_start(chances)))
    return figures


def run(work: Path, name: str, latents: Path) -> dict[str, Any]:
    """Measure, print and write `NAME-figures.json` into `work`."""
    model, cached = load_model(work, name), load_cache(latents, "validation")
    state = torch.load(work / f"{name}.pt", weights_only=False)
    figures: dict[str, Any] = {"step": state["step"], "minutes": state["seconds"] / 60}
    figures["captions"] = caption_figures(model, cached)
    figures["attention"] = attention_figures(model, composed(cached, LOOKED_AT))
    (work / f"{name}-figures.json").write_text(json.dumps(figures, indent=1))
    print(table(figures), flush=True)
    return figures


def table(figures: dict[str, Any]) -> str:
    """The figures as Markdown."""
    captions = dict(figures["captions"])
    lines = [f"step {figures['step']}, {figures['minutes']:.0f} minutes; right caption {captions.pop('right'):.4f}", ""]
    lines += [f"| caption | adds to the loss | scenes | above zero | at t >= {HIGH_NOISE} |"]
    lines += ["| --- | --: | --: | --- | --: |"]
    for mode, row in captions.items():
        added = f"{row['added']:.4f} +- {row['half_width']:.4f}"
        passed, share = "yes" if row["passed"] else "no", f"{100 * row['high_noise']:+.1f} %"
        lines.append(f"| {mode.replace('_', ' ')} | {added} | {row['scenes']} | {passed} | {share} |")
    names = ("pointing game", "by chance", "share over area", "word's part on its mask")
    names += ("times uniform", "the same without the start token")
    lines += ["", f"| maps, at t = {TIMESTEPS} | " + " | ".join(names) + " |", "| --- |" + " --- |" * len(names)]
    for side, row in figures["attention"].items():
        cells = [" ".join(f"{value:.2f}" for value in values) for values in row.values()]
        lines.append(f"| {side} | " + " | ".join(cells) + " |")
    return "\n".join(lines)
