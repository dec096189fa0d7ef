"""Datasets, rows and tables: what a run is made of, without a server."""

import json

import pytest

pytest.importorskip("peft", reason="evaluation/requirements.txt is not installed")

from PIL import Image

from evaluation.run import datasets
from evaluation.run.measure import TUNING_FIGURES
from evaluation.run.report import sections
from evaluation.run.rows import Row, RowStore, write_csv
from evaluation.run.tables import attack_table, cell, select, survival_table


def photo(path, colour="red"):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", (70, 64), colour).save(path)


def test_subjects_need_held_out_photographs(tmp_path):
    photo(tmp_path / "anna" / "1.jpg")
    with pytest.raises(ValueError, match="held_out"):
        datasets.subjects(tmp_path)
    photo(tmp_path / "anna" / "held_out" / "2.png")
    (subject,) = datasets.subjects(tmp_path)
    assert (subject.name, subject.noun) == ("anna", "person")
    assert [p.name for p in subject.published] == ["1.jpg"]
    assert [p.name for p in subject.held_out] == ["2.png"]


def test_defense_edit_layout_is_read(tmp_path):
    photo(tmp_path / "cat" / "photo.jpg")
    with pytest.raises(ValueError, match="prompt"):
        datasets.edits(tmp_path)
    (tmp_path / "cat" / "prompt.txt").write_text("a cat in the snow\n")
    (edit,) = datasets.edits(tmp_path)
    assert (edit.name, edit.source, edit.target) == ("cat", "", "a cat in the snow")


def test_clothing_is_made_the_same_every_time(tmp_path):
    for name in datasets.CLASSES:
        for i in range(12):
            photo(tmp_path / "data" / "test" / name / f"{i}.jpg", (20 * i, 40, 200))
    for run in ("a", "b"):
        datasets.write_clothing(tmp_path / "data", tmp_path / run, 64, 2, 3)
    files = sorted(p.relative_to(tmp_path / "a") for p in (tmp_path / "a").rglob("*") if p.is_file())
    assert len(files) == 2 * (8 + 1) + 3 * 4
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)
    assert len(datasets.subjects(tmp_path / "a" / "subjects")) == 2
    assert len(datasets.edits(tmp_path / "a" / "edits")) == 3


def row(method, item, value, counter="none", seed=0):
    return Row("tuning", "lora", method, "", counter, "m", item, seed, {"learned": value})


def test_a_row_is_measured_once_for_its_inputs(tmp_path):
    store, calls = RowStore(tmp_path), []

    def measure():
        calls.append(1)
        return {"learned": 0.5}

    wanted = row("paper", "a", 0.0)
    first = store.get_or_measure(wanted, "inputs", measure)
    assert store.get_or_measure(wanted, "inputs", measure) == first
    assert len(calls) == 1 and first.values == {"learned": 0.5}
    store.get_or_measure(wanted, "others", measure)
    assert len(calls) == 2


def test_csv_has_a_line_a_row(tmp_path):
    write_csv([row("none", "a", 0.25), row("paper", "a", 0.125)], tmp_path / "rows.csv")
    lines = (tmp_path / "rows.csv").read_text().splitlines()
    assert lines[0].endswith("seed,learned") and lines[1].endswith("0,0.25") and len(lines) == 3


def test_an_unprotected_file_scores_as_unprotected():
    items = "abcdef"
    rows = [row(method, item, 0.4 + 0.04 * i - less) for method, less in (("none", 0), ("copy", 0), ("paper", 0.3))
            for i, item in enumerate(items)]
    base = select(rows, method="none")
    assert cell(base, "learned", base) == "0.500"
    assert cell(select(rows, method="copy"), "learned", base) == "0.500 (+0.000 [+0.000, +0.000])"
    assert cell(select(rows, method="paper"), "learned", base) == "0.200 (**-0.300** [-0.300, -0.300])"
    assert "| paper | 0.200" in attack_table(rows, "tuning", "learned", "m")
    few = [found for found in rows if found.item in "ab"]
    assert "**" not in cell(select(few, method="paper"), "learned", select(few, method="none"))


def test_a_figure_that_no_item_has_in_both_is_given_alone():
    rows = [row("none", "a", 0.5), row("none", "b", float("nan")), row("paper", "a", float("nan")), row("paper", "b", 0.25)]
    assert cell(select(rows, method="paper"), "learned", select(rows, method="none")) == "0.250"


def test_every_figure_of_tuning_has_a_table():
    values = {name: 0.25 + i for i, name in enumerate(TUNING_FIGURES)}
    rows = [Row("tuning", "lora", "none", "", "none", "m", "a", 0, values)]
    text = sections(rows, "head")
    assert all(f"| {name} | lora |" in text and f"| none | {value:.3f} |" in text for name, value in values.items())


def test_what_a_countermeasure_leaves():
    rows = []
    for counter, protected in (("none", 0.1), ("jpeg-75", 0.25)):
        rows += [row("none", "a", 0.5, counter), row("paper", "a", protected, counter)]
    table = survival_table(rows, "tuning", "m")
    assert "| none | +0.400 [+0.400, +0.400] |" in table
    assert "62 % left" in table


def test_seeds_are_averaged_before_items_are_paired():
    rows = [row("none", "a", 0.2, seed=0), row("none", "a", 0.4, seed=1)]
    assert cell(rows, "learned", rows) == "0.300"
    assert json.dumps(rows[0].values)
