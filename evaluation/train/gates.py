"""The five gates that the exported model is held to, each a number."""

import json
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline
from torch import Tensor

from . import attack, judge, personalise
from .captions import CLASSES, NOUNS, caption
from .data import Photographs, load_split
from .export import megabytes
from .sampling import edit, sample
from .vae import OPPONENT, quality

SAMPLES_PER_CLASS = 20
EDIT_STRENGTH = 0.7
EDITED = 50
ATTACKED = 16
PERSONALISED = 3
BUDGET = 0.05


@dataclass(frozen=True)
class Gate:
    """One measured figure and what was asked of it."""

    name: str
    value: float
    asked: str
    passed: bool
    note: str = ""


def at_least(name: str, value: float, bound: float, note: str = "") -> Gate:
    """A gate passed from `bound` upwards."""
    return Gate(name, value, f">= {bound:g}", value >= bound, note)


def below(name: str, value: float, bound: float, note: str = "") -> Gate:
    """A gate passed under `bound`."""
    return Gate(name, value, f"< {bound:g}", value < bound, note)


def spread(photographs: Photographs, count: int) -> Photographs:
    """`count` photographs, evenly over the split and so over the classes."""
    index = torch.arange(count) * len(photographs) // count
    return Photographs(photographs.pixels[index], photographs.classes[index], photographs.colours[index])


def plain_captions(photographs: Photographs) -> list[str]:
    """Captions that name the class alone."""
    return [f"a photo of a {NOUNS[CLASSES[y]]}" for y in photographs.classes.tolist()]


def redness(images: Tensor) -> Tensor:
    """Red against blue in the middle of each picture, where the garment is."""
    middle = images[:, :, 16:48, 16:48].mean((2, 3))
    blue, red = (middle @ OPPONENT.T).unbind(1)
    return red - blue


def vae_gates(pipe: StableDiffusionPipeline, test: Photographs) -> list[Gate]:
    """1: the autoencoder."""
    figures = quality(pipe.vae, test)
    note = f"blue {figures['chroma_blue']:.3f}, red {figures['chroma_red']:.3f}"
    chroma = min(figures["chroma_blue"], figures["chroma_red"])
    return [at_least("VAE PSNR, dB", figures["psnr"], 26), at_least("VAE chroma correlation", chroma, 0.95, note)]


def caption_gates(pipe: StableDiffusionPipeline, test: Photographs, work: Path) -> list[Gate]:
    """2: the asked class, and the asked colour."""
    arbiter = judge.load(work)
    asked = [name for name in CLASSES for _ in range(SAMPLES_PER_CLASS)]
    samples = sample(pipe, [f"a photo of a {NOUNS[name]}" for name in asked], seed=11)
    with torch.no_grad():
        guesses = arbiter(samples).argmax(1)
    right = guesses == torch.tensor([CLASSES.index(name) for name in asked])
    shares = [f"{c} {v:.2f}" for c, v in zip(CLASSES, right.view(-1, SAMPLES_PER_CLASS).float().mean(1).tolist())]
    note = f"judge's own accuracy on the test split {judge.accuracy(arbiter, test):.3f}; " + ", ".join(shares)
    chosen = spread(test, EDITED)
    names = [CLASSES[y] for y in chosen.classes.tolist()]
    images = chosen.images()
    edits = {c: redness(edit(pipe, images, [caption(n, c) for n in names], EDIT_STRENGTH, 12)) for c in ("red", "blue")}
    before = redness(images)
    redder, bluer = edits["red"] > before, edits["blue"] < before
    where = f"{EDITED} photographs, strength {EDIT_STRENGTH}"
    moved = f"{where}; redder {redder.float().mean():.2f}, bluer {bluer.float().mean():.2f}"
    apart = (edits["red"] > edits["blue"]).float().mean()
    return [
        at_least("samples of the asked class", float(right.float().mean()), 0.6, note),
        at_least("red edit redder than the blue edit", float(apart), 0.8, where),
        at_least("both edits move the photograph's hue", float((redder & bluer).float().mean()), 0.8, moved),
    ]


def personalisation_gates(pipe: StableDiffusionPipeline, test: Photographs, work: Path) -> list[Gate]:
    """3: DreamBooth."""
    arbiter, chosen = judge.load(work), spread(test, PERSONALISED)
    gains = []
    for image, name in zip(chosen.images(), (CLASSES[y] for y in chosen.classes.tolist())):
        text = f"a photo of a sks {NOUNS[name]}"
        before = torch.tensor(personalise.nearness(pipe, arbiter, image, text))
        tuned = personalise.tune(pipe, image, text, steps=200)
        gains.append(torch.stack([before, torch.tensor(personalise.nearness(tuned, arbiter, image, text))]))
    (similarity, ratio), (tuned_similarity, tuned_ratio) = torch.stack(gains).mean(0).tolist()
    kinds = (
        ("similarity gained by 200 DreamBooth steps", similarity, tuned_similarity),
        ("PSNR gained by 200 DreamBooth steps, dB", ratio, tuned_ratio),
    )
    where = f"{PERSONALISED} photographs, {personalise.SAMPLES} samples each"
    return [Gate(n, b - a, "> 0", b > a, f"{a:.3f} to {b:.3f}; {where}") for n, a, b in kinds]


def attack_gates(pipe: StableDiffusionPipeline, test: Photographs) -> list[Gate]:
    """4: projected gradient ascent against uniform noise."""
    torch.manual_seed(13)
    chosen = spread(test, ATTACKED)
    images, texts = chosen.images(), plain_captions(chosen)
    base = attack.measured_loss(pipe, images, texts)
    attacked = attack.measured_loss(pipe, attack.pgd(pipe, images, texts, BUDGET, steps=30), texts)
    noised = attack.measured_loss(pipe, attack.uniform_noise(images, BUDGET), texts)
    note = f"clean {base:.4f}, attacked {attacked:.4f}, noised {noised:.4f}; {ATTACKED} photographs"
    return [
        at_least("loss raised by PGD", attacked / base - 1, 0.25, note),
        below("loss raised by uniform noise", noised / base - 1, 0.02),
    ]


def run(model: Path, data: Path, work: Path) -> list[Gate]:
    """Measure all gates of the exported model; writes gates.json into `work`."""
    pipe = StableDiffusionPipeline.from_pretrained(model, torch_dtype=torch.float32)
    for part in (pipe.vae, pipe.unet, pipe.text_encoder):
        part.eval().requires_grad_(False)
    test = load_split(data, "test")
    stages: list[Callable[[], list[Gate]]] = [
        lambda: vae_gates(pipe, test),
        lambda: caption_gates(pipe, test, work),
        lambda: personalisation_gates(pipe, test, work),
        lambda: attack_gates(pipe, test),
        lambda: [below("weights, MB", megabytes(model), 40, "StableDiffusionPipeline.from_pretrained loads them")],
    ]
    gates: list[Gate] = []
    for stage in stages:
        for gate in stage():
            gates.append(gate)
            print(f"gate: {gate.name} {gate.value:.4f}, asked {gate.asked}; {gate.note}", flush=True)
    (work / "gates.json").write_text(json.dumps([asdict(gate) for gate in gates], indent=1))
    return gates


def table(gates: list[Gate]) -> str:
    """The gates as a Markdown table."""
    head = ["| gate | measured | asked | | detail |", "| --- | --- | --- | --- | --- |"]
    rows = [f"| {g.name} | {g.value:.3f} | {g.asked} | {'pass' if g.passed else 'miss'} | {g.note} |" for g in gates]
    return "\n".join([*head, *rows])
