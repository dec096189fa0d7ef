"""The rows brought together: a figure of each method under each attack, with intervals."""

import statistics
from collections import defaultdict
from collections.abc import Callable, Iterable

from ..metrics.statistics import Interval, bootstrap, paired, ratio
from .rows import Row

# The figure that tells most under each kind of attack, and which way protection moves it.
HEADLINE = {"tuning": ("learned", "lower"), "editing": ("edit_ssim", "lower")}


def select(rows: Iterable[Row], **wanted: object) -> list[Row]:
    """The rows whose fields have these values."""
    return [row for row in rows if all(getattr(row, name) == value for name, value in wanted.items())]


def by_item(rows: Iterable[Row], figure: str) -> dict[str, float]:
    """Of each item the figure's mean over seeds."""
    found = defaultdict(list)
    for row in rows:
        if figure in row.values and row.values[figure] == row.values[figure]:
            found[row.item].append(row.values[figure])
    return {item: statistics.fmean(values) for item, values in found.items()}


def names(rows: Iterable[Row], field: str) -> list[str]:
    """The values of a field, in the order in which they come."""
    return list(dict.fromkeys(getattr(row, field) for row in rows))


def labels(rows: Iterable[Row]) -> list[tuple[str, str]]:
    """Method and variant, in the order in which they come."""
    return list(dict.fromkeys((row.method, row.variant) for row in rows))


def label(method: str, variant: str) -> str:
    """How both are called in tables and pictures."""
    return f"{method} {variant}".strip()


def of_common_seeds(rows: list[Row]) -> list[Row]:
    """The rows of those seeds that every method, variant and countermeasure met: what may be compared."""
    seeds = defaultdict(set)
    for row in rows:
        seeds[row.method, row.variant, row.countermeasure].add(row.seed)
    common = set.intersection(*seeds.values())
    return [row for row in rows if row.seed in common]


def marked(difference: Interval) -> str:
    """A difference with its interval, bold where that excludes zero."""
    mark = "**" if difference.excludes_zero else ""
    return f"{mark}{difference.mean:+.3f}{mark} [{difference.low:+.3f}, {difference.high:+.3f}]"


def cell(rows: list[Row], figure: str, base: list[Row]) -> str:
    """The mean, and the paired difference to the unprotected photographs with its interval."""
    own, other = by_item(rows, figure), by_item(base, figure)
    if not own:
        return ""
    text = f"{statistics.fmean(own.values()):.3f}"
    if rows is base or not own.keys() & other.keys():
        return text
    return f"{text} ({marked(paired(own, other))})"


def markdown(head: list[str], lines: list[list[str]]) -> str:
    """A Markdown table."""
    rule = ["---"] + ["--:"] * (len(head) - 1)
    return "\n".join("| " + " | ".join(line) + " |" for line in [head, rule, *lines]) + "\n"


def further_variants(rows: list[Row], kind: str) -> set[tuple[str, str]]:
    """The variants that met more than the first attack by the first model."""
    own = select(rows, kind=kind)
    return {(row.method, row.variant) for row in own
            if row.variant and (row.attack, row.target) != (own[0].attack, own[0].target)}


def attack_table(rows: list[Row], kind: str, figure: str, target: str, countermeasure: str = "none") -> str:
    """Methods and further variants down, attacks across; empty when nothing of it was run."""
    chosen = select(rows, kind=kind, target=target, countermeasure=countermeasure)
    attacks, further = names(chosen, "attack"), further_variants(rows, kind)
    chosen = [row for row in chosen if not row.variant or (row.method, row.variant) in further]
    chosen = [row for attack in attacks for row in of_common_seeds(select(chosen, attack=attack))]
    if not any(figure in row.values for row in chosen):
        return ""
    lines = []
    for method, variant in labels(chosen):
        line = [label(method, variant)]
        for attack in attacks:
            base = select(chosen, attack=attack, method="none")
            own = base if method == "none" else select(chosen, attack=attack, method=method, variant=variant)
            line.append(cell(own, figure, base))
        lines.append(line)
    return markdown([figure, *attacks], lines)


def gain(rows: list[Row], figure: str, countermeasure: str, method: str, variant: str = "") -> dict[str, float]:
    """Of each item: how much lower the figure is than that of the unprotected photograph so treated."""
    own = by_item(select(rows, method=method, countermeasure=countermeasure, variant=variant), figure)
    base = by_item(select(rows, method="none", countermeasure=countermeasure, variant=""), figure)
    return {item: base[item] - own[item] for item in own.keys() & base.keys()}


def countered(rows: list[Row], kind: str, target: str) -> list[Row]:
    """The rows of the attack before which countermeasures were tried, of the seeds that met them; none: []."""
    own = select(rows, kind=kind, target=target)
    attack = next((row.attack for row in own if row.countermeasure != "none"), None)
    return of_common_seeds(select(own, attack=attack)) if attack else []


def counter_table(rows: list[Row], kind: str, target: str, title: str, wanted: Callable[[str], bool],
                  text: Callable[[list[Row], str, str, str], str]) -> str:
    """The methods that met countermeasures down, these across: a `text` of rows, countermeasure, method and variant."""
    chosen = countered(rows, kind, target)
    if not chosen:
        return ""
    counters = names(chosen, "countermeasure")
    met = labels(row for row in chosen if row.countermeasure != "none" and wanted(row.method))
    lines = [[label(*of), *(text(chosen, counter, *of) for counter in counters)] for of in met]
    return markdown([f"{chosen[0].attack}: {title}", *counters], lines)


def treated_table(rows: list[Row], kind: str, target: str) -> str:
    """The figure itself after each countermeasure: a treatment may spoil the file for the attacker too."""
    figure = HEADLINE[kind][0]

    def text(chosen: list[Row], counter: str, method: str, variant: str) -> str:
        items = by_item(select(chosen, method=method, variant=variant, countermeasure=counter), figure)
        return f"{statistics.fmean(items.values()):.3f}" if items else ""

    return counter_table(rows, kind, target, figure, lambda method: True, text)


def survival_table(rows: list[Row], kind: str, target: str) -> str:
    """What of each method's gain is left after each countermeasure."""
    figure = HEADLINE[kind][0]

    def text(chosen: list[Row], counter: str, method: str, variant: str) -> str:
        here = gain(chosen, figure, counter, method, variant)
        if not here:
            return ""
        interval = bootstrap(list(here.values()))
        left = ratio(here, gain(chosen, figure, "none", method, variant)) if counter != "none" else None
        share = f"; {100 * left.mean:.0f} % [{100 * left.low:.0f}, {100 * left.high:.0f}]" if left else ""
        return f"{interval.mean:+.3f} [{interval.low:+.3f}, {interval.high:+.3f}]" + share

    return counter_table(rows, kind, target, f"{figure} lowered", lambda method: method != "none", text)


def variant_table(rows: list[Row], kind: str, target: str, base: str = "paper") -> str:
    """Every method and variant under the first attack: its cost, and how it stands to the `base`, where the suite has it."""
    figure = HEADLINE[kind][0]
    chosen = select(rows, kind=kind, target=target, countermeasure="none")
    if not any(row.variant for row in chosen):
        return ""
    chosen = of_common_seeds(select(chosen, attack=chosen[0].attack))
    reference = gain(chosen, figure, "none", base)
    lines = []
    for method, variant in labels(chosen):
        lowered = gain(chosen, figure, "none", method, variant)
        if method == "none" or not lowered:
            continue
        passes = statistics.fmean(row.values["passes"] for row in select(rows, kind="cost", method=method, variant=variant))
        own = bootstrap(list(lowered.values()))
        line = [label(method, variant), f"{passes:.0f}", f"{own.mean:+.3f} [{own.low:+.3f}, {own.high:+.3f}]"]
        if reference:
            difference = paired(lowered, reference) if lowered.keys() & reference.keys() else None
            line.append(marked(difference) if difference else "")
        lines.append(line)
    head = [f"{chosen[0].attack}: {figure} lowered", "UNet passes", "against none"]
    return markdown([*head, f"against {base}"] if reference else head, lines)


def chance_table(rows: list[Row], kind: str, target: str) -> str:
    """How much the attack's own seed moves what a method wins; empty with one seed."""
    figure = HEADLINE[kind][0]
    chosen = select(rows, kind=kind, target=target, countermeasure="none", variant="")
    chosen = select(chosen, attack=chosen[0].attack) if chosen else []
    repeated = [row for row in chosen if row.seed != chosen[0].seed]
    if not repeated:
        return ""
    seeds = [chosen[0].seed, *names(repeated, "seed")]
    lines = []
    for method in (method for method in names(repeated, "method") if method != "none"):
        of_seeds = [statistics.fmean(gain(select(chosen, seed=seed), figure, "none", method).values()) for seed in seeds]
        lines.append([method, *(f"{value:+.4f}" for value in of_seeds), f"{statistics.stdev(of_seeds):.4f}"])
    return markdown([f"{chosen[0].attack}: {figure} lowered", *(f"seed {seed}" for seed in seeds), "deviation"], lines)


def cost_table(rows: list[Row]) -> str:
    """UNet passes, seconds and visibility of each method."""
    chosen = select(rows, kind="cost")
    lines = []
    for method, variant in labels(chosen):
        own = select(chosen, method=method, variant=variant)
        mean = {name: statistics.fmean(row.values[name] for row in own) for name in ("seconds", "passes", "psnr", "ssim")}
        levels = max(row.values["levels"] for row in own)
        lines.append([label(method, variant), f"{mean['passes']:.0f}", f"{mean['seconds']:.2f}", f"{levels:.0f}",
                      f"{mean['psnr']:.1f}", f"{mean['ssim']:.4f}"])
    return markdown(["method", "UNet passes", "s a photograph", "levels", "PSNR dB", "SSIM"], lines)


def frontier(rows: list[Row], kind: str, target: str) -> list[tuple[str, float, Interval]]:
    """Of each method and variant: seconds a photograph, and the headline figure lowered."""
    figure = HEADLINE[kind][0]
    chosen = select(rows, kind=kind, target=target, countermeasure="none")
    if not chosen:
        return []
    chosen = of_common_seeds(select(chosen, attack=chosen[0].attack))
    base = by_item(select(chosen, method="none"), figure)
    points = []
    for method, variant in labels(chosen):
        if method == "none":
            continue
        own = by_item(select(chosen, method=method, variant=variant), figure)
        if not own.keys() & base.keys():
            continue
        cost = select(rows, kind="cost", method=method, variant=variant)
        seconds = statistics.fmean(row.values["seconds"] for row in cost)
        points.append((label(method, variant), seconds, paired(base, own)))
    return points
