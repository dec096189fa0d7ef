"""The faces' judge on photographs whose answer is known. Needs no torch."""

import math

import pytest

pytest.importorskip("dlib", reason="evaluation/requirements-judges.txt is not installed")

import numpy as np  # noqa: E402
from PIL import Image, ImageEnhance, ImageFilter

from evaluation.metrics.faces import FaceJudge
from evaluation.metrics.packages import carried

try:
    PHOTOS = carried("scikit-image", "skimage/data/astronaut.png").parent
    JUDGE = FaceJudge()
except ModuleNotFoundError as missing:
    pytest.skip(f"the weights or scikit-image are not installed: {missing}", allow_module_level=True)


def photo(name: str) -> Image.Image:
    with Image.open(PHOTOS / name) as file:
        return file.convert("RGB")


@pytest.fixture(scope="module")
def person() -> Image.Image:
    """An astronaut's portrait."""
    return photo("astronaut.png")


@pytest.fixture(scope="module")
def strangers() -> list[Image.Image]:
    """Faces of 25 pixels from "Labeled Faces in the Wild", enlarged so that the detector sees them."""
    faces = (np.load(PHOTOS / "lfw_subset.npy")[:24] * 255).astype(np.uint8)
    canvases = []
    for face in faces:
        canvas = Image.new("L", (250, 250), 128)
        canvas.paste(Image.fromarray(face).resize((150, 150), Image.Resampling.BICUBIC), (50, 50))
        canvases.append(canvas)
    return canvases


@pytest.fixture(scope="module")
def no_faces() -> list[Image.Image]:
    return [photo("chelsea.png"), photo("coffee.png")]  # a cat; a cup


def test_the_same_person_scores_close(person):
    views = [person.transpose(Image.Transpose.FLIP_LEFT_RIGHT), ImageEnhance.Brightness(person).enhance(1.3),
             person.rotate(12, Image.Resampling.BICUBIC), person.filter(ImageFilter.GaussianBlur(2)),
             person.crop((128, 20, 320, 212)).resize((128, 128))]
    found = JUDGE.figures(views, [person])
    assert found.failure == 0
    assert found.identity > 0.95


def test_strangers_score_far(person, strangers):
    found = JUDGE.figures(strangers, [person])
    assert found.failure < 0.25
    assert found.identity < 0.9


def test_a_photograph_without_a_face_is_a_detection_failure(person, no_faces):
    found = JUDGE.figures(no_faces, [person])
    assert found.failure == 1
    assert math.isnan(found.identity)


def test_failures_do_not_touch_the_identity_of_the_others(person, no_faces):
    found = JUDGE.figures([person, *no_faces, person], [person])
    assert found.failure == 0.5
    assert found.identity == pytest.approx(1)


def test_without_a_clean_face_there_is_no_identity(person, no_faces):
    found = JUDGE.figures([person], no_faces)
    assert found.failure == 0
    assert math.isnan(found.identity)


def test_the_largest_face_is_the_subjects(person, strangers):
    both = Image.new("RGB", (person.width + 250, person.height))
    both.paste(strangers[0].resize((120, 120)), (person.width, 0))
    both.paste(person, (0, 0))
    assert JUDGE.figures([both], [person]).identity == pytest.approx(1, abs=0.02)
