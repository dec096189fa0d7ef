"""python -m evaluation.run: protect, attack, measure, report. See evaluation/README.md."""

import argparse
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import psutil
import torch

from ..metrics import judge
from . import datasets, report
from .ground import Ground, Setup, load_ground
from .protection import Protection
from .runner import Inputs, Runner
from .sheets import edit_sheets, tuning_sheet
from .suite import SUITES, Suite, reduced
from .terminal import duration

BYTES_OF_A_PROCESS = 2_000_000_000  # without weights
MEMORY_OF_WEIGHTS = 6  # a tuning process holds them, a tuned copy, gradients, two moments, and works


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m evaluation.run", description=__doc__.split(":")[1])
    parser.add_argument("--suite", choices=SUITES, default="quick")
    parser.add_argument("--work", type=Path, required=True, help="caches and rows; a later run goes on from them")
    parser.add_argument("--output", type=Path, help="where the report goes (default: WORK/report-SUITE)")
    parser.add_argument("--server", default="127.0.0.1:8001", help="the running service")
    parser.add_argument("--client", type=Path, default=Path("build/bin/antidiffusion"))
    parser.add_argument("--model", type=Path, default=Path("models/clothing"), help="the attacker's diffusers folder")
    parser.add_argument("--transfer", type=Path, nargs="*", default=[], help="further attackers' folders")
    parser.add_argument("--service-model", default="", help="the model that protects (default: the server's)")
    parser.add_argument("--data", type=Path, help="clothing photographs (SPLIT/CLASS/NAME.jpg): subjects and judge")
    parser.add_argument("--subjects", type=Path, help="folder of subjects of your own")
    parser.add_argument("--edits", type=Path, help="folder of photographs with prompts (Defense-Edit's layout)")
    parser.add_argument("--faces", action="store_true", help="the subjects are people: judge their faces")
    parser.add_argument("--device", default="cpu", help="of the attacks: cpu, cuda, cuda:1, ...")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32", help="of the attacks' arithmetic")
    parser.add_argument("--size", type=int, default=0, help="side of the pictures in pixels; 0: the model's native one")
    parser.add_argument("--jobs", type=int, default=0,
                        help="processes that attack, clients that protect; 0: on the CPU one a core, where the memory "
                        "holds them, else one")
    parser.add_argument("--threads", type=int, default=0, help="of each process; 0: the cores shared out")
    parser.add_argument("--protect-flag", action="append", default=[], help="passed on to `antidiffusion protect`")
    parser.add_argument("--reduce", type=int, nargs=3, metavar=("SUBJECTS", "PHOTOS", "STEPS"),
                        help="a smaller suite of the same shape")
    options = parser.parse_args()
    if not options.data and not (options.subjects and options.edits):
        parser.error("needs --data, or --subjects and --edits")
    names = [path.name for path in [options.model, *options.transfer]]
    if len(set(names)) < len(names):
        parser.error("two of the attackers' models have one name")
    return options


def jobs_of(options: argparse.Namespace) -> int:
    """As many processes as were asked for, or as cores and memory allow."""
    if options.jobs or options.device != "cpu":
        return max(1, options.jobs)
    weights = sum(file.stat().st_size for model in [options.model, *options.transfer]
                  for file in model.rglob("*.safetensors"))
    free = psutil.virtual_memory().available
    return max(1, min(os.cpu_count() or 1, free // (BYTES_OF_A_PROCESS + MEMORY_OF_WEIGHTS * weights)))


def setup_of(options: argparse.Namespace, jobs: int) -> Setup:
    threads = options.threads or max(1, (os.cpu_count() or 1) // jobs)
    return Setup((options.model, *options.transfer), options.work, options.data, options.faces, options.device,
                 options.precision, options.size, threads)


def items(options: argparse.Namespace, suite: Suite, side: int) -> Inputs:
    """Subjects and photographs: one's own, or made from the clothing data."""
    made = options.work / f"clothing-{side}-{suite.subjects}-{suite.photos}"
    if options.data and not made.exists() and not (options.subjects and options.edits):
        part = made.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        datasets.write_clothing(options.data, part, side, suite.subjects, suite.photos)
        part.rename(made)
    subjects = datasets.subjects(options.subjects or made / "subjects")[: suite.subjects]
    photos = datasets.edits(options.edits or made / "edits")[: suite.photos]
    if not subjects or not photos:
        raise SystemExit("no subjects, or no photographs to edit")
    return Inputs(replace(suite, subjects=len(subjects), photos=len(photos)), subjects, photos)


def head_of(options: argparse.Namespace, runner: Runner, ground: Ground, took: str) -> str:
    inputs, suite = runner.inputs, runner.inputs.suite
    judged = f" The judge's own accuracy on the test split: {judge.accuracy(options.work):.3f}." if options.data else ""
    return (
        f"# Evaluation, suite {options.suite}\n\n"
        f"{len(inputs.subjects)} subjects, {len(inputs.photos)} photographs to edit, seeds {list(suite.seeds)} (further "
        f"attacks and countermeasures: the first), flags `{' '.join(suite.flags)}`, {suite.tuning.steps} tuning steps; surrogate "
        f"digest {runner.protection.digest[:12]}; attackers' models: {', '.join(ground.models)}.{judged} {took}\n\n"
        "In brackets: paired difference to the unprotected photographs, with its 95 % bootstrap interval over items; bold "
        "where the interval excludes zero. learned: share of the denoising loss on the subject's held-out photographs "
        "that tuning took away (lower: better protected). similarity: of generated pictures to those photographs. "
        "brisque: how unnatural they look (higher: worse pictures, better protected; made for photographs of 500 pixels "
        "and more, so for comparing columns, not for its size). identity: cosine of face descriptors (strangers have "
        ".75 to .92). "
        "edit_ssim, edit_psnr, edit_similarity: the edit of the published file against the edit of the clean photograph "
        "(lower: the edit was disturbed more). followed: the edit to red is redder than the edit to blue. Seconds are "
        "those of the optimiser's steps alone.\n"
    )


def main() -> None:
    options = parse()
    started = time.monotonic()
    suite = SUITES[options.suite]
    if options.reduce:
        suite = reduced(suite, *options.reduce)
    options.work.mkdir(parents=True, exist_ok=True)
    jobs = jobs_of(options)
    setup = setup_of(options, jobs)
    ground = load_ground(setup)  # trains the judge before other processes look for it
    model = ground.models[options.model.name]
    protection = Protection(options.client, options.server, options.work / "protected", options.protect_flag,
                            options.service_model)
    runner = Runner(items(options, suite, model.side), protection, setup, jobs)
    runner.run()
    attacked = sum(row.kind != "cost" for row in runner.rows)
    kept = f", {runner.kept} of {attacked} rows of attacks kept from earlier runs" if runner.kept else ""
    took = f"This run: {duration(time.monotonic() - started)} with {jobs} processes{kept}."
    torch.set_num_threads(setup.threads * jobs)  # the other processes are gone
    with setup.arithmetic():
        sheets = tuning_sheet(runner, ground, model) | edit_sheets(runner, model)
    output = options.output or options.work / f"report-{options.suite}"
    report.write(runner, model.side, output, head_of(options, runner, ground, took), sheets)
    print(f"report: {output / 'report.html'}")


if __name__ == "__main__":
    main()
