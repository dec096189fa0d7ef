"""The cut tokenizer and the runtime's small parts."""

import json
from pathlib import Path

import pytest

pytest.importorskip("diffusers", reason="evaluation/train/requirements.txt is not installed")

import torch  # noqa: E402
from transformers import CLIPTokenizer  # noqa: E402

from evaluation.train.runtime import Ema, bf16_is_fast, load_checkpoint, save_checkpoint  # noqa: E402
from evaluation.train.tokenizer import SPECIAL, byte_symbols, cut_vocabulary, export_tokenizer  # noqa: E402

MERGES = ["r e", "re d</w>", "d re", "dre s", "dres s</w>", "b l"]
SIZE = 512 + 5 + 2


def test_byte_symbols_are_distinct_characters() -> None:
    symbols = byte_symbols()
    assert len(set(symbols)) == 256
    assert all(len(symbol) == 1 for symbol in symbols)


def test_the_cut_keeps_the_first_merges_and_the_special_tokens() -> None:
    vocabulary, kept = cut_vocabulary(MERGES, SIZE)
    assert kept == MERGES[:5]
    assert [vocabulary[s] for s in SPECIAL] == [SIZE - 2, SIZE - 1]


def test_too_few_merges_are_refused() -> None:
    with pytest.raises(ValueError, match="vocabulary"):
        cut_vocabulary(MERGES, SIZE + 100)


def test_exported_files_load_and_tokenize(tmp_path: Path) -> None:
    export_tokenizer(tmp_path, MERGES, SIZE)
    assert {"vocab.json", "merges.txt", "special_tokens_map.json", "tokenizer_config.json"} <= {
        path.name for path in tmp_path.iterdir()
    }
    vocabulary = json.loads((tmp_path / "vocab.json").read_text(encoding="utf-8"))
    tokenizer = CLIPTokenizer.from_pretrained(tmp_path)
    ids = tokenizer("Red dress", padding="max_length").input_ids
    assert len(ids) == 77
    assert ids[:4] == [SIZE - 2, vocabulary["red</w>"], vocabulary["dress</w>"], SIZE - 1]
    assert set(ids[4:]) == {SIZE - 1}


def test_bf16_is_read_from_the_processor_flags(tmp_path: Path) -> None:
    flags = tmp_path / "cpuinfo"
    flags.write_text("flags : avx2 avx512f avx512_bf16")
    assert bf16_is_fast(str(flags))
    flags.write_text("flags : avx2 avx512f")
    assert not bf16_is_fast(str(flags))
    assert not bf16_is_fast(str(tmp_path / "absent"))


def test_average_starts_short_and_follows(tmp_path: Path) -> None:
    module = torch.nn.Linear(1, 1, bias=False)
    ema = Ema(module, 0.999)
    start = module.weight.item()
    module.weight.data += 1
    ema.update(module, 0)
    assert ema.module.weight.item() == pytest.approx(start + 0.95, abs=1e-5)


def test_checkpoints_come_back_whole(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    assert load_checkpoint(path) is None
    save_checkpoint(path, {"step": 3})
    assert load_checkpoint(path) == {"step": 3}
    assert [p.name for p in tmp_path.iterdir()] == ["state.pt"]
