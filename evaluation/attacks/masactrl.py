"""MasaCtrl's mutual self-attention as an attention processor (Cao et al. 2023, arXiv 2304.08465, eq. 6)."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
import torch.nn.functional as F
from diffusers.models.attention_processor import Attention
from torch import Tensor


class MutualSelfAttention:
    """Self-attention in which the edited pictures read keys and values of their sources.

    The batch is [plain sources, plain edits, conditioned sources, conditioned edits], `pictures` each.
    """

    def __init__(self, pictures: int) -> None:
        self.pictures = pictures

    def from_sources(self, values: Tensor) -> Tensor:
        """Rows of the edits replaced by those of their sources."""
        halves = values.unflatten(0, (-1, 2, self.pictures))
        return halves[:, :1].expand_as(halves).flatten(0, 2)

    def __call__(
        self, attn: Attention, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None,
        attention_mask: Tensor | None = None, **_: object,
    ) -> Tensor:
        query, key, value = (
            layer(hidden_states).unflatten(-1, (attn.heads, -1)).transpose(1, 2)
            for layer in (attn.to_q, attn.to_k, attn.to_v)
        )
        mixed = F.scaled_dot_product_attention(query, self.from_sources(key), self.from_sources(value))
        return attn.to_out[1](attn.to_out[0](mixed.transpose(1, 2).flatten(2)))


@contextmanager
def mutual_self_attention(unet: torch.nn.Module, pictures: int, active: bool) -> Iterator[None]:
    """Within it the decoder's self-attention (the published layers are the later ones) is mutual."""
    before = unet.attn_processors
    if active:
        mutual = MutualSelfAttention(pictures)
        unet.set_attn_processor({
            name: mutual if name.startswith("up_blocks") and ".attn1." in name else processor
            for name, processor in before.items()
        })
    try:
        yield
    finally:
        unet.set_attn_processor(before)
