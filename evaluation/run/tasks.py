"""The pieces of work of a run: one attack under one method, countermeasure and seed. They go to other processes."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..attacks.editing import EditSettings
from ..attacks.tuning import TuningSettings
from ..countermeasures import COUNTERMEASURES
from ..metrics.images import read
from .datasets import EditFolder, SubjectFolder
from .ground import Ground, Setup, fingerprint, load_ground
from .measure import TUNING_FIGURES, edit_figures, edited, tuning_figures
from .rows import Row
from .terminal import Bar


@dataclass(frozen=True)
class TuningTask:
    """Tuning on one subject's published files."""

    row: Row
    subject: SubjectFolder
    files: tuple[Path, ...]
    settings: TuningSettings

    def rows(self) -> list[Row]:
        return [self.row]

    def inputs(self, ground: Ground) -> str:
        return fingerprint([*self.files, *self.subject.held_out], self.settings, self.subject.noun, TUNING_FIGURES,
                           ground.made_with[self.row.target])

    def measure(self, ground: Ground) -> Iterator[dict[str, float]]:
        with Bar(self.row.label, self.settings.steps, lines=True) as bar:
            yield tuning_figures(ground.models[self.row.target], ground.judges, self.subject, list(self.files),
                                 self.row.countermeasure, self.row.attack, self.settings, bar.step)


@dataclass(frozen=True)
class EditingTask:
    """Edits of all photographs at once; a row for each."""

    row: Row  # its item is each photograph's name in turn
    photos: tuple[EditFolder, ...]
    files: tuple[Path, ...]
    settings: EditSettings
    with_contrast: bool  # also edited towards the contrasting prompts, to see whether edits follow theirs

    @property
    def originals(self) -> list[Path]:
        return [photo.photo for photo in self.photos]

    def rows(self) -> list[Row]:
        return [replace(self.row, item=photo.name) for photo in self.photos]

    def inputs(self, ground: Ground) -> str:
        prompts = [(photo.source, photo.target, photo.contrast) for photo in self.photos]
        return fingerprint([*self.files, *self.originals], self.settings, prompts, self.with_contrast,
                           ground.made_with[self.row.target])

    def measure(self, ground: Ground) -> Iterator[dict[str, float]]:
        row, model = self.row, ground.models[self.row.target]
        of_clean = self._edit_of_clean(ground)
        images = COUNTERMEASURES[row.countermeasure](model, read(list(self.files), model.side))
        of_images = edited(model, self.photos, images, row.attack, self.settings)
        contrasts = None
        if self.with_contrast:
            contrasts = edited(model, self.photos, images, row.attack, self.settings, contrast=True)
        yield from edit_figures(self.photos, ground.judges, of_images, of_clean, contrasts)

    def _edit_of_clean(self, ground: Ground) -> torch.Tensor:
        """The edit of the clean photographs, made once for all methods and kept as a file."""
        row, model = self.row, ground.models[self.row.target]
        prompts = [(photo.source, photo.target) for photo in self.photos]
        key = fingerprint(self.originals, row.attack, row.target, row.countermeasure, self.settings, prompts,
                          ground.made_with[row.target])[:24]

        def make() -> torch.Tensor:
            reference = COUNTERMEASURES[row.countermeasure](model, read(self.originals, model.side))
            return edited(model, self.photos, reference, row.attack, self.settings)

        return ground.store.tensor(key, make)


Task = TuningTask | EditingTask


@dataclass(frozen=True)
class Outcome:
    rows: list[Row]
    kept: bool  # from an earlier run


def run_task(setup: Setup, task: Task) -> Outcome:
    """The task's rows, as they were measured before or measured now. What the processes of a run do."""
    ground = load_ground(setup)
    inputs, wanted = task.inputs(ground), task.rows()
    kept = [ground.store.find(row, inputs) for row in wanted]
    if all(row is not None for row in kept):
        return Outcome(kept, True)
    with setup.arithmetic():
        measured = list(task.measure(ground))
    return Outcome([ground.store.keep(row, inputs, values) for row, values in zip(wanted, measured, strict=True)], False)
