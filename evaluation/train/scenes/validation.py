"""Noise error on held-out scenes by caption: the right one, and ones that are wrong in one respect."""

import random

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor
from transformers import CLIPTextModel

from ..unet import add_noise
from .cache import Cached
from .compose import Scene
from .tokens import CaptionTokens
from .words import Caption, compose_caption, with_wrong_colours, with_wrong_ground, with_wrong_sides

MODES = ("right", "wrong_scene", "wrong_side", "wrong_colour", "wrong_ground", "empty")
COUNT = 144
BATCH = 24


def captions_by_mode(scenes: list[Scene]) -> dict[str, list[Caption | None]]:
    """For each mode a caption a scene; None where a scene's caption cannot be wrong in that respect."""

    def full(scene: Scene | None, number: int) -> Caption | None:
        return scene and compose_caption(scene, random.Random(number), full=True)

    right = [full(scene, number) for number, scene in enumerate(scenes)]
    changed = {
        "wrong_side": [with_wrong_sides(scene) for scene in scenes],
        "wrong_colour": [with_wrong_colours(s, random.Random(n)) for n, s in enumerate(scenes)],
        "wrong_ground": [with_wrong_ground(s, random.Random(n)) for n, s in enumerate(scenes)],
    }
    captions = {mode: [full(s, n) for n, s in enumerate(changes)] for mode, changes in changed.items()}
    others = right[1:] + right[:1]
    return {"right": right, "wrong_scene": others, **captions, "empty": [Caption(())] * len(scenes)}


class Validation:
    """Always the same scenes, noise and captions."""

    def __init__(self, cached: Cached, tokens: CaptionTokens, encoder: CLIPTextModel, count: int = COUNT) -> None:
        generator = torch.Generator().manual_seed(5)
        self.latents, scenes = cached.latents[:count], cached.scenes[:count]
        self.noise = torch.randn(self.latents.shape, generator=generator)
        spread = torch.arange(len(scenes)) * 1000 // len(scenes)
        self.timesteps = spread[torch.randperm(len(scenes), generator=generator)]
        self.embeddings, self.rows = {}, {}
        for mode, captions in captions_by_mode(scenes).items():
            rows = [row for row, caption in enumerate(captions) if caption is not None]
            ids, _ = tokens([caption for caption in captions if caption is not None])
            with torch.no_grad():
                batches = [encoder(part.to(encoder.device)).last_hidden_state for part in ids.split(64)]
            self.embeddings[mode], self.rows[mode] = torch.cat(batches), torch.tensor(rows)

    @torch.no_grad()
    def errors(self, unet: UNet2DConditionModel, alphas: Tensor) -> dict[str, Tensor]:
        """For each mode the error of each of its scenes."""
        found = {}
        for mode in MODES:
            rows, parts = self.rows[mode], []
            for place in torch.arange(len(rows)).split(BATCH):
                chosen = rows[place]
                latents, noise = self.latents[chosen].to(alphas.device), self.noise[chosen].to(alphas.device)
                timesteps = self.timesteps[chosen].to(alphas.device)
                noisy = add_noise(latents, noise, alphas[timesteps])
                predicted = unet(noisy, timesteps, self.embeddings[mode][place]).sample
                parts.append((predicted - noise).square().mean((1, 2, 3)).cpu())
            found[mode] = torch.cat(parts)
        return found

    def __call__(self, unet: UNet2DConditionModel, alphas: Tensor) -> dict[str, float]:
        """The mean error of the right captions; for each wrong mode what it adds on the same scenes."""
        errors = self.errors(unet, alphas)
        right = errors["right"]
        wrong = {mode: float((errors[mode] - right[self.rows[mode]]).mean()) for mode in MODES[1:]}
        return {"right": float(right.mean()), **wrong}
