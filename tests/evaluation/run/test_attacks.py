"""Every attack on the embedded model: a tuned model learns, an edit follows its prompt, nothing else changes."""

import pytest

pytest.importorskip("peft", reason="evaluation/requirements.txt is not installed")

import torch  # noqa: E402

from evaluation.attacks.editing import EDIT_ATTACKS, EditSettings, EditTask
from evaluation.attacks.masactrl import MutualSelfAttention
from evaluation.attacks.sampling import sample
from evaluation.attacks.tuning import TUNING_ATTACKS, Subject, TuningSettings
from evaluation.countermeasures import COUNTERMEASURES
from evaluation.metrics.images import psnr
from evaluation.metrics.learning import denoising_loss, learned
from evaluation.run.measure import redness

STEPS = 12


@pytest.mark.parametrize("name", TUNING_ATTACKS)
def test_tuning_on_clean_photographs_learns_the_subject(model, garment, name):
    subject = Subject(garment, "dress")
    weights = [p.clone() for p in model.pipe.unet.parameters()]
    words = model.pipe.text_encoder.get_input_embeddings().weight.clone()
    ticks = []
    tuned = TUNING_ATTACKS[name](model, subject, TuningSettings(steps=STEPS), lambda: ticks.append(1))
    assert len(ticks) == STEPS
    before = denoising_loss(model, garment[:1], subject.prompt(model.placeholder))
    after = denoising_loss(tuned, garment[:1], subject.prompt(tuned.placeholder))
    assert learned(before, after) > 0
    # The attacker's own model stays as it was loaded.
    assert all(torch.equal(a, b) for a, b in zip(weights, model.pipe.unet.parameters()))
    assert torch.equal(words, model.pipe.text_encoder.get_input_embeddings().weight)


def test_textual_inversion_changes_one_word_only(model, garment):
    tuned = TUNING_ATTACKS["textual-inversion"](model, Subject(garment, "dress"), TuningSettings(steps=2), lambda: None)
    old = model.pipe.text_encoder.get_input_embeddings().weight
    new = tuned.pipe.text_encoder.get_input_embeddings().weight
    changed = (old != new[: len(old)]).any(1).sum() + len(new) - len(old)
    assert int(changed) == 1


@pytest.mark.parametrize("name", EDIT_ATTACKS)
def test_edits_give_other_pictures_of_the_same_size(model, garment, name):
    task = EditTask(garment[:2], ["a photo of a red dress"] * 2, ["a photo of a blue dress"] * 2)
    edits = EDIT_ATTACKS[name](model, task, EditSettings(steps=10))
    assert edits.shape == task.images.shape
    assert torch.isfinite(edits).all()
    assert float(psnr(edits, task.images).max()) < 45


def test_edits_of_clean_photographs_follow_their_prompts(model):
    """The edit to red is redder than the edit to blue of the same photograph and noise, on average and mostly."""
    nouns = ["dress", "shirt", "hat", "t-shirt"]
    photographs = sample(model, [f"a photo of a gray {noun}" for noun in nouns], seed=9, steps=20, guidance=2.0)
    edits = [EDIT_ATTACKS["sdedit"](model, EditTask(photographs, [""] * 4, [f"a photo of a {colour} {n}" for n in nouns]),
                                    EditSettings(steps=20)) for colour in ("red", "blue")]
    redder = redness(edits[0]) - redness(edits[1])
    assert float(redder.mean()) > 0
    assert int((redder > 0).sum()) >= 3


def test_inpainting_keeps_the_rest(model, garment):
    task = EditTask(garment[:1], [""], ["a photo of a blue dress"])
    edit = EDIT_ATTACKS["inpainting"](model, task, EditSettings(steps=10))
    rest = torch.ones(64, 64, dtype=torch.bool)
    rest[12:52, 12:52] = False  # a cell beyond the mask
    kept = model.decode(model.encode(garment[:1]))
    assert float((edit - kept)[..., rest].abs().mean()) < 0.5 * float((edit - kept)[..., ~rest].abs().mean())


def test_mutual_attention_reads_the_sources():
    values = torch.arange(8.0).view(8, 1)  # plain sources 0 1, plain edits 2 3, sources 4 5, edits 6 7
    read = MutualSelfAttention(pictures=2).from_sources(values).flatten().tolist()
    assert read == [0, 1, 0, 1, 4, 5, 4, 5]


@pytest.mark.parametrize("name", COUNTERMEASURES)
def test_countermeasures_keep_the_picture(model, garment, name):
    treated = COUNTERMEASURES[name](model, garment[:1])
    assert treated.shape == garment[:1].shape
    if name == "none":
        assert torch.equal(treated, garment[:1])
    else:
        assert 12 < float(psnr(treated, garment[:1])) < 80
