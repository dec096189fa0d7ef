"""Which attacks a suite asks for, and that they run in other processes and are kept."""

import pytest

pytest.importorskip("peft", reason="evaluation/requirements.txt is not installed")

import math
from collections import Counter
from dataclasses import replace
from pathlib import Path

from PIL import Image

from evaluation.attacks.editing import EditSettings
from evaluation.attacks.tuning import TuningSettings
from evaluation.run.datasets import EditFolder, SubjectFolder
from evaluation.run.ground import Setup, load_ground
from evaluation.run.protection import Protected
from evaluation.run.runner import Inputs, Runner, columns
from evaluation.run.sheets import edit_sheets, tuning_sheet
from evaluation.run.suite import Suite, Variant
from evaluation.run.tasks import run_task

ROOT = Path(__file__).resolve().parents[3]
SUITE = Suite(
    subjects=2, photos=3, flags=("--effort", "draft"), seeds=(0, 1), tuning_attacks=("lora", "textual-inversion"),
    edit_attacks=("sdedit", "inpainting"), methods=("none", "paper"), tuning=TuningSettings(steps=1, batch=1, rank=2),
    editing=EditSettings(steps=2), countermeasures=("blur", "crop"), counter_methods=("none",),
    seed_methods=("none",), further_methods=("paper",),
    variants=(Variant("paper", "plain", further=True), Variant("paper", "hardy", countermeasures=("blur",))),
)


class Unprotected:
    """In the place of the service: every file as it is."""

    def protect(self, photo: Path, method: str, flags: list[str]) -> Protected:
        return Protected(photo, 0.5, 7)


@pytest.fixture
def runner(tmp_path):
    def photo(name: str) -> Path:
        path = tmp_path / f"{name}.png"
        Image.effect_noise((64, 64), 40).convert("RGB").save(path)
        return path

    subjects = [SubjectFolder(n, "dress", [photo(f"{n}1"), photo(f"{n}2")], [photo(f"{n}3")]) for n in ("a", "b")]
    edits = [EditFolder(n, photo(n), "a dress", "a red dress", "a blue dress") for n in ("x", "y", "z")]
    setup = Setup((ROOT / "models" / "clothing",), tmp_path / "work", threads=1)
    runner = Runner(Inputs(SUITE, subjects, edits), Unprotected(), setup, 2)
    runner.protect()
    return runner


def test_the_first_attacks_have_seeds_variants_and_countermeasures(runner):
    cells = Counter((task.row.attack, task.row.method, task.row.variant, task.row.countermeasure, task.row.seed)
                    for task in runner.tasks())
    first = [("none", "", "none", 0), ("none", "", "none", 1), ("none", "", "blur", 0), ("none", "", "crop", 0),
             ("paper", "", "none", 0), ("paper", "plain", "none", 0), ("paper", "hardy", "none", 0),
             ("paper", "hardy", "blur", 0)]
    further = [("paper", "", "none", 0), ("paper", "plain", "none", 0)]
    wanted = {("lora", *cell): 2 for cell in first} | {("textual-inversion", *cell): 2 for cell in further}
    wanted |= {("sdedit", *cell): 1 for cell in first} | {("inpainting", *cell): 1 for cell in further}
    assert cells == wanted


def test_a_further_model_meets_the_first_attacks_alone(runner, tmp_path):
    runner.setup = Setup((*runner.setup.models, tmp_path / "other"), tmp_path / "work")
    other = Counter((task.row.attack, task.row.method, task.row.variant) for task in runner.tasks()
                    if task.row.target == "other")
    assert other == {("lora", "paper", ""): 2, ("lora", "paper", "plain"): 2,
                     ("sdedit", "paper", ""): 1, ("sdedit", "paper", "plain"): 1}


def test_costs_are_told_of_every_photograph(runner):
    rows = list(runner.costs())
    assert len(rows) == len(columns(SUITE)) * 7
    assert all(row.values["passes"] == 7 and row.values["levels"] == 0 for row in rows)


def test_attacks_run_in_half_precision_and_at_another_size(runner):
    setup = replace(runner.setup, precision="bf16", size=96)
    tasks = [task for task in runner.tasks() if task.row.seed == 0 and task.row.countermeasure == "none"
             and (task.row.method == "none" or task.row.attack in ("textual-inversion", "inpainting"))]
    assert {task.row.attack for task in tasks} == {"lora", "textual-inversion", "sdedit", "inpainting"}
    outcomes = [run_task(setup, task) for task in tasks]
    assert all(math.isfinite(value) for outcome in outcomes for row in outcome.rows for value in row.values.values())
    assert load_ground(setup).models["clothing"].side == 96
    assert not run_task(replace(setup, precision="fp32"), tasks[0]).kept, "another precision, another row"
    with pytest.raises(ValueError, match="multiple of 32"):
        load_ground(replace(setup, size=72))


def test_tasks_run_in_processes_and_are_kept(runner):
    tasks = [task for task in runner.tasks() if task.row.seed == 0 and task.row.countermeasure == "none"
             and task.row.attack in ("lora", "sdedit") and not task.row.variant]
    rows = runner.attack(tasks)
    assert [row.item for row in rows] == ["a", "b", "a", "b", "x", "y", "z", "x", "y", "z"]
    assert all("learned" in row.values for row in rows[:4])
    assert all(row.values["edit_ssim"] == pytest.approx(1) for row in rows[4:]), "the same file, the same edit"
    assert all("followed" in row.values for row in rows[4:])
    assert runner.kept == 0
    assert runner.attack(tasks) == rows and runner.kept == len(rows)


def test_sheets_show_what_attacks_make(runner):
    ground = load_ground(runner.setup)
    model = ground.models["clothing"]
    (picture,) = tuning_sheet(runner, ground, model).values()
    assert picture.size == (96 * (1 + 1 + 2 * 3), 18 + 96 * 2), "names, one photograph, three pictures of each method"
    kept = sorted(ground.store.folder.glob("*.pt"))
    assert len(kept) == 2, "two subjects, whose unprotected and protected files are the same here"
    assert tuning_sheet(runner, ground, model).keys() == {"pictures-lora"}
    assert sorted(ground.store.folder.glob("*.pt")) == kept
    sheets = edit_sheets(runner, model)
    assert {name: sheet.size for name, sheet in sheets.items()} == {
        f"edits-{attack}": (96 * 4, 18 + 96 * 3) for attack in SUITE.edit_attacks}
