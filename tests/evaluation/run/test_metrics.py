"""The measures on cases whose answer is known."""

import pytest

pytest.importorskip("peft", reason="evaluation/requirements.txt is not installed")

import torch  # noqa: E402

from PIL import Image

from evaluation.metrics.images import max_levels, psnr, read, ssim, to_pil, to_tensor
from evaluation.metrics.judge import Judge
from evaluation.metrics.statistics import bootstrap, paired


def picture(seed: int) -> torch.Tensor:
    return torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def test_equal_pictures_are_alike():
    image = picture(0)
    assert float(ssim(image, image)) == pytest.approx(1, abs=1e-4)
    assert float(psnr(image, image)) >= 100


def test_psnr_of_a_known_error():
    image = torch.zeros(1, 3, 8, 8)
    assert float(psnr(image, image + 0.2)) == pytest.approx(20, abs=1e-3)  # 10 log10(4 / 0.04)


def test_ssim_falls_with_noise():
    image = picture(1)
    little, much = (float(ssim(image, image + s * picture(2))) for s in (0.1, 0.5))
    assert 1 > little > much


def test_files_keep_their_levels(tmp_path):
    first, second = to_pil(picture(3))[0], to_pil(picture(3))[0]
    second.putpixel((5, 6), tuple(min(255, v + 7) if v < 200 else v - 7 for v in second.getpixel((5, 6))))
    first.save(tmp_path / "a.png")
    second.save(tmp_path / "b.png")
    assert max_levels(tmp_path / "a.png", tmp_path / "b.png") == 7
    assert torch.equal(read([tmp_path / "a.png"], 64), to_tensor([first]))


def test_reading_cuts_out_the_middle(tmp_path):
    wide = Image.new("RGB", (96, 64), "black")
    wide.paste((255, 255, 255), (16, 0, 80, 64))
    wide.save(tmp_path / "wide.png")
    assert float(read([tmp_path / "wide.png"], 64).min()) == 1


def test_interval_holds_the_mean_and_tells_a_difference():
    assert bootstrap([1.0, 2.0, 3.0]).mean == 2
    clear = paired({str(i): 1.0 + 0.01 * i for i in range(10)}, {str(i): 0.0 for i in range(10)})
    assert clear.excludes_zero and clear.low > 0.9
    unclear = paired({str(i): float(i % 2) for i in range(10)}, {str(i): float((i + 1) % 2) for i in range(10)})
    assert not unclear.excludes_zero


def test_few_items_tell_nothing():
    few = paired({str(i): 1.0 for i in range(4)}, {str(i): 0.0 for i in range(4)})
    assert few.low == 1 and not few.excludes_zero


def test_only_common_items_are_paired():
    assert paired({"a": 2.0, "b": 9.0}, {"a": 1.0, "c": 5.0}).mean == 1
    with pytest.raises(ValueError):
        paired({"a": 1.0}, {"b": 1.0})


def test_photographs_are_read_upright(tmp_path):
    tall = Image.new("RGB", (64, 80), "black")
    tall.paste((255, 0, 0), (0, 0, 64, 20))
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side
    tall.rotate(90, expand=True).save(tmp_path / "lying.png", exif=exif)
    tall.save(tmp_path / "upright.png")
    assert max_levels(tmp_path / "lying.png", tmp_path / "upright.png") == 0


def test_the_judge_says_which_words_it_knows():
    assert Judge.knows(["dress", "jacket"])
    assert not Judge.knows(["dress", "snow"])
