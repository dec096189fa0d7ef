"""Datasets, rows and tables: what a run is made of, without a server."""

import json
from dataclasses import replace

import pytest

pytest.importorskip("peft", reason="evaluation/requirements.txt is not installed")

import torch
from PIL import Image

from evaluation.run import datasets
from evaluation.run.measure import TUNING_FIGURES
from evaluation.run.report import draw_frontier, sections
from evaluation.run.rows import Row, RowStore, write_csv
from evaluation.run.suite import SHARES, SUITES, curve_of, schedule
from evaluation.run.tables import attack_table, cell, chance_table, select, survival_table, treated_table, variant_table


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


def test_findings_hold_the_passes():
    flags = {v.name: dict(zip(v.flags[::2], v.flags[1::2])) for v in SUITES["findings"].variants}
    assert dict(zip(schedule()[::2], schedule()[1::2]))["--step-size"] == "0.3984375"
    assert flags["4 draws"]["--step-size"] == "1.59375" and flags["step 2"]["--step-size"] == "2"
    for name in list(flags)[:15]:
        found = {"--pgd-draws": "1", "--method": "anti-diffusion", **flags[name]}
        epochs, method = int(found["--epochs"]), found["--method"]
        passes = int(found["--pgd-steps"]) * (epochs + 1) * int(found["--pgd-draws"])
        passes += 0 if method in ("advdm", "anti-diffusion-no-pt") else int(found["--prompt-steps"]) * epochs
        passes += 0 if method in ("advdm", "anti-diffusion-no-tuning") else int(found["--tuning-steps"]) * epochs
        assert passes == 60, name


def test_shares_of_the_published_schedule_go_as_far_in_levels():
    published = {"--prompt-steps": 30, "--pgd-steps": 10, "--tuning-steps": 20}
    for share, part in (("half", 2), ("quarter", 4)):
        flags = dict(zip(SHARES[share][::2], SHARES[share][1::2]))
        for name, steps in published.items():
            assert steps / part <= int(flags[name]) < steps / part + 1, (share, name)
        assert int(flags["--pgd-steps"]) * float(flags["--step-size"]) == pytest.approx(10 * 0.255, abs=1e-9)
    assert curve_of("mist half") == curve_of("mist") == "mist"
    assert curve_of("paper standard") == "paper standard" and curve_of("paper standard, 4 levels") == "paper standard, 4 levels"


def test_the_frontier_draws_shares_also_without_the_whole(tmp_path):
    of = [("none", "", 0.5), ("paper", "half", 0.3), ("paper", "quarter", 0.4), ("paper", "standard", 0.2)]
    rows = [replace(row(method, "a", value), variant=name) for method, name, value in of]
    rows += [Row("cost", "", method, name, "none", "", "x", 0, {"passes": 6.0, "seconds": 2.0}) for method, name, _ in of]
    rows += [replace(found, kind="editing", attack="sdedit", values={"edit_ssim": 0.5}) for found in rows if found.kind == "tuning"]
    draw_frontier(rows, tmp_path / "frontier.png")
    assert Image.open(tmp_path / "frontier.png").width > 1000


def test_variants_of_a_suite_have_a_name_each():
    for name, suite in SUITES.items():
        found = [(variant.method, variant.name) for variant in suite.variants]
        assert all(variant.name and variant.flags for variant in suite.variants), name
        assert len(set(found)) == len(found), name


def test_variants_that_met_more_than_the_first_attack_stand_among_the_methods():
    rows = [row(method, "a", value) for method, value in (("none", 0.5), ("paper", 0.3))]
    rows += [replace(row("paper", "a", 0.2), variant=name) for name in ("plain", "hardy")]
    rows += [replace(row(method, "a", value), attack="dreambooth", variant=name)
             for method, value, name in (("none", 0.9, ""), ("paper", 0.4, "plain"))]
    table = attack_table(rows, "tuning", "learned", "m")
    assert "| paper plain | 0.200 (-0.300" in table and "| 0.400 (-0.500" in table
    assert "hardy" not in table


def row(method, item, value, counter="none", seed=0):
    return Row("tuning", "lora", method, "", counter, "m", item, seed, {"learned": value})


def test_a_row_is_found_again_for_its_inputs_alone(tmp_path):
    store, wanted = RowStore(tmp_path), row("paper", "a", 0.0)
    assert store.find(wanted, "inputs") is None
    kept = store.keep(wanted, "inputs", {"learned": 0.5})
    assert kept.values == {"learned": 0.5} and store.find(wanted, "inputs") == kept
    assert store.find(wanted, "others") is None
    assert store.find(row("none", "a", 0.0), "inputs") is None
    assert [p.suffix for p in tmp_path.iterdir()] == [".json"]


def test_a_tensor_is_made_once(tmp_path):
    store, made = RowStore(tmp_path), []

    def make():
        made.append(1)
        return torch.arange(3)

    assert all(store.tensor("key", make).equal(torch.arange(3)) for _ in range(2))
    assert len(made) == 1


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
    assert "| paper | +0.400 [+0.400, +0.400] | +0.250 [+0.250, +0.250]; 62 % [62, 62] |" in table
    treated = treated_table(rows, "tuning", "m")
    assert "| none | 0.500 | 0.500 |" in treated and "| paper | 0.100 | 0.250 |" in treated
    elsewhere = [replace(found, target="other") for found in rows if found.countermeasure == "none"]
    assert survival_table(rows + elsewhere, "tuning", "other") == "", "no countermeasure was tried there"
    assert treated_table(rows + elsewhere, "tuning", "other") == ""


def test_what_is_left_of_nothing_is_not_said():
    rows = [row("none", "a", 0.5, counter) for counter in ("none", "blur")]
    rows += [row("paper", "a", value, counter) for counter, value in (("none", 0.5), ("blur", 0.4))]
    assert "%" not in survival_table(rows, "tuning", "m")


def test_what_countermeasures_leave_is_told_by_the_seeds_that_met_them():
    rows = [row(method, "a", value, counter) for counter in ("none", "blur")
            for method, value in (("none", 0.5), ("paper", 0.3))]
    rows += [row("none", "a", 0.9, seed=1), row("paper", "a", 0.1, seed=1)]
    assert "| paper | +0.200 [+0.200, +0.200] | +0.200 [+0.200, +0.200]; 100 % [100, 100] |" in survival_table(rows, "tuning", "m")


def test_variants_are_held_against_the_suites_own_method():
    costs = [Row("cost", "", "paper", name, "none", "", "x", 0, {"passes": 60.0}) for name in ("", "twice")]
    rows = costs + [row("none", "a", 0.5), row("paper", "a", 0.4), replace(row("paper", "a", 0.3), variant="twice")]
    table = variant_table(rows, "tuning", "m")
    assert "| paper | 60 | +0.100 [+0.100, +0.100] | +0.000 [+0.000, +0.000] |" in table
    assert "| paper twice | 60 | +0.200 [+0.200, +0.200] | +0.100 [+0.100, +0.100] |" in table
    alone = variant_table([found for found in rows if found.method != "paper" or found.variant], "tuning", "m")
    assert "against paper" not in alone and "| paper twice | 60 | +0.200 [+0.200, +0.200] |" in alone


def test_only_what_met_the_same_seeds_is_compared():
    rows = [row("none", "a", 0.5), row("none", "a", 0.9, seed=1), row("paper", "a", 0.3), row("paper", "a", 0.1, seed=1)]
    table = attack_table([*rows, row("mist", "a", 0.4)], "tuning", "learned", "m")
    assert "| none | 0.500 |" in table and "| paper | 0.300 (-0.200" in table
    assert "| none | 0.700 |" in attack_table(rows, "tuning", "learned", "m")


def test_chance_is_the_deviation_over_seeds():
    rows = [row("none", "a", 0.5, seed=seed) for seed in (0, 1, 2)]
    rows += [row("paper", "a", value, seed=seed) for seed, value in enumerate((0.4, 0.3, 0.2))]
    table = chance_table([*rows, row("mist", "a", 0.1)], "tuning", "m")
    assert table.splitlines()[-1] == "| paper | +0.1000 | +0.2000 | +0.3000 | 0.1000 |"
    assert chance_table(select(rows, seed=0), "tuning", "m") == ""


def test_seeds_are_averaged_before_items_are_paired():
    rows = [row("none", "a", 0.2, seed=0), row("none", "a", 0.4, seed=1)]
    assert cell(rows, "learned", rows) == "0.300"
    assert json.dumps(rows[0].values)
