"""Pictures of a run: what each attack makes of a few files under some methods."""

import torch
from PIL import Image

from ..attacks.model import AttackedModel
from ..attacks.sampling import sample
from ..attacks.tuning import TUNING_ATTACKS, Subject
from ..metrics.images import read
from .ground import Ground, fingerprint
from .measure import GUIDANCE, SAMPLE_STEPS, edited
from .report import sheet
from .runner import Runner
from .terminal import Bar

SHOWN = ("none", "noise", "advdm", "mist", "released", "paper")
TUNED = ("none", "noise", "paper")  # tuning is dear
OF_EACH = 3


def edit_sheets(runner: Runner, model: AttackedModel) -> dict[str, Image.Image]:
    """A line a photograph, a column a method; a sheet for each edit."""
    photos, suite = runner.inputs.photos[:OF_EACH], runner.inputs.suite
    shown = [method for method in SHOWN if method in suite.methods]
    sheets = {}
    for attack in suite.edit_attacks:
        columns = [read([photo.photo for photo in photos], model.side)]
        for method in shown:
            files = [runner.protected[method, ""][photo.photo].path for photo in photos]
            columns.append(edited(model, photos, read(files, model.side), attack, suite.editing))
        lines = [[column[i] for column in columns] for i in range(len(photos))]
        sheets[f"edits-{attack}"] = sheet(lines, ["photograph", *shown], [photo.name for photo in photos])
    return sheets


def tuning_sheet(runner: Runner, ground: Ground, model: AttackedModel) -> dict[str, Image.Image]:
    """What the first tuning attack generates of a few subjects: photographs that it never saw, then pictures by method."""
    suite, subjects = runner.inputs.suite, runner.inputs.subjects[:OF_EACH]
    attack, settings = suite.tuning_attacks[0], suite.tuning
    shown = [method for method in TUNED if method in suite.methods]
    lines = []
    with Bar(f"pictures of {attack}", len(subjects) * len(shown)) as bar:
        for subject in subjects:
            line = list(read(subject.held_out[:1], model.side))
            for method in shown:
                files = [runner.protected[method, ""][photo].path for photo in subject.published]

                def generate(files=files, subject=subject) -> torch.Tensor:
                    given = Subject(read(files, model.side), subject.noun)
                    tuned = TUNING_ATTACKS[attack](model, given, settings, lambda: None)
                    prompt = given.prompt(tuned.placeholder)
                    return sample(tuned, [prompt] * OF_EACH, 500 + settings.seed, SAMPLE_STEPS, GUIDANCE)

                key = fingerprint(files, "pictures", attack, settings, subject.noun, list(ground.made_with.values())[0])
                line += list(ground.store.tensor(key[:24], generate))
                bar.step(f"{method} {subject.name}")
            lines.append(line)
    heads = ["not published", *(method if i == 0 else "" for method in shown for i in range(OF_EACH))]
    return {f"pictures-{attack}": sheet(lines, heads, [subject.name for subject in subjects])}
