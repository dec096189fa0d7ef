"""Every stage once, from the command line, with a teacher that knows nothing and a step or two of training."""

import json
from pathlib import Path

import pytest

pytest.importorskip("diffusers", reason="evaluation/train/requirements.txt is not installed")

import torch  # noqa: E402
from diffusers import AutoencoderTiny, StableDiffusionPipeline  # noqa: E402

from evaluation.train import sampling  # noqa: E402
from evaluation.train.models import make_text_encoder  # noqa: E402
from evaluation.train.scenes import __main__ as program  # noqa: E402
from evaluation.train.scenes import cache, decoder, denoiser, distil, gates, judge, sheets  # noqa: E402
from evaluation.train.tokenizer import export_tokenizer  # noqa: E402

INSTANT = "0.0001"
SMALLER = (
    (cache, "SHARD", 4),
    (decoder, "BATCH", 2),
    (denoiser, "BATCH", 3),
    (distil, "BATCH_PIXELS", 128 * 128),
    (gates, "SAMPLES", 2),
    (gates, "OWN", 4),
    (judge, "BATCH", 2),
    (sampling, "STEPS", 1),
    (sheets, "COLUMNS", 1),
    (sheets, "PROMPTS", ("a red apple",)),
)


@pytest.fixture(scope="module")
def encoders(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Untrained autoencoders in the teachers' layout."""
    folder = tmp_path_factory.mktemp("encoders")
    torch.manual_seed(0)
    for name, channels in (("taesd", 4), ("taesdxl", 4), ("taef1", 16)):
        widths = {"encoder_block_out_channels": (8,) * 4, "decoder_block_out_channels": (8,) * 4}
        AutoencoderTiny(latent_channels=channels, **widths).save_pretrained(folder / name)
    return folder


def test_the_stages_follow_one_another(
    data: Path, encoders: Path, merges: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module, name, value in SMALLER:
        monkeypatch.setattr(module, name, value)
    export_tokenizer(tmp_path / "tokenizer", merges)
    torch.save(make_text_encoder().state_dict(), tmp_path / "text.pt")
    minutes = [
        part
        for name in ("minutes-128", "minutes-256", "encoder-minutes", "decoder-minutes", "encoders-minutes")
        for part in (f"--{name}", INSTANT)
    ]
    shards = ["--shards-128", "1", "--shards-256", "1", "--shards-encoders", "1", "--judge-steps", "1"]
    folders = ["--data", str(data), "--encoders", str(encoders), "--work", str(tmp_path)]
    monkeypatch.setattr("sys.argv", ["scenes", *folders, *minutes, *shards, "--side", "256"])
    program.main()
    pipe = StableDiffusionPipeline.from_pretrained(tmp_path / "model")
    assert pipe.unet.config.sample_size == 32 and pipe.vae_scale_factor == 8
    assert {path.name for path in (tmp_path / "encoders").iterdir()} == {"taesd", "taesdxl", "taef1"}
    assert json.loads((tmp_path / "unet-256-figures.json").read_text())["step"] > 0
    assert (tmp_path / "unet-256-samples.png").exists() and (tmp_path / "unet-256-attention.png").exists()
    assert len(json.loads((tmp_path / "gates-captions.json").read_text())) == 3
