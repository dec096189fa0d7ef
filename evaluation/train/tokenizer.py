"""The CLIP byte-pair tokenizer, cut to its commonest entries, in CLIPTokenizer's file layout."""

import gzip
import importlib.util
import json
from pathlib import Path

from transformers import CLIPTokenizer

from .models import TOKENS, VOCABULARY

SPECIAL = ("<|startoftext|>", "<|endoftext|>")


def byte_symbols() -> list[str]:
    """The printable stand-ins of the 256 bytes, in the order of CLIP's vocabulary."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = 256 - len(printable)
    return [chr(c) for c in (*printable, *range(256, 256 + others))]


def clip_merges() -> list[str]:
    """All merges of CLIP's tokenizer, commonest first, from the clip package's data file (which is not imported)."""
    spec = importlib.util.find_spec("clip")
    if spec is None or spec.origin is None:
        raise ModuleNotFoundError("the merges file comes with the package clip-anytorch")
    packed = (Path(spec.origin).parent / "bpe_simple_vocab_16e6.txt.gz").read_bytes()
    return gzip.decompress(packed).decode().splitlines()[1:]


def cut_vocabulary(merges: list[str], size: int) -> tuple[dict[str, int], list[str]]:
    """The vocabulary of `size` entries and the merges that it keeps."""
    symbols = byte_symbols()
    kept = merges[: size - 2 * len(symbols) - len(SPECIAL)]
    entries = [*symbols, *(s + "</w>" for s in symbols), *("".join(m.split()) for m in kept), *SPECIAL]
    if not len(set(entries)) == len(entries) == size:
        raise ValueError(f"{len(entries)} entries, {len(set(entries))} distinct, for a vocabulary of {size}")
    return {entry: index for index, entry in enumerate(entries)}, kept


def export_tokenizer(folder: Path, merges: list[str] | None = None, size: int = VOCABULARY) -> CLIPTokenizer:
    """Write the tokenizer's files into `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary, kept = cut_vocabulary(clip_merges() if merges is None else merges, size)
    vocabulary_file, merges_file = folder / "vocab.json", folder / "merges.txt"
    vocabulary_file.write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    merges_file.write_text("\n".join(["#version: 0.2", *kept, ""]), encoding="utf-8")
    tokenizer = CLIPTokenizer(str(vocabulary_file), str(merges_file), model_max_length=TOKENS)
    tokenizer.save_pretrained(folder)
    return tokenizer
