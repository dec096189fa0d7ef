"""What is run: the suites, and their order."""

from dataclasses import dataclass, replace

from ..attacks.editing import EditSettings
from ..attacks.tuning import TuningSettings
from .protection import METHODS

ALL_METHODS = tuple(METHODS)


@dataclass(frozen=True)
class Variant:
    """A method with flags of its own, beside the suite's methods: for the frontier and for findings."""

    method: str
    name: str
    flags: tuple[str, ...] = ()
    countermeasures: tuple[str, ...] = ()
    further: bool = False  # meets the further attacks and models too


@dataclass(frozen=True)
class Suite:
    """One evaluation. Every method gets the same photographs, seeds, budget and rounding.

    The first tuning attack and the first edit attack meet everything: all methods, variants, countermeasures and seeds;
    the other attacks, and the attackers' further models, the `further_methods` and the variants that are `further`.
    """

    subjects: int
    photos: int
    flags: tuple[str, ...]  # of `antidiffusion protect`, beside the method's
    seeds: tuple[int, ...]  # of the attacks; those after the first meet the `seed_methods`: how much is chance
    tuning_attacks: tuple[str, ...]
    edit_attacks: tuple[str, ...]
    methods: tuple[str, ...] = ALL_METHODS
    tuning: TuningSettings = TuningSettings()
    editing: EditSettings = EditSettings()
    countermeasures: tuple[str, ...] = ()
    counter_methods: tuple[str, ...] = ("none", "paper")
    seed_methods: tuple[str, ...] = ("none", "paper")
    further_methods: tuple[str, ...] = ALL_METHODS
    variants: tuple[Variant, ...] = ()


BUDGET = 6.375  # levels, the service's default


def schedule(**changes: object) -> tuple[str, ...]:
    """Flags of a short schedule with every stage, 60 UNet passes in two blocks of PGD, with `changes`; no effort moves it.

    A tuple stands for a flag that is repeated.
    """
    flags = {"effort": "paper", "epochs": 1, "prompt-steps": 10, "pgd-steps": 20, "tuning-steps": 10}
    flags |= {name.replace("_", "-"): value for name, value in changes.items()}
    steps = int(flags["pgd-steps"]) * (int(flags["epochs"]) + 1)
    flags.setdefault("step-size", 2.5 * BUDGET / steps)
    pairs = ((name, each) for name, value in flags.items() for each in (value if isinstance(value, tuple) else (value,)))
    return tuple(word for name, value in pairs for word in (f"--{name}", str(value)))


# Of the `released` mode: six blocks of PGD that each start a budget of their own stay within six levels together.
BOUNDED = Variant("released", "bounded", ("--effort", "paper", "--budget", "1.0625"))

QUICK = Suite(
    subjects=3, photos=6, flags=schedule(), seeds=(0,), tuning_attacks=("dreambooth", "lora"),
    edit_attacks=("sdedit", "diffedit", "masactrl", "inpainting"), tuning=TuningSettings(steps=60),
    countermeasures=("jpeg-75",), variants=(Variant("paper", "standard", ("--effort", "standard"), ("jpeg-75",)),),
    further_methods=("none", "noise", "paper"),
)

FULL = Suite(
    subjects=6, photos=8, flags=("--effort", "paper"), seeds=(0, 1),
    tuning_attacks=("dreambooth", "lora", "dreambooth-text", "textual-inversion"),
    edit_attacks=("sdedit", "diffedit", "masactrl", "inpainting"), tuning=TuningSettings(steps=100),
    countermeasures=("jpeg-90", "jpeg-75", "jpeg-50", "half-and-back", "blur", "crop", "vae", "noise-and-denoise"),
    further_methods=("none", "advdm", "mist", "paper"),
    variants=(
        BOUNDED,
        Variant("paper", "draft", ("--effort", "draft")),
        Variant("paper", "standard", ("--effort", "standard"), ("jpeg-75", "jpeg-50")),
        Variant("paper", "strong", ("--effort", "strong")),
        Variant("advdm", "10", ("--effort", "paper", "--epochs", "0", "--pgd-steps", "10", "--step-size", "1.6")),
        Variant("advdm", "30", ("--effort", "paper", "--epochs", "0", "--pgd-steps", "30", "--step-size", "0.53")),
    ),
)


def finding(name: str, counters: tuple[str, ...] = (), **changes: object) -> Variant:
    """One change of the base at equal passes."""
    return Variant("paper", name, schedule(**changes), counters)


def plain(name: str, steps: int, step: float, momentum: float, first: int, counters: tuple[str, ...] = ()) -> Variant:
    """PGD alone: a step size in levels, and the first timestep that is drawn."""
    return finding(name, counters, method="advdm", epochs=0, pgd_steps=steps, step_size=step, momentum=momentum,
                   timestep_min=first)


JPEG = ("jpeg-75",)

# What the parts of the method and PGD's options do at equal passes.
FINDINGS = Suite(
    subjects=6, photos=12, flags=schedule(), seeds=(0,), tuning_attacks=("dreambooth",), edit_attacks=("sdedit",),
    methods=("none", "noise", "paper"), tuning=TuningSettings(steps=100), countermeasures=JPEG,
    variants=(
        finding("no PT", method="anti-diffusion-no-pt", pgd_steps=25),
        finding("no SDL", method="anti-diffusion-no-sdl"),
        finding("no TUNE", method="anti-diffusion-no-tuning", pgd_steps=25),
        finding("PGD alone", JPEG, method="advdm", epochs=0, pgd_steps=60),
        finding("SDL clamped", semantic_form="clamped"),
        finding("SDL start token", semantic_form="start-token"),
        finding("2 draws", JPEG, pgd_draws=2, pgd_steps=10),
        finding("4 draws", pgd_draws=4, pgd_steps=5),
        finding("momentum .9", momentum=0.9),
        finding("t 0-499", JPEG, timestep_max=499),
        finding("t 500-999", timestep_min=500),
        finding("step 1", step_size=1),
        finding("step 2", JPEG, step_size=2),
        finding("JPEG 75 in the loop", JPEG, jpeg_quality=75),
        finding("JPEG 50 in the loop", JPEG, jpeg_quality=50),
        # What the gains above come to together, with fewer passes too.
        plain("PGD 10", 10, 1.6, 0, 0),
        plain("PGD 10, momentum", 10, 1.6, 0.9, 0),
        plain("PGD 20, step 2, momentum", 20, 2, 0.9, 0),
        plain("PGD 20, step 2, momentum, t 500", 20, 2, 0.9, 500, JPEG),
        plain("PGD 60, step 2, momentum, t 500", 60, 2, 0.9, 500, JPEG),
    ),
)

def semantic(name: str, weight: float, **changes: object) -> Variant:
    """A heavier semantic loss beside the denoising loss."""
    return finding(name, objective=("denoising", f"semantic={weight}"), **changes)


# What can be made of cross-attention, at the base's passes: which layers, heads by themselves, which form, how heavy.
SEMANTIC = Suite(
    subjects=6, photos=12, flags=schedule(), seeds=(0,), tuning_attacks=("dreambooth",), edit_attacks=("sdedit",),
    methods=("none", "paper"), tuning=TuningSettings(steps=100),
    variants=(
        *(semantic(f"weight {weight}", weight) for weight in (100, 1000, 10000)),
        *(semantic(f"{layers} layers, weight 1000", 1000, semantic_layers=layers) for layers in ("half", "all")),
        semantic("each head, weight 100", 100, semantic_heads="each"),
        semantic("all layers, each head, weight 100", 100, semantic_layers="all", semantic_heads="each"),
        semantic("start token, weight 10", 10, semantic_form="start-token"),
    ),
)

# The published schedule with fewer steps of everything; the PGD steps, of more levels, add up to the same 15.3.
SHARES = {
    "half": ("--effort", "paper", "--prompt-steps", "15", "--pgd-steps", "5", "--tuning-steps", "10", "--step-size", "0.51"),
    "quarter": ("--effort", "paper", "--prompt-steps", "8", "--pgd-steps", "3", "--tuning-steps", "5", "--step-size", "0.85"),
}


def at_budget(levels: float) -> Variant:
    """The default effort within another budget."""
    return Variant("paper", f"standard, {levels} levels", ("--effort", "standard", "--budget", str(levels)))


# The dear methods with a half and a quarter of the steps that they have in `full`; the default effort under the further
# attacks, and within other budgets.
FRONTIER = Suite(
    subjects=6, photos=8, flags=("--effort", "paper"), seeds=(0,), tuning_attacks=("dreambooth", "lora", "dreambooth-text"),
    edit_attacks=FULL.edit_attacks, methods=("none",), tuning=TuningSettings(steps=100), further_methods=("none",),
    variants=(
        *(Variant(method, share, flags) for method in ("anti-dreambooth", "paper")
          for share, flags in SHARES.items()),
        Variant("paper", "standard", ("--effort", "standard"), further=True),
        at_budget(4), at_budget(12),
    ),
)

SUITES = {"quick": QUICK, "full": FULL, "findings": FINDINGS, "semantic": SEMANTIC, "frontier": FRONTIER}


def curve_of(label: str) -> str:
    """What a point of the frontier is a share of: the method, or itself."""
    words = label.split()
    return " ".join(words[:-1]) if words[-1] in SHARES else label


def reduced(suite: Suite, subjects: int, photos: int, steps: int) -> Suite:
    """A smaller suite of the same shape, for tests and trials."""
    return replace(suite, subjects=subjects, photos=photos, tuning=replace(suite.tuning, steps=steps))
