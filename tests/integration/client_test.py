"""Photographs of odd kinds through the real client and server: sizes, metadata, budget, exit codes.

usage: ANTIDIFFUSIOND=build/bin/antidiffusiond ANTIDIFFUSION=build/bin/antidiffusion \
           python -m pytest tests/integration/client_test.py
"""

import io
import json
import os
import subprocess

import numpy as np
import pytest
from PIL import Image, ImageCms, ImageOps

from running_server import WAIT_S, RunningServer

BUDGET = 6  # floor of the default, 6.375
SHORT = ["--effort", "draft", "--pgd-steps", "2"]
ORIENTATION, MAKE = 0x0112, 0x010F


@pytest.fixture(scope="module")
def server(tmp_path_factory):
    running = RunningServer(tmp_path_factory.mktemp("server"))
    yield running
    running.close()


def photograph(width, height, mode="RGB"):
    """A gradient with texture, in any mode that NumPy can hold."""
    y, x = np.mgrid[0:height, 0:width]
    planes = [(x // 3 + y // 5) % 256, (x * y // 97) % 256, (x // 2 + y) % 256, 255 - (x + y) % 256]
    samples = np.stack(planes[: len(mode)], axis=-1).astype(np.uint8)
    return Image.fromarray(samples[..., 0] if len(mode) == 1 else samples, mode)


def srgb_profile():
    """Bytes of an ICC profile; each call stamps its own time into them."""
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def protect(server, *arguments):
    """Exit code and the objects of the JSON Lines."""
    done = subprocess.run(
        [os.environ["ANTIDIFFUSION"], "protect", "--server", server.address, "--json", *SHORT,
         *map(str, arguments)],
        capture_output=True, text=True, timeout=WAIT_S, check=False)
    return done.returncode, [json.loads(line) for line in done.stdout.splitlines()]


def protected(server, path, *arguments):
    """The output file of one photograph that must succeed."""
    code, lines = protect(server, path, *arguments)
    assert code == 0, lines
    (line,) = lines
    assert line["status"] == "OK"
    assert line["report"]["max_difference"] <= BUDGET
    return line["output"]


def largest_difference(a, b):
    return int(np.abs(np.asarray(a, dtype=int) - np.asarray(b, dtype=int)).max())


def assert_protected(original, image):
    assert image.size == original.size
    assert image.mode == original.mode
    assert 0 < largest_difference(original, image) <= BUDGET


def test_a_turned_jpeg_keeps_its_profile_and_is_turned_once(server, tmp_path):
    exif = Image.Exif()
    exif[ORIENTATION], exif[MAKE] = 6, "Camera"
    path, profile = tmp_path / "turned.jpg", srgb_profile()
    photograph(3000, 2000).save(path, quality=92, exif=exif, icc_profile=profile)
    with Image.open(path) as stored:
        original = ImageOps.exif_transpose(stored)
    with Image.open(protected(server, path)) as image:
        assert image.format == "PNG" and image.size == (2000, 3000)
        assert image.getexif().get(ORIENTATION, 1) == 1
        assert image.getexif()[MAKE] == "Camera"
        assert image.info["icc_profile"] == profile
        assert_protected(original, image)


def test_alpha_is_kept_to_the_bit(server, tmp_path):
    path = tmp_path / "alpha.png"
    original = photograph(1045, 1046, "RGBA")
    original.save(path)
    with Image.open(protected(server, path)) as image:
        assert_protected(original.convert("RGB"), image.convert("RGB"))
        assert image.mode == "RGBA"
        assert image.getchannel("A").tobytes() == original.getchannel("A").tobytes()


def test_grey_stays_grey(server, tmp_path):
    path = tmp_path / "grey.jpg"
    photograph(300, 200, "L").save(path, quality=95)
    with Image.open(path) as original, Image.open(protected(server, path)) as image:
        assert_protected(original, image)


def test_a_strip_is_protected_from_end_to_end(server, tmp_path):
    path = tmp_path / "strip.png"
    original = photograph(100, 1000)
    original.save(path)
    with Image.open(protected(server, path)) as image:
        assert_protected(original, image)
        ends = np.asarray(image, dtype=int) - np.asarray(original, dtype=int)
        assert ends[:50].any() and ends[-50:].any()


def test_a_palette_becomes_colour(server, tmp_path):
    path = tmp_path / "palette.png"
    original = photograph(128, 96).quantize(64)
    original.save(path)
    with Image.open(protected(server, path)) as image:
        assert_protected(original.convert("RGB"), image)


def test_a_lossy_result_says_what_the_codec_added(server, tmp_path):
    path = tmp_path / "photo.jpg"
    photograph(128, 96).save(path, quality=95)
    code, (line,) = protect(server, path, "--format", "same", "--quality", "90")
    assert code == 0
    assert line["output"].endswith("photo.protected.jpg")
    assert line["report"]["max_difference"] <= BUDGET
    assert line["report"]["codec_difference"] > 0 and line["report"]["codec_note"]


def test_one_bad_file_does_not_stop_a_batch(server, tmp_path):
    photograph(96, 96).save(tmp_path / "a.png")
    photograph(96, 96, "RGBA").convert("CMYK").save(tmp_path / "b.jpg")
    buffer = io.BytesIO()
    photograph(96, 96).save(buffer, "WEBP")
    (tmp_path / "c.webp").write_bytes(buffer.getvalue()[:-200])
    code, lines = protect(server, tmp_path, "--output", tmp_path / "out")
    assert code == 1
    assert {os.path.basename(line["input"]): line["status"] for line in lines} == {
        "a.png": "OK", "b.jpg": "INVALID_ARGUMENT", "c.webp": "INVALID_ARGUMENT"}
    assert (tmp_path / "out" / "a.protected.png").exists()
