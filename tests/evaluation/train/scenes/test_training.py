"""Trainings of seconds: what is cached, what a resumed run goes on from, what attention is pulled by."""

from pathlib import Path

import pytest

pytest.importorskip("diffusers", reason="evaluation/train/requirements.txt is not installed")

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from torch import Tensor, nn  # noqa: E402

from evaluation.train.models import make_text_encoder  # noqa: E402
from evaluation.train.scenes import cache, denoiser, distil  # noqa: E402
from evaluation.train.scenes.attention import concentration, hits, mass_on, pull_loss, recorded, without_start  # noqa: E402
from evaluation.train.scenes.compose import describe  # noqa: E402
from evaluation.train.scenes.networks import make_unet  # noqa: E402
from evaluation.train.scenes.progress import Progress, learning_rate  # noqa: E402
from evaluation.train.scenes.stock import Stock  # noqa: E402
from evaluation.train.tokenizer import export_tokenizer  # noqa: E402

WIDTHS = (16, 32)
SIDE = 64


def shrink(images: Tensor) -> Tensor:
    """Stands for an encoder: averages of 8x8 pixels, and a fourth channel."""
    small = F.avg_pool2d(images, 8)
    return torch.cat([small, small.mean(1, keepdim=True)], 1)


@pytest.fixture(scope="module")
def work(data: Path, merges: list[str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A work folder with latents, a tokenizer and an untrained text encoder."""
    folder = tmp_path_factory.mktemp("work")
    torch.manual_seed(0)
    for split in ("train", "validation"):
        shard = cache.make_shard(Stock(data, split), 0, 12, SIDE, shrink)
        (folder / "latents").mkdir(exist_ok=True)
        torch.save(shard, folder / "latents" / f"{split}-000.pt")
    export_tokenizer(folder / "tokenizer", merges)
    torch.save(make_text_encoder().state_dict(), folder / "text.pt")
    return folder


def test_the_cache_holds_scenes_latents_and_masks(work: Path, data: Path) -> None:
    cached = cache.load_cache(work / "latents", "train")
    assert cached.scenes == [describe(Stock(data, "train"), number) for number in range(12)]
    assert cached.latents.shape == (12, 4, SIDE // 8, SIDE // 8)
    there = (cached.masks_of(slice(None)).amax((2, 3)) > 0.5).sum(1).tolist()
    assert there == [len(scene.things) for scene in cached.scenes]


def test_missing_latents_are_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="stage latents"):
        cache.load_cache(tmp_path, "train")


def options(work: Path, minutes: float) -> denoiser.Options:
    return denoiser.Options(work / "latents", minutes, widths=WIDTHS, batch=4)


def test_a_denoiser_goes_on_where_it_stopped(work: Path) -> None:
    path = work / "small.pt"
    first = denoiser.Trainer(work, path, options(work, 1))
    for _ in range(2):
        first.train_step()
    first.progress.save(widths=WIDTHS)
    drawn = torch.rand(3), first.progress.rng.random()
    second = denoiser.Trainer(work, path, options(work, 1))
    assert second.progress.step == 2
    assert second.progress.budget.spent() > 0
    assert (torch.rand(3).equal(drawn[0]), second.progress.rng.random()) == (True, drawn[1])
    pairs = zip(first.progress.network.parameters(), second.progress.network.parameters(), strict=True)
    assert all(a.equal(b) for a, b in pairs)
    assert len(second.progress.optimizer.state) == len(first.progress.optimizer.state) > 0
    assert denoiser.load_unet(path).config.block_out_channels == WIDTHS


def test_a_spent_budget_trains_no_more(work: Path) -> None:
    trainer = denoiser.Trainer(work, work / "spent.pt", options(work, 1))
    trainer.train_step()
    trainer.progress.save(widths=WIDTHS)
    denoiser.train(work, "spent", options(work, 1e-9))
    assert torch.load(work / "spent.pt", weights_only=False)["step"] == 1
    assert (work / "spent.csv").read_text().count("\n") == 2


class Shrink(nn.Module):
    """The stand-in encoder with a gain, so that it can be wrong."""

    def __init__(self, gain: float) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.tensor(gain))

    def forward(self, images: Tensor) -> Tensor:
        return self.gain * shrink(images)


def test_agreement_is_whole_with_the_same_encoder_and_less_with_another(work: Path, data: Path) -> None:
    (pairs,) = distil.load_pairs(data, [work / "latents", work / "absent"], "train")
    assert distil.agreement(Shrink(1.0), pairs) == pytest.approx({"error": 0, "correlation": 1}, abs=1e-3)
    assert distil.agreement(Shrink(0.5), pairs)["error"] > 0.1
    assert distil.agreement(Shrink(-1.0), pairs)["correlation"] < -0.9


def test_descending_lowers_the_loss_on_pairs(work: Path, data: Path, tmp_path: Path) -> None:
    (pairs,) = distil.load_pairs(data, [work / "latents"], "train")
    network = Shrink(0.5)
    progress = Progress(tmp_path / "p.pt", network, 0.2, 0.9, 1, seed=0)
    images, wanted = pairs.images(torch.arange(4)), pairs.cached.latents[:4]
    losses = [progress.descend(F.mse_loss(network(images), wanted)) for _ in range(20)]
    assert losses[-1] < losses[0] / 2


def test_the_learning_rate_warms_up_and_falls_at_the_end() -> None:
    assert learning_rate(1, 0, 0) == pytest.approx(0.01)
    assert learning_rate(1, 1000, 0.7) == 1
    assert learning_rate(1, 1000, 1) == pytest.approx(0.02)


def test_recording_changes_no_output() -> None:
    torch.manual_seed(0)
    unet = make_unet(WIDTHS).eval()
    inputs = torch.randn(2, 4, 8, 8), torch.tensor([3, 900]), torch.randn(2, 77, 128)
    plain = unet(*inputs).sample
    with recorded(unet) as maps:
        again = unet(*inputs).sample
    assert torch.allclose(plain, again, atol=1e-5)
    assert sorted({chances.shape[1] for chances in maps.values()}) == [16]
    assert all(torch.allclose(chances.sum(-1), torch.ones(2, 16)) for chances in maps.values())


def half_map(columns: slice) -> tuple[Tensor, Tensor]:
    """A map of one token that lies on some columns of a 4x4 grid, and the named token."""
    chances = torch.full((1, 4, 4, 5), 0.01)
    chances[:, :, columns, 2] = 0.9
    named = torch.zeros(1, 1, 5)
    named[0, 0, 2] = 1
    return chances.flatten(1, 2), named


def test_the_pull_is_small_on_the_mask_and_large_beside_it() -> None:
    masks = torch.zeros(1, 1, 32, 32)
    masks[..., :16] = 1
    (on, named), (off, _) = half_map(slice(0, 2)), half_map(slice(2, 4))
    assert pull_loss({"layer": on}, named, masks) < 0.01
    assert pull_loss({"layer": off}, named, masks) > 0.9
    assert pull_loss({"layer": on}, 0 * named, masks) == 0


def test_the_pointing_game_finds_the_maximum_on_the_mask() -> None:
    masks = torch.zeros(1, 2, 32, 32)
    masks[0, 0, 8:24, 8:24] = 1
    masks[0, 1, :4, :4] = 1
    words = torch.zeros(1, 2, 8, 8)
    words[0, :, 4, 4] = 1
    assert hits(words, masks).tolist() == [[True, False]]


def test_concentration_counts_multiples_of_even_maps() -> None:
    assert concentration(torch.full((1, 4, 5), 0.2)) == pytest.approx(1)
    assert concentration(F.one_hot(torch.zeros(1, 4, dtype=torch.long), 5).float()) == pytest.approx(5)


def test_the_start_token_is_left_out_of_the_attention() -> None:
    chances = torch.tensor([[[0.8, 0.1, 0.1], [0.6, 0.4, 0.0]]])
    assert torch.allclose(without_start(chances), torch.tensor([[[0.5, 0.5], [1.0, 0.0]]]))


def test_a_words_part_is_counted_on_its_mask_alone() -> None:
    chances, named = half_map(slice(0, 2))
    masks = torch.zeros(1, 1, 4, 4)
    masks[..., :2] = 1
    assert mass_on(chances, named, masks).item() == pytest.approx(0.9)
    assert mass_on(chances, named, 1 - masks).item() == pytest.approx(0.01)


def test_progress_keeps_what_is_beside_it(tmp_path: Path) -> None:
    progress = Progress(tmp_path / "p.pt", nn.Linear(1, 1), 1e-3, 0.9, 1, seed=0)
    progress.save(widths=(1, 2))
    assert torch.load(tmp_path / "p.pt", weights_only=False)["widths"] == (1, 2)
