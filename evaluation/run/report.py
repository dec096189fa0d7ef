"""The report: Markdown, CSV, pictures, and one HTML page that needs nothing beside it."""

import base64
import html
import io
from pathlib import Path

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import torch
from PIL import Image, ImageDraw

from ..metrics.images import read, to_pil
from .measure import TUNING_FIGURES
from .rows import Row, write_csv
from .runner import Runner, columns
from .suite import curve_of
from .tables import attack_table, chance_table, cost_table, frontier, label, names, select, survival_table, treated_table, variant_table

TILE = 96


def sections(rows: list[Row], head: str) -> str:
    """All tables as Markdown."""
    targets = names(select(rows, kind="tuning") + select(rows, kind="editing"), "target")
    parts = [head, "## Cost and visibility\n", cost_table(rows)]
    for target in targets:
        name = f"attacker's model: {target}"
        for kind, figures in (("tuning", TUNING_FIGURES),
                              ("editing", ("edit_ssim", "edit_psnr", "edit_similarity", "followed", "edit_class"))):
            tables = [attack_table(rows, kind, figure, target) for figure in figures]
            parts += [f"## {kind.capitalize()}, {name}\n", *filter(None, tables)]
            for title, table in (("Variants", variant_table), ("Chance", chance_table),
                                 ("After countermeasures", treated_table), ("What countermeasures leave", survival_table)):
                text = table(rows, kind, target)
                parts += [f"### {title} ({kind}, {name})\n", text] if text else []
    return "\n".join(parts)


def draw_frontier(rows: list[Row], path: Path) -> None:
    """Protection against cost: a point each method and effort, with its interval; shares of a method's steps are joined."""
    targets = names(select(rows, kind="tuning") + select(rows, kind="editing"), "target")
    figure, axes = plt.subplots(1, 2, figsize=(13.5, 4.8), layout="constrained")
    found = {kind: frontier(rows, kind, targets[0]) for kind in ("tuning", "editing")}
    named = list(dict.fromkeys(name for points in found.values() for name, _, _ in points))
    curves = list(dict.fromkeys(map(curve_of, named)))
    colours = {curve: plt.get_cmap("tab20")(number % 20) for number, curve in enumerate(curves)}
    for axis, kind, title in zip(axes, found, ("learned less (DreamBooth)", "edit moved away (SSIM)")):
        for curve in curves:
            line = sorted((max(seconds, 0.05), interval.mean) for name, seconds, interval in found[kind]
                          if curve_of(name) == curve)
            axis.plot([x for x, _ in line], [y for _, y in line], color=colours[curve], linewidth=0.8)
        for name, seconds, interval in found[kind]:
            error = [[interval.mean - interval.low], [interval.high - interval.mean]]
            place, colour = (max(seconds, 0.05), interval.mean), colours[curve_of(name)]
            axis.errorbar(*place, yerr=error, fmt="o", capsize=2, markersize=4, color=colour, elinewidth=0.8)
            axis.annotate(str(named.index(name) + 1), place, fontsize=8, xytext=(4, 2), textcoords="offset points", color=colour)
        axis.set_xscale("log")
        axis.axhline(0, color="gray", linewidth=0.5)
        axis.set_xlabel("seconds a photograph")
        axis.set_ylabel(title)
        axis.set_title(kind)
    handles = [plt.Line2D([], [], marker="o", linestyle="", markersize=4, color=colours[curve_of(name)],
                          label=f"{i + 1} {name}") for i, name in enumerate(named)]
    figure.legend(handles=handles, loc="outside right center", fontsize=7, frameon=False)
    figure.savefig(path, dpi=110)
    plt.close(figure)


def sheet(rows: list[list[torch.Tensor]], heads: list[str], names_: list[str]) -> Image.Image:
    """Pictures in a grid: a line of `rows` has one picture for each of `heads`."""
    left, top = max([96, *(6 * len(name) + 8 for name in names_)]), 18
    canvas = Image.new("RGB", (left + TILE * len(heads), top + TILE * len(rows)), "white")
    pen = ImageDraw.Draw(canvas)
    for column, head in enumerate(heads):
        pen.text((left + column * TILE + 2, 3), head[:16], fill="black")
    for line, (name, pictures) in enumerate(zip(names_, rows)):
        pen.text((2, top + line * TILE + TILE // 2), name, fill="black")
        for column, picture in enumerate(to_pil(torch.stack(pictures))):
            canvas.paste(picture.resize((TILE, TILE), Image.Resampling.NEAREST), (left + column * TILE, top + line * TILE))
    return canvas


def protection_sheet(runner: Runner, side: int) -> Image.Image:
    """Published photographs: a line a method or variant, a column a photograph, then the amplified differences."""
    photos = [photo.photo for photo in runner.inputs.photos[:4]]
    clean = read(photos, side)
    lines, told = [], []
    for variant in columns(runner.inputs.suite):
        images = read([runner.protected[variant.method, variant.name][photo].path for photo in photos], side)
        lines.append([*images, *((images - clean) * 8).clamp(-1, 1)])
        told.append(label(variant.method, variant.name))
    return sheet(lines, [*(photo.parent.name for photo in photos), *("x8" for _ in photos)], told)


def inline(image: Image.Image) -> str:
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()


def to_html(markdown: str) -> str:
    """The few marks that the report uses: headings, tables, bold, paragraphs."""
    lines, out, in_table = markdown.split("\n"), [], False
    for line in lines:
        if line.startswith("|"):
            cells = [part.strip() for part in line.strip("|").split("|")]
            if all(set(part) <= {"-", ":"} for part in cells):
                continue
            tag = "td" if in_table else "th"
            out.append("" if in_table else "<table>")
            in_table = True
            out.append("<tr>" + "".join(f"<{tag}>{bold(html.escape(part))}</{tag}>" for part in cells) + "</tr>")
            continue
        if in_table:
            out.append("</table>")
            in_table = False
        level = len(line) - len(line.lstrip("#"))
        text = bold(html.escape(line.lstrip("# ")))
        if text:
            out.append(f"<h{level}>{text}</h{level}>" if level else f"<p>{text}</p>")
    return "\n".join(out + (["</table>"] if in_table else []))


def bold(text: str) -> str:
    pieces = text.split("**")
    return "".join(f"<b>{piece}</b>" if i % 2 else piece for i, piece in enumerate(pieces))


STYLE = """body{font:14px/1.4 system-ui,sans-serif;max-width:1250px;margin:2em auto;padding:0 1em;color:#222}
table{border-collapse:collapse;margin:1em 0;font-size:12px}td,th{border:1px solid #ccc;padding:3px 7px;text-align:right}
td:first-child,th:first-child{text-align:left}th{background:#f2f2f2}img{max-width:100%;image-rendering:pixelated}"""


def write(runner: Runner, side: int, folder: Path, head: str, sheets: dict[str, Image.Image]) -> None:
    """report.md, report.html, rows.csv, frontier.png and the sheets, below `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = runner.rows
    write_csv(rows, folder / "rows.csv")
    draw_frontier(rows, folder / "frontier.png")
    pictures = {"published": protection_sheet(runner, side), **sheets}
    text = sections(rows, head)
    (folder / "report.md").write_text(text + "\n![frontier](frontier.png)\n", encoding="utf-8")
    page = [f"<!doctype html><meta charset=utf-8><title>antidiffusion evaluation</title><style>{STYLE}</style>",
            to_html(text), "<h2>Protection against cost</h2>", f'<img src="{inline(Image.open(folder / "frontier.png"))}">']
    for name, picture in pictures.items():
        picture.save(folder / f"{name}.png")
        page.append(f'<h2>{html.escape(name)}</h2><img src="{inline(picture)}">')
    (folder / "report.html").write_text("\n".join(page), encoding="utf-8")
