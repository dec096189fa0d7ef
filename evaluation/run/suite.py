"""What is run: the suites, and their order."""

from dataclasses import dataclass, field, replace

from ..attacks.editing import EditSettings
from ..attacks.tuning import TuningSettings
from .protection import METHODS

ALL_METHODS = tuple(METHODS)


@dataclass(frozen=True)
class Variant:
    """A method with flags of its own, beside the suite's methods: for the frontier and for findings."""

    method: str
    name: str
    flags: tuple[str, ...]


@dataclass(frozen=True)
class Suite:
    """One evaluation. Every method gets the same photographs, seeds, budget and rounding."""

    subjects: int
    photos: int
    effort: str
    seeds: tuple[int, ...]
    tuning_attacks: tuple[str, ...]
    edit_attacks: tuple[str, ...]
    methods: tuple[str, ...] = ALL_METHODS
    tuning: TuningSettings = TuningSettings()
    editing: EditSettings = EditSettings()
    # Countermeasures go with one tuning and one edit attack and these methods.
    countermeasures: tuple[str, ...] = ()
    counter_methods: tuple[str, ...] = ("none", "noise", "paper")
    variants: tuple[Variant, ...] = field(default=())


QUICK = Suite(
    subjects=3, photos=6, effort="standard", seeds=(0,),
    tuning_attacks=("dreambooth", "lora"), edit_attacks=("sdedit", "diffedit", "masactrl", "inpainting"),
    tuning=TuningSettings(steps=100), countermeasures=("jpeg-75",),
)

FULL = Suite(
    subjects=6, photos=20, effort="paper", seeds=(0, 1),
    tuning_attacks=("dreambooth", "dreambooth-text", "lora", "textual-inversion"),
    edit_attacks=("sdedit", "diffedit", "masactrl", "inpainting"),
    tuning=TuningSettings(steps=200),
    countermeasures=("jpeg-90", "jpeg-75", "jpeg-50", "half-and-back", "blur", "crop", "vae", "noise-and-denoise"),
    variants=tuple(
        Variant(method, effort, ("--effort", effort))
        for method in ("paper", "advdm", "anti-dreambooth") for effort in ("draft", "standard", "strong")
    ),
)

SUITES = {"quick": QUICK, "full": FULL}


def reduced(suite: Suite, subjects: int, photos: int, steps: int) -> Suite:
    """A smaller suite of the same shape, for tests and trials."""
    return replace(suite, subjects=subjects, photos=photos, tuning=replace(suite.tuning, steps=steps))
