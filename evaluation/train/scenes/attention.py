"""Cross-attention maps of the denoiser: recorded, pulled to the masks of the things they name, and measured."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention
from torch import Tensor

CROSS = "attn2.processor"
LEAST_SIDE = 4


class Recorder:
    """Attention processor that keeps the probabilities, averaged over the heads: (batch, positions, tokens)."""

    def __init__(self, maps: dict[str, Tensor], name: str) -> None:
        self.maps, self.name = maps, name

    def __call__(
        self, attn: Attention, hidden_states: Tensor, encoder_hidden_states: Tensor, *_: Any, **__: Any
    ) -> Tensor:
        query = attn.head_to_batch_dim(attn.to_q(hidden_states))
        key = attn.head_to_batch_dim(attn.to_k(encoder_hidden_states))
        value = attn.head_to_batch_dim(attn.to_v(encoder_hidden_states))
        chances = attn.get_attention_scores(query, key)
        self.maps[self.name] = chances.unflatten(0, (len(hidden_states), attn.heads)).mean(1)
        mixed = attn.batch_to_head_dim(torch.bmm(chances, value))
        return attn.to_out[1](attn.to_out[0](mixed))


@contextmanager
def recorded(unet: UNet2DConditionModel) -> Iterator[dict[str, Tensor]]:
    """While it is open, every call of the denoiser puts its cross-attention maps, by layer, into the yielded dict."""
    before, maps = dict(unet.attn_processors), {}
    recorders = {
        name: Recorder(maps, name.removesuffix(".transformer_blocks.0." + CROSS)) if name.endswith(CROSS) else old
        for name, old in before.items()
    }
    unet.set_attn_processor(recorders)
    try:
        yield maps
    finally:
        unet.set_attn_processor(before)


def side_of_map(chances: Tensor) -> int:
    """Side of the square grid that a layer's maps stand on."""
    return round(chances.shape[1] ** 0.5)


def word_maps(chances: Tensor, named: Tensor) -> Tensor:
    """Maps of the things' words (batch, things, side, side): the mean over the tokens that name a thing."""
    weights = named / named.sum(-1, keepdim=True).clamp(min=1)
    maps = torch.einsum("bpt,bnt->bnp", chances, weights)
    side = side_of_map(chances)
    return maps.unflatten(-1, (side, side))


def share_on(words: Tensor, weights: Tensor) -> Tensor:
    """Share of each map that lies where the weights (same shape, in [0, 1]) are."""
    return (words * weights).sum((2, 3)) / words.sum((2, 3)).clamp(min=1e-8)


def pull_loss(maps: dict[str, Tensor], named: Tensor, masks: Tensor) -> Tensor:
    """Mean over layers and named things of (1 - share of the word's map on the thing's mask)^2.

    `named` (batch, things, tokens), `masks` (batch, things, s, s) in [0, 1]. Grids under LEAST_SIDE are left alone.
    """
    there = (named.sum(-1) > 0) & (masks.sum((2, 3)) > 0)
    losses = []
    for chances in maps.values():
        if side_of_map(chances) < LEAST_SIDE or not there.any():
            continue
        words = word_maps(chances, named)
        pooled = F.adaptive_avg_pool2d(masks, words.shape[-1])
        inside = pooled / pooled.amax((2, 3), keepdim=True).clamp(min=1e-6)
        losses.append((1 - share_on(words, inside)[there]).square().mean())
    return torch.stack(losses).mean() if losses else named.new_zeros(())


def by_side(maps: dict[str, Tensor]) -> dict[int, Tensor]:
    """Maps averaged over the layers of the same side."""
    groups: dict[int, list[Tensor]] = {}
    for chances in maps.values():
        groups.setdefault(side_of_map(chances), []).append(chances)
    return {side: torch.stack(layers).mean(0) for side, layers in sorted(groups.items(), reverse=True)}


def hits(words: Tensor, masks: Tensor) -> Tensor:
    """Pointing game: whether the maximum of each word's map, smoothly enlarged, lies on the thing's mask."""
    large = F.interpolate(words, masks.shape[-2:], mode="bicubic", align_corners=False)
    best = large.flatten(2).argmax(-1, keepdim=True)
    return masks.flatten(2).gather(2, best)[..., 0] >= 0.5


def mass_on(chances: Tensor, named: Tensor, masks: Tensor) -> Tensor:
    """Attention that a thing's word gets on the thing's mask (batch, things): 1 where nothing else is looked at.

    `masks` stands on the maps' own grid.
    """
    mass = torch.einsum("bpt,bnt->bnp", chances, named).unflatten(-1, masks.shape[-2:])
    return (mass * masks).sum((2, 3)) / masks.sum((2, 3)).clamp(min=1e-8)


def without_start(chances: Tensor) -> Tensor:
    """Maps without the start token, which takes most of the attention and says nothing; rows sum to one again."""
    rest = chances[..., 1:]
    return rest / rest.sum(-1, keepdim=True).clamp(min=1e-8)


def concentration(chances: Tensor) -> float:
    """Tokens times the mean square of a map, as a multiple of its value for even maps."""
    return float(chances.square().sum(-1).mean() * chances.shape[-1])
