"""python -m evaluation.run: protect, attack, measure, report. See evaluation/README.md."""

import argparse
import shutil
from dataclasses import replace
from pathlib import Path

import torch
from PIL import Image

from ..attacks.editing import EDIT_ATTACKS
from ..attacks.model import AttackedModel, load
from ..metrics import judge
from ..metrics.brisque import Brisque
from ..metrics.faces import FaceJudge
from ..metrics.images import read
from . import datasets, report
from .measure import Judges, edited
from .protection import Protection
from .rows import RowStore
from .runner import Ground, Runner, fingerprint
from .suite import SUITES, Suite, reduced


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
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=0, help="of the CPU; 0: torch's own choice")
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


def items(options: argparse.Namespace, suite: Suite, side: int) -> tuple[list, list]:
    """Subjects and photographs: one's own, or made from the clothing data."""
    made = options.work / f"clothing-{side}-{suite.subjects}-{suite.photos}"
    if options.data and not made.exists() and not (options.subjects and options.edits):
        part = made.with_suffix(".part")
        shutil.rmtree(part, ignore_errors=True)
        datasets.write_clothing(options.data, part, side, suite.subjects, suite.photos)
        part.rename(made)
    subjects = datasets.subjects(options.subjects or made / "subjects")
    photos = datasets.edits(options.edits or made / "edits")
    if not subjects or not photos:
        raise SystemExit("no subjects, or no photographs to edit")
    return subjects[: suite.subjects], photos[: suite.photos]


def edit_sheets(runner: Runner, model: AttackedModel) -> dict[str, Image.Image]:
    """What each edit makes of a few photographs under each method."""
    photos, suite = runner.ground.photos[:3], runner.ground.suite
    shown = [method for method in ("none", "noise", "advdm", "mist", "released", "paper") if method in suite.methods]
    sheets = {}
    for attack in suite.edit_attacks:
        if attack not in EDIT_ATTACKS:
            continue
        columns = [read([photo.photo for photo in photos], model.side)]
        for method in shown:
            files = [runner.protected[method, ""][photo.photo].path for photo in photos]
            columns.append(edited(model, photos, read(files, model.side), attack, suite.editing))
        lines = [[column[i] for column in columns] for i in range(len(photos))]
        sheets[f"edits-{attack}"] = report.sheet(lines, ["photograph", *shown], [photo.name for photo in photos])
    return sheets


def head_of(options: argparse.Namespace, suite: Suite, runner: Runner) -> str:
    ground = runner.ground
    judged = f" The judge's own accuracy on the test split: {judge.accuracy(options.work):.3f}." if options.data else ""
    return (
        f"# Evaluation, suite {options.suite}\n\n"
        f"{len(ground.subjects)} subjects, {len(ground.photos)} photographs to edit, seeds {list(suite.seeds)}, effort "
        f"`{suite.effort}`, {suite.tuning.steps} tuning steps; surrogate digest {ground.protection.digest[:12]}; "
        f"attackers' models: {', '.join(ground.models)}.{judged}\n\n"
        "In brackets: paired difference to the unprotected photographs, with its 95 % bootstrap interval over items; bold "
        "where the interval excludes zero. learned: share of the denoising loss on the subject's held-out photographs "
        "that tuning took away (lower: better protected). similarity: of generated pictures to those photographs. "
        "brisque: how unnatural they look (higher: worse pictures, better protected; made for photographs of 500 pixels "
        "and more, so for comparing columns, not for its size). identity: cosine of face descriptors (strangers have "
        ".75 to .92). "
        "edit_ssim, edit_psnr, edit_similarity: the edit of the published file against the edit of the clean photograph "
        "(lower: the edit was disturbed more). followed: the edit to red is redder than the edit to blue.\n"
    )


def main() -> None:
    options = parse()
    if options.threads:
        torch.set_num_threads(options.threads)
    suite = SUITES[options.suite]
    if options.reduce:
        suite = reduced(suite, *options.reduce)
    options.work.mkdir(parents=True, exist_ok=True)
    folders = [options.model, *options.transfer]
    models = {path.name: load(path, options.device) for path in folders}
    made_with = {path.name: fingerprint(sorted(path.rglob("*.safetensors")), bool(options.data), options.faces)
                 for path in folders}
    subjects, photos = items(options, suite, models[options.model.name].side)
    judges = Judges(Brisque(), judge.train(options.data, options.work, 25) if options.data else None,
                    FaceJudge() if options.faces else None)
    protection = Protection(options.client, options.server, options.work / "protected", options.protect_flag,
                            options.service_model)
    runner = Runner(Ground(replace(suite, subjects=len(subjects), photos=len(photos)), subjects, photos, protection,
                           models, made_with, judges, RowStore(options.work / "rows")))
    runner.run()
    output = options.output or options.work / f"report-{options.suite}"
    report.write(runner, output, head_of(options, suite, runner), edit_sheets(runner, models[options.model.name]))
    print(f"report: {output / 'report.html'}")


if __name__ == "__main__":
    main()
