"""Writes pairs_mixed.json: random mixtures of what a CLIP tokenizer treats in special ways, with the ids that
transformers' slow CLIPTokenizer without ftfy gives, for the padding of SD 1.x and of SD 2.x.

    python make_mixed_pairs.py 300 pairs_mixed.json

Run with Python 3.11 (Unicode 14) and transformers 4.57.6. The ids end at the first end token; padding follows."""
import json
import os
import random
import shutil
import sys
import tempfile
import unicodedata

from transformers import CLIPTokenizer
from transformers.models.clip.tokenization_clip import BasicTokenizer

HERE = os.path.dirname(os.path.abspath(__file__))
FRAGMENTS = [
    "<|startoftext|>", "<|endoftext|>", "<|StartOfText|>", "<|\u017ftartoftext|>", "'s", "'\u017f", "'S", "'re",
    "'LL", "!", "!!", "\u03a3", "\u0391\u03a3", "\u0130", "\u00df", "e\u0301", "\u0345", "\u03b1\u0345", "\u1e9b\u0323", "\ufa30", "\ud55c",
    "\u1112\u1161\u11ab", "\u200d", "\ufeff", "\u2028", "\u00a0", "\t", "\n", "\u212a", "\u212b", "\ufb01", "<|",
    "|>", "</w>", "\u0120", "a</w>", "\u6f22", "\U0001f469\u200d\U0001f467", "..", "--", " ", " ", " "]
WORDS = ("a photo of sks person in style oil painting cat dog the running unbelievable xxxxxxxxxxxx mississippi "
         "antidisestablishmentarianism aaaaaaaaaaaaaa hahahahaha").split()


def load(folder):
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    tokenizer.fix_text = None  # as without ftfy
    tokenizer.nlp = BasicTokenizer(strip_accents=False, do_split_on_punc=False)
    return tokenizer


def load_sd2():
    with tempfile.TemporaryDirectory() as folder:
        for name in ("vocab.json", "merges.txt", "tokenizer_config.json"):
            shutil.copy(os.path.join(HERE, name), folder)
        shutil.copy(os.path.join(HERE, "../models/sd2-base-like/tokenizer/special_tokens_map.json"), folder)
        return load(folder)


def mixture(rng, characters):
    text = ""
    for _ in range(rng.randint(1, 25)):
        kind = rng.random()
        if kind < 0.35:
            text += rng.choice(FRAGMENTS)
        elif kind < 0.55:
            text += rng.choice(WORDS) + rng.choice(["", " ", " "])
        elif kind < 0.7:
            text += "".join(chr(rng.randint(32, 126)) for _ in range(rng.randint(1, 6)))
        else:
            text += "".join(rng.choice(characters) for _ in range(rng.randint(1, 3)))
    return text


def main():
    rng = random.Random(7)
    # Assigned in Unicode 14 or never, so that newer tables give the same ids.
    characters = [chr(c) for c in range(1, 0x110000)
                  if not 0xD800 <= c < 0xE000 and unicodedata.category(chr(c)) not in ("Cn", "Co")]
    tokenizers = {"sd1": load(HERE), "sd2": load_sd2()}
    rows = []
    for _ in range(int(sys.argv[1])):
        row = {"text": mixture(rng, characters)}
        for name, tokenizer in tokenizers.items():
            row[name] = tokenizer(row["text"], max_length=77, truncation=True).input_ids
        rows.append(row)
    with open(sys.argv[2], "w") as f:
        json.dump(rows, f, ensure_ascii=True, separators=(",", ":"))


main()
