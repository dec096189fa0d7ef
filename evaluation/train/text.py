"""Training of the text encoder: from the caption's end onwards, class and colour can be read off."""

import math
import random
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from .captions import CLASSES, COLOURS, TEMPLATES, all_captions, caption
from .models import CONTEXT, TOKENS, VOCABULARY, make_text_encoder
from .runtime import CsvLog, ThreadGovernor, save_checkpoint
from .tokenizer import export_tokenizer

BATCH = 48
STEPS = 300
LEARNING_RATE = 1e-3
FILLER_CHANCE = 0.3
NO_CLASS, NO_COLOUR = len(CLASSES), len(COLOURS)


def token_ids(tokenizer: CLIPTokenizer, texts: list[str]) -> Tensor:
    """Token ids of the texts, padded to the full length."""
    return tokenizer(texts, padding="max_length", max_length=TOKENS, truncation=True, return_tensors="pt").input_ids


def random_example(rng: random.Random) -> tuple[str, int, int]:
    """A caption with its class and colour; one in ten is empty and has neither."""
    if rng.random() < 0.1:
        return "", NO_CLASS, NO_COLOUR
    label, colour = rng.randrange(len(CLASSES)), rng.randrange(len(COLOURS))
    template = rng.choice(TEMPLATES)[0]
    text = caption(CLASSES[label], COLOURS[colour], template)
    return text, label, colour if "{colour}" in template else NO_COLOUR


def insert_filler(ids: Tensor, rng: random.Random) -> Tensor:
    """Put a random token before some captions' last word, so that unknown words do no harm."""
    ids = ids.clone()
    for row in ids:
        end = int((row == VOCABULARY - 1).int().argmax())
        if end > 2 and rng.random() < FILLER_CHANCE:
            place = rng.randrange(1, end)
            row[place + 1 :] = row[place:-1].clone()
            row[place] = rng.randrange(VOCABULARY - 2)
    return ids


def readout(hidden: Tensor, ids: Tensor) -> Tensor:
    """Hidden states at the caption's end and at one random place in the padding behind it."""
    rows = torch.arange(len(ids))
    end = (ids == VOCABULARY - 1).int().argmax(1)
    later = end + 1 + (torch.rand(len(ids)) * (TOKENS - 1 - end)).long()
    return torch.cat([hidden[rows, end], hidden[rows, later.clamp(max=TOKENS - 1)]])


def train(work: Path, seed: int = 0) -> None:
    """Train the text encoder and write it with the tokenizer; a finished one is kept."""
    path = work / "text.pt"
    if path.exists():
        return
    torch.manual_seed(1 + seed)
    rng = random.Random(1 + seed)
    tokenizer, encoder = export_tokenizer(work / "tokenizer"), make_text_encoder()
    heads = torch.nn.ModuleList([torch.nn.Linear(CONTEXT, NO_CLASS + 1), torch.nn.Linear(CONTEXT, NO_COLOUR + 1)])
    parameters = [*encoder.parameters(), *heads.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=LEARNING_RATE, betas=(0.9, 0.99), weight_decay=0.01)
    log, governor = CsvLog(work / "text.csv", ["step", "loss"]), ThreadGovernor()
    for step in range(1, STEPS + 1):
        governor.update()
        optimizer.param_groups[0]["lr"] = LEARNING_RATE * min(1, step / 50, 0.02 + 2 * (1 - step / STEPS))
        texts, classes, colours = zip(*(random_example(rng) for _ in range(BATCH)))
        ids = insert_filler(token_ids(tokenizer, list(texts)), rng)
        features = readout(encoder(ids).last_hidden_state, ids)
        targets = [torch.tensor(labels).repeat(2) for labels in (classes, colours)]
        loss = sum((F.cross_entropy(h(features), y) for h, y in zip(heads, targets)), torch.tensor(0.0))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        optimizer.zero_grad()
        if not math.isfinite(loss.item()):
            raise FloatingPointError("the text encoder's loss is not finite")
        if step % 50 == 0:
            log.write(step=step, loss=loss.item())
    save_checkpoint(path, encoder.state_dict())


def load(work: Path) -> tuple[CLIPTokenizer, CLIPTextModel]:
    """The trained text encoder and its tokenizer."""
    encoder = make_text_encoder()
    encoder.load_state_dict(torch.load(work / "text.pt"))
    return CLIPTokenizer.from_pretrained(work / "tokenizer"), encoder.eval().requires_grad_(False)


@torch.no_grad()
def embed(tokenizer: CLIPTokenizer, encoder: CLIPTextModel, texts: list[str]) -> Tensor:
    """What the UNet's cross-attention sees of the texts."""
    return torch.cat([encoder(x).last_hidden_state for x in token_ids(tokenizer, texts).split(64)])


def caption_table(work: Path) -> tuple[dict[str, int], Tensor]:
    """Every caption's row and the embeddings, made once: the encoder no longer changes."""
    texts = all_captions()
    return {text: row for row, text in enumerate(texts)}, embed(*load(work), texts)
