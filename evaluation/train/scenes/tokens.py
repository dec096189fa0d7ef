"""Captions as token ids, with the tokens that name each thing."""

import random

import torch
from torch import Tensor
from transformers import CLIPTokenizer

from ..models import TOKENS, VOCABULARY
from .compose import MOST
from .words import Caption

START, END = VOCABULARY - 2, VOCABULARY - 1


class CaptionTokens:
    """Turns captions into ids as CLIP's tokenizer does, word by word, so that the place of each word is known."""

    def __init__(self, tokenizer: CLIPTokenizer) -> None:
        self.tokenizer = tokenizer
        self.known: dict[str, list[int]] = {}

    def word(self, word: str) -> list[int]:
        """Ids of one word."""
        if word not in self.known:
            self.known[word] = self.tokenizer(word, add_special_tokens=False).input_ids
        return self.known[word]

    def row(self, caption: Caption, filler: random.Random | None = None) -> tuple[list[int], list[tuple[int, int]]]:
        """Ids from start to end, and the tokens [first, last) of each thing's noun; `filler` puts in a random token."""
        ids, starts = [START], []
        place = filler.randrange(len(caption.words) + 1) if filler else -1
        inside = any(first < place < last for first, last in caption.nouns)
        for number, word in enumerate(caption.words):
            if filler and number == place and not inside:
                ids.append(filler.randrange(START))
            starts.append(len(ids))
            ids += self.word(word)
        ends = [start + len(self.word(word)) for start, word in zip(starts, caption.words)]
        return [*ids, END], [(starts[first], ends[last - 1]) for first, last in caption.nouns]

    def __call__(self, captions: list[Caption], filler: random.Random | None = None) -> tuple[Tensor, Tensor]:
        """Ids (N, TOKENS), padded with the end token, and which tokens name which thing, float (N, MOST, TOKENS)."""
        ids = torch.full((len(captions), TOKENS), END)
        named = torch.zeros(len(captions), MOST, TOKENS)
        for number, caption in enumerate(captions):
            row, spans = self.row(caption, filler)
            ids[number, : len(row)] = torch.tensor(row[:TOKENS])
            for thing, (first, last) in enumerate(spans):
                named[number, thing, first:last] = 1
        return ids, named
