"""Runs a suite: protect everything, attack everything, keep every row."""

import multiprocessing
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from .datasets import EditFolder, SubjectFolder
from .ground import Setup
from .measure import visibility
from .protection import Protected, Protection
from .rows import Row
from .suite import Suite, Variant
from .tasks import EditingTask, Task, TuningTask, run_task
from .terminal import Bar


def columns(suite: Suite) -> list[Variant]:
    """The methods as the suite runs them, then the variants."""
    return [Variant(method, "", ()) for method in suite.methods] + list(suite.variants)


def as_done(pool: Executor, call: Callable, listed: list[tuple]) -> Iterator[tuple[tuple, Any]]:
    """The arguments and the result of each call, as they are done; after an error no more are begun."""
    waiting = {pool.submit(call, *arguments): arguments for arguments in listed}
    try:
        for done in as_completed(waiting):
            yield waiting[done], done.result()
    finally:
        for future in waiting:
            future.cancel()


@dataclass(frozen=True)
class Inputs:
    """What a run protects and attacks."""

    suite: Suite
    subjects: list[SubjectFolder]
    photos: list[EditFolder]

    def all_photos(self) -> list[Path]:
        published = [path for subject in self.subjects for path in subject.published]
        return published + [photo.photo for photo in self.photos]


class Runner:
    """Protects and attacks, in several processes. Rows come from the store where they were measured before."""

    def __init__(self, inputs: Inputs, protection: Protection, setup: Setup, jobs: int) -> None:
        self.inputs, self.protection, self.setup, self.jobs = inputs, protection, setup, jobs
        self.rows: list[Row] = []
        self.kept = 0  # of those of attacks, measured by earlier runs
        self.protected: dict[tuple[str, str], dict[Path, Protected]] = {}

    def run(self) -> list[Row]:
        """All rows of the suite, in its order."""
        self.protect()
        self.rows = [*self.costs(), *self.attack(list(self.tasks()))]
        return self.rows

    def protect(self) -> None:
        """Every photograph by every method and variant."""
        photos = self.inputs.all_photos()
        listed = [(variant, photo) for variant in columns(self.inputs.suite) for photo in photos]

        def one(variant: Variant, photo: Path) -> Protected:
            return self.protection.protect(photo, variant.method, list(variant.flags or self.inputs.suite.flags))

        with Bar("protect", len(listed)) as bar, ThreadPoolExecutor(self.jobs) as pool:
            for (variant, photo), result in as_done(pool, one, listed):
                self.protected.setdefault((variant.method, variant.name), {})[photo] = result
                bar.step(f"{variant.method} {variant.name}")

    def costs(self) -> Iterator[Row]:
        """What each protection cost, and how much of it is to be seen."""
        for variant in columns(self.inputs.suite):
            for photo in self.inputs.all_photos():
                result = self.protected[variant.method, variant.name][photo]
                figures = visibility(photo, result.path) | {"seconds": result.seconds, "passes": result.unet_passes}
                yield Row("cost", "", variant.method, variant.name, "none", "", f"{photo.parent.name}/{photo.stem}", 0,
                          figures)

    def attack(self, tasks: list[Task]) -> list[Row]:
        """The rows of the tasks, in their order."""
        context = multiprocessing.get_context("spawn")  # a fork of a process with OpenMP threads hangs
        with Bar("attack", len(tasks)) as bar, ProcessPoolExecutor(self.jobs, mp_context=context) as pool:
            found: dict[str, list[Row]] = {}
            for (_, task), outcome in as_done(pool, run_task, [(self.setup, task) for task in tasks]):
                found[task.row.name] = outcome.rows
                self.kept += len(outcome.rows) if outcome.kept else 0
                bar.step(task.row.label)
        return [row for task in tasks for row in found[task.row.name]]

    def tasks(self) -> Iterator[Task]:
        """Every attack of the suite: attack by attack, so that a run that is cut off has compared all methods under some."""
        suite, (surrogate, *others) = self.inputs.suite, self.setup.targets
        for index, attack in enumerate(suite.tuning_attacks):
            for cell in self.cells("tuning", attack, surrogate, whole=index == 0):
                yield from self.tuning(cell)
        for index, attack in enumerate(suite.edit_attacks):
            for cell in self.cells("editing", attack, surrogate, whole=index == 0):
                yield self.editing(cell, with_contrast=index == 0)
        for target in others:
            for cell in self.cells("tuning", suite.tuning_attacks[0], target, whole=False):
                yield from self.tuning(cell)
            for cell in self.cells("editing", suite.edit_attacks[0], target, whole=False):
                yield self.editing(cell, with_contrast=True)

    def cells(self, kind: str, attack: str, target: str, whole: bool) -> Iterator[Row]:
        """Rows without an item: what meets one attack, the `whole` of it or the further methods alone."""
        suite = self.inputs.suite
        if not whole:
            further = [variant for variant in columns(suite)
                       if (variant.further if variant.name else variant.method in suite.further_methods)]
            yield from (Row(kind, attack, variant.method, variant.name, "none", target, "", suite.seeds[0])
                        for variant in further)
            return
        for variant in columns(suite):
            cell = Row(kind, attack, variant.method, variant.name, "none", target, "", suite.seeds[0])
            yield cell
            if variant.method in suite.seed_methods and not variant.name:
                yield from (replace(cell, seed=seed) for seed in suite.seeds[1:])
            yield from (replace(cell, countermeasure=counter) for counter in self.counters(variant))

    def counters(self, variant: Variant) -> tuple[str, ...]:
        """Countermeasures that this method or variant meets under the first attack."""
        suite = self.inputs.suite
        if variant.name:
            return variant.countermeasures
        return suite.countermeasures if variant.method in suite.counter_methods else ()

    def tuning(self, cell: Row) -> Iterator[TuningTask]:
        """One task a subject."""
        own, settings = self.protected[cell.method, cell.variant], replace(self.inputs.suite.tuning, seed=cell.seed)
        for subject in self.inputs.subjects:
            files = tuple(own[photo].path for photo in subject.published)
            yield TuningTask(replace(cell, item=subject.name), subject, files, settings)

    def editing(self, cell: Row, with_contrast: bool) -> EditingTask:
        """One task for all photographs."""
        own, photos = self.protected[cell.method, cell.variant], tuple(self.inputs.photos)
        files = tuple(own[photo.photo].path for photo in photos)
        settings = replace(self.inputs.suite.editing, seed=100 * cell.seed)
        return EditingTask(cell, photos, files, settings, with_contrast and all(photo.contrast for photo in photos))
