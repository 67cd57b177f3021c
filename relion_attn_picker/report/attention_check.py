"""The check of the attention gates for people (Markdown, a figure) and for programs (JSON)."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib.axes import Axes

from relion_attn_picker.evaluation.attention_check import (
    DIFFERENCES,
    NEGLIGIBLE,
    OTHERS,
    AttentionCheck,
    GateFigure,
    LevelCheck,
    describe_gate,
)
from relion_attn_picker.json_values import to_json_values
from relion_attn_picker.replacing import replace_file
from relion_attn_picker.report.figure import make_figure, save_png
from relion_attn_picker.report.markdown import format_table

DEFINITIONS: Final = (
    "Inside: within half a diameter of a particle's centre. Background: farther than a diameter from every particle, "
    "and not on junk. Junk: carbon, ice and aggregates of the masks, not within half a diameter of a particle. The "
    "rest does not count. Each micrograph counts once; intervals are 95 %, Student's t over micrographs. AUC: the "
    "probability that a pixel inside has a higher α than one outside. A difference counts as none "
    f"where its whole interval is nearer to 0 than {NEGLIGIBLE:g}."
)
COLUMNS: Final = {
    "inside": "α inside",
    "background": "on background",
    "junk": "on junk",
    "inside_minus_background": "inside − background",
    "auc_background": "AUC",
    "inside_minus_junk": "inside − junk",
    "auc_junk": "AUC against junk",
}
COLOURS: Final = {"inside": "#d55e00", "background": "#0072b2", "junk": "#009e73"}
"""Okabe and Ito's, which those who see no red or green can tell apart."""

MARKERS: Final = {"inside": "o", "background": "s", "junk": "^"}
PLACES: Final = {"inside": "inside particles", "background": "on background", "junk": "on junk"}
CHANCE: Final = 0.5
DPI: Final = 120


def format_attention_check(check: AttentionCheck) -> str:
    """Return the table, the verdicts and what they mean, in Markdown that reads well in a terminal."""
    keys = [key for key in COLUMNS if any(key in level.figures for level in check.levels)]
    rows = [["gate", *(COLUMNS[key] for key in keys)]]
    for level in check.levels:
        name = f"{level.name}, {_fraction(level.pixel_in_diameters)}"
        rows.append([name, *(_format(level.figures.get(key), key in DIFFERENCES) for key in keys)])
    verdicts = [f"- {describe_gate(level)}" for level in check.levels]
    return "\n".join([*format_table(rows), "", *verdicts, "", *describe_limits(check), DEFINITIONS])


def _fraction(pixel_in_diameters: float) -> str:
    return f"pixels of d/{1 / pixel_in_diameters:.2g}"


def _format(figure: GateFigure | None, is_signed: bool) -> str:
    if figure is None:
        return "-"
    sign, (low, high) = "+" if is_signed else "", figure.interval
    text = f"{figure.value:{sign}.3f}"
    return text if math.isnan(low) else f"{text} ({low:{sign}.3f} to {high:{sign}.3f})"


def describe_limits(check: AttentionCheck) -> list[str]:
    """Say what these micrographs cannot tell; an empty list if nothing is amiss."""
    count, sentences = len(check.measured), []
    if count == 1:
        sentences.append("One micrograph gives no intervals, and no verdict: several are needed (--count 5 or more).")
    coarsest = check.levels[-1]  # the fewest pixels, the first to have none of a kind
    for region in ("inside", *OTHERS):
        having = coarsest.figures[region].n_micrographs if region in coarsest.figures else 0
        if 0 < having < count:
            sentences.append(f"Only {having} of {count} micrographs have pixels {PLACES[region]} at {coarsest.name}.")
    if "background" not in coarsest.figures:
        sentences.append(f"No micrograph has background at {coarsest.name}: all lies within a diameter of a particle.")
    return [*sentences, ""] if sentences else []


def write_attention_check(folder: Path, check: AttentionCheck, settings: Mapping[str, Any]) -> None:
    """Write ``attention.md``, ``attention.json`` and ``attention_check.png``, each by rename.

    ``settings`` is what the check was made with: text and numbers.
    """
    told = "\n".join(f"- {name}: {value}" for name, value in settings.items())
    replace_file(
        folder / "attention.md", f"# What the attention gates do\n\n{format_attention_check(check)}\n\n{told}\n"
    )
    record = json.dumps(to_json(check, settings), indent=1, allow_nan=False)
    replace_file(folder / "attention.json", record + "\n")
    draw_attention_check(folder / "attention_check.png", check)


def to_json(check: AttentionCheck, settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return the check as what JSON can hold; what is not known is ``null``."""
    levels = [
        {
            "name": level.name,
            "pixel_in_diameters": level.pixel_in_diameters,
            "verdicts": {other: verdict.value for other, verdict in level.verdicts.items()},
            "figures": {key: asdict(figure) for key, figure in level.figures.items()},
        }
        for level in check.levels
    ]
    record = {"settings": dict(settings), "definitions": DEFINITIONS, "levels": levels, "micrographs": check.measured}
    return dict(to_json_values(record))


def draw_attention_check(path: Path, check: AttentionCheck) -> None:
    """Draw α in each region, its differences, and the AUC, by level, with their intervals."""
    figure = make_figure(12.0, 4.2)
    means, differences, areas = figure.subplots(1, 3)
    for place, region in enumerate(("inside", *OTHERS)):
        _plot_figure(means, check.levels, region, region, place)
    for place, other in enumerate(OTHERS):
        _plot_figure(differences, check.levels, f"inside_minus_{other}", other, place)
        _plot_figure(areas, check.levels, f"auc_{other}", other, place)
    differences.axhline(0, color="0.4", lw=0.8)
    areas.axhline(CHANCE, color="0.4", lw=0.8)
    means.set(title="mean α", ylim=(0, 1))
    differences.set(title="mean α inside particles minus ...")
    areas.set(title="AUC: inside particles against ...", ylim=(0, 1))
    ticks = [f"{each.name.replace('_', ' ')}\nd/{1 / each.pixel_in_diameters:.2g}" for each in check.levels]
    for axes in (means, differences, areas):
        axes.set_xticks(range(len(ticks)), ticks)
        axes.set_xlim(-0.5, len(ticks) - 0.5)
        axes.grid(axis="y", alpha=0.3)
        if axes.containers:
            axes.legend(loc="best", fontsize="small")
    count = len(check.measured)
    told = "one micrograph, no intervals" if count == 1 else f"{count} micrographs, 95 % intervals over micrographs"
    figure.suptitle(f"attention gates on {told}")
    save_png(figure, path, DPI)


def _plot_figure(axes: Axes, levels: tuple[LevelCheck, ...], key: str, region: str, place: int) -> None:
    shown = [(number, level.figures[key]) for number, level in enumerate(levels) if key in level.figures]
    if not shown:
        return
    x = np.array([number for number, _ in shown]) + 0.16 * (place - 1)
    value = np.array([each.value for _, each in shown])
    reach = np.abs(np.array([each.interval for _, each in shown]).T - value)
    axes.errorbar(
        x, value, yerr=reach, fmt=MARKERS[region], color=COLOURS[region], capsize=4, ms=6, lw=1.4, label=region
    )
