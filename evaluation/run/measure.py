"""One attack on one item, and its figures."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from ..attacks.editing import EDIT_ATTACKS, EditSettings, EditTask
from ..attacks.model import AttackedModel
from ..attacks.sampling import sample
from ..attacks.tuning import TUNING_ATTACKS, Progress, Subject, TuningSettings
from ..countermeasures import COUNTERMEASURES
from ..metrics.brisque import Brisque
from ..metrics.faces import FaceJudge
from ..metrics.images import max_levels, opened, psnr, read, ssim, to_pil
from ..metrics.judge import Judge
from ..metrics.learning import denoising_loss, learned
from .datasets import EditFolder, SubjectFolder

SAMPLES = 4
SAMPLE_STEPS = 20
GUIDANCE = 2.0
# In the report's order. Part of what a kept row came from: with a new figure the rows are measured anew.
TUNING_FIGURES = ("learned", "similarity", "class", "brisque", "face_failure", "identity")


@dataclass(frozen=True)
class Judges:
    """Who looks at generated pictures; no one for clothes or faces where the subjects are of another kind."""

    quality: Brisque
    clothing: Judge | None = None
    faces: FaceJudge | None = None


def tuning_figures(
    model: AttackedModel, judges: Judges, subject: SubjectFolder, files: list[Path], countermeasure: str, attack: str,
    settings: TuningSettings, tick: Progress,
) -> dict[str, float]:
    """Tune on `files`, then see what was learned of the subject's held-out photographs.

    learned: share of the loss on them that tuning took away. similarity: of generated pictures to them. brisque: how
    unnatural the generated pictures look.
    """
    published = COUNTERMEASURES[countermeasure](model, read(files, model.side))
    unseen = read(subject.held_out, model.side)
    tuned = TUNING_ATTACKS[attack](model, Subject(published, subject.noun), settings, tick)
    prompt = Subject(published, subject.noun).prompt(tuned.placeholder)
    before = denoising_loss(model, unseen, Subject(published, subject.noun).prompt(model.placeholder))
    figures = {"learned": learned(before, denoising_loss(tuned, unseen, prompt))}
    generated = sample(tuned, [prompt] * SAMPLES, 500 + settings.seed, SAMPLE_STEPS, GUIDANCE)
    pictures = to_pil(generated)
    figures["brisque"] = judges.quality.mean(pictures)
    if judges.clothing is not None:
        figures["similarity"] = float(judges.clothing.similarity(generated, unseen).mean())
        if judges.clothing.knows([subject.noun]):
            figures["class"] = float(judges.clothing.says(generated, [subject.noun] * SAMPLES).mean())
    if judges.faces is not None:
        found = judges.faces.figures(pictures, to_pil(unseen))
        figures |= {"face_failure": found.failure, "identity": found.identity}
    return figures


def edited(model: AttackedModel, photos: Sequence[EditFolder], images: Tensor, attack: str, settings: EditSettings,
           contrast: bool = False) -> Tensor:
    """The edits of the pictures, towards the target prompts or towards their contrasts."""
    wanted = [photo.contrast if contrast else photo.target for photo in photos]
    return EDIT_ATTACKS[attack](model, EditTask(images, [photo.source for photo in photos], wanted), settings)


def redness(images: Tensor) -> Tensor:
    """Red against blue in the middle of each picture."""
    quarter = images.shape[-1] // 4
    middle = images[:, :, quarter:-quarter, quarter:-quarter].mean((2, 3))
    return middle[:, 0] - middle[:, 2]


def followed(photos: Sequence[EditFolder], edits: Tensor, contrasts: Tensor) -> Tensor:
    """1 where the edit to red is redder than the edit to blue of the same file and noise, else 0."""
    signs = torch.tensor([1.0 if "red" in photo.target.split() else -1.0 for photo in photos])
    return (signs * (redness(edits) - redness(contrasts)) > 0).float()


def edit_figures(photos: Sequence[EditFolder], judges: Judges, of_images: Tensor, of_clean: Tensor,
                 contrasts: Tensor | None) -> list[dict[str, float]]:
    """Each photograph's figures: the edit of the published file against the edit of the clean photograph."""
    columns: dict[str, Tensor] = {"edit_ssim": ssim(of_images, of_clean), "edit_psnr": psnr(of_images, of_clean)}
    if contrasts is not None:
        columns["followed"] = followed(photos, of_images, contrasts)
    if judges.clothing is not None:
        columns["edit_similarity"] = (judges.clothing.embed(of_images) * judges.clothing.embed(of_clean)).sum(1)
        nouns = [photo.target.split()[-1] for photo in photos]
        if judges.clothing.knows(nouns):
            columns["edit_class"] = judges.clothing.says(of_images, nouns)
    return [{name: float(column[i]) for name, column in columns.items()} for i in range(len(photos))]


def visibility(original: Path, published: Path) -> dict[str, float]:
    """How far the published file is from the original: levels, PSNR (dB), SSIM."""
    side = min(opened(original).size)
    a, b = read([original], side), read([published], side)
    return {"levels": float(max_levels(original, published)), "psnr": float(psnr(a, b)), "ssim": float(ssim(a, b))}
