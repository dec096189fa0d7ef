"""Runs a suite: protect everything, attack everything, keep every row."""

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from ..attacks.editing import EditSettings
from ..attacks.model import AttackedModel
from ..countermeasures import COUNTERMEASURES
from ..metrics.images import read
from ..train.runtime import save_checkpoint
from .datasets import EditFolder, SubjectFolder
from .measure import TUNING_FIGURES, Judges, edit_figures, edited, tuning_figures, visibility
from .protection import Protected, Protection
from .rows import Row, RowStore
from .suite import Suite, Variant
from .terminal import Bar


@dataclass(frozen=True)
class Ground:
    """What every measurement of a run shares."""

    suite: Suite
    subjects: list[SubjectFolder]
    photos: list[EditFolder]
    protection: Protection
    models: dict[str, AttackedModel]  # the attackers', by name; the surrogate's is first
    made_with: dict[str, str]  # of each model: what else its rows came from (weights, judges)
    judges: Judges
    store: RowStore


def columns(suite: Suite) -> list[Variant]:
    """The methods as the suite runs them, then the variants."""
    return [Variant(method, "", ()) for method in suite.methods] + list(suite.variants)


def fingerprint(files: list[Path], *more: object) -> str:
    """Of the files' contents and the settings that a row came from."""
    digest = hashlib.sha256()
    for file in files:
        digest.update(hashlib.sha256(file.read_bytes()).digest())
    digest.update(repr(more).encode())
    return digest.hexdigest()


class Runner:
    """Protects and attacks. Rows come from the store where they were measured before."""

    def __init__(self, ground: Ground) -> None:
        self.ground = ground
        self.rows: list[Row] = []
        self.protected: dict[tuple[str, str], dict[Path, Protected]] = {}

    def run(self) -> list[Row]:
        """All rows of the suite, in its order."""
        self.protect()
        for variant in columns(self.ground.suite):
            for target in self.ground.models:
                self.tuning(variant, target)
                self.editing(variant, target)
        return self.rows

    def all_photos(self) -> list[Path]:
        published = [path for subject in self.ground.subjects for path in subject.published]
        return published + [photo.photo for photo in self.ground.photos]

    def protect(self) -> None:
        """Every photograph by every method; its cost and how much is to be seen."""
        photos = self.all_photos()
        listed = columns(self.ground.suite)
        with Bar("protect", len(photos) * len(listed)) as bar:
            for variant in listed:
                own = self.protected[variant.method, variant.name] = {}
                flags = ["--effort", self.ground.suite.effort] if not variant.flags else list(variant.flags)
                for photo in photos:
                    own[photo] = self.ground.protection.protect(photo, variant.method, flags)
                    bar.step(f"{variant.method} {variant.name}")
                    self.cost(variant, photo, own[photo])

    def cost(self, variant: Variant, photo: Path, result: Protected) -> None:
        row = Row("cost", "", variant.method, variant.name, "none", "", f"{photo.parent.name}/{photo.stem}", 0)
        self.rows.append(self.ground.store.get_or_measure(
            row, fingerprint([photo, result.path]),
            lambda: {**visibility(photo, result.path), "seconds": result.seconds}))

    def counters(self, variant: Variant, first: bool) -> Iterator[str]:
        """Countermeasures that this method meets under this attack."""
        yield "none"
        suite = self.ground.suite
        if first and variant.method in suite.counter_methods and not variant.name:
            yield from suite.countermeasures

    def tuning(self, variant: Variant, target: str) -> None:
        suite, model = self.ground.suite, self.ground.models[target]
        attacks = suite.tuning_attacks if not variant.name else suite.tuning_attacks[:1]
        own = self.protected[variant.method, variant.name]
        for attack in attacks:
            for counter in self.counters(variant, attack == suite.tuning_attacks[0]):
                for subject in self.ground.subjects:
                    files = [own[photo].path for photo in subject.published]
                    for seed in suite.seeds:
                        settings = replace(suite.tuning, seed=seed)
                        row = Row("tuning", attack, variant.method, variant.name, counter, target, subject.name, seed)
                        with Bar(f"{attack} {variant.method} {variant.name} {counter} {subject.name}",
                                 settings.steps) as bar:
                            measured = self.ground.store.get_or_measure(
                                row, fingerprint(files + subject.held_out, settings, subject.noun, TUNING_FIGURES,
                                                 self.ground.made_with[target]),
                                lambda: tuning_figures(model, self.ground.judges, subject, files, counter, attack,
                                                       settings, bar.step))
                        self.rows.append(measured)

    def editing(self, variant: Variant, target: str) -> None:
        suite, photos = self.ground.suite, self.ground.photos
        attacks = suite.edit_attacks if not variant.name else suite.edit_attacks[:1]
        own = self.protected[variant.method, variant.name]
        files = [own[photo.photo].path for photo in photos]
        for attack in attacks:
            for counter in self.counters(variant, attack == suite.edit_attacks[0]):
                for seed in suite.seeds:
                    settings = replace(suite.editing, seed=100 * seed)
                    self._edit_rows(Row("editing", attack, variant.method, variant.name, counter, target, "", seed),
                                    settings, files)

    def _edit_rows(self, row: Row, settings: EditSettings, files: list[Path]) -> None:
        """A row a photograph; the batch is edited once, and only when a row is missing."""
        model, photos = self.ground.models[row.target], self.ground.photos
        batch: list[dict[str, float]] = []

        def figures(index: int) -> dict[str, float]:
            if not batch:
                with Bar(f"{row.attack} {row.method} {row.variant} {row.countermeasure}", 2) as bar:
                    of_clean = self._edit_of_clean(row, settings)
                    bar.step("")
                    images = COUNTERMEASURES[row.countermeasure](model, read(files, model.side))
                    of_images = edited(model, photos, images, row.attack, settings)
                    bar.step("")
                    contrasts = None
                    if row.attack == self.ground.suite.edit_attacks[0] and all(photo.contrast for photo in photos):
                        contrasts = edited(model, photos, images, row.attack, settings, contrast=True)
                batch.extend(edit_figures(photos, self.ground.judges, of_images, of_clean, contrasts))
            return batch[index]

        originals = [photo.photo for photo in photos]
        for index, photo in enumerate(photos):
            inputs = fingerprint(files + originals, settings, photo.source, photo.target, photo.contrast,
                                 self.ground.made_with[row.target])
            self.rows.append(self.ground.store.get_or_measure(
                replace(row, item=photo.name), inputs, lambda index=index: figures(index)))

    def _edit_of_clean(self, row: Row, settings: EditSettings) -> torch.Tensor:
        """The edit of the clean photographs, made once for all methods and kept as a file."""
        originals = [photo.photo for photo in self.ground.photos]
        prompts = [(photo.source, photo.target) for photo in self.ground.photos]
        key = fingerprint(originals, row.attack, row.target, row.countermeasure, settings, prompts,
                          self.ground.made_with[row.target])[:24]
        path = self.ground.store.folder / f"{key}.pt"
        if path.exists():
            return torch.load(path)
        model = self.ground.models[row.target]
        reference = COUNTERMEASURES[row.countermeasure](model, read(originals, model.side))
        made = edited(model, self.ground.photos, reference, row.attack, settings)
        save_checkpoint(path, made)
        return made
