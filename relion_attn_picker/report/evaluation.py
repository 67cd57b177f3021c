"""An evaluation as files (JSON, STAR, precision-recall curve) and as a plain table for the terminal."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from pathlib import Path

from relion_attn_picker.evaluation.bootstrap import Interval
from relion_attn_picker.evaluation.evaluate import ALL_CANDIDATES, Evaluation, RadiusEvaluation
from relion_attn_picker.evaluation.label_margin import EdgeCheck
from relion_attn_picker.evaluation.orientation import OrientationCheck
from relion_attn_picker.evaluation.pixels import PixelScores
from relion_attn_picker.relion.labels import MICROGRAPH_NAME
from relion_attn_picker.relion.star import write_table
from relion_attn_picker.replacing import replace_file
from relion_attn_picker.report.precision_recall import draw_precision_recall, write_precision_recall
from relion_attn_picker.report.reliability import draw_reliability

JSON_NAME = "evaluation.json"
STAR_NAME = "evaluation.star"
CURVE_CSV_NAME = "precision_recall.csv"
CURVE_PNG_NAME = "precision_recall.png"
RELIABILITY_NAME = "reliability.png"

STAR_COLUMNS = {
    "attnpickPrecision": "precision",
    "attnpickRecall": "recall",
    "attnpickF1": "f1",
    "attnpickAveragePrecision": "average_precision",
    "attnpickBestF1": "best_f1",
    "attnpickBestThreshold": "best_threshold",
    "attnpickMedianError": "median_distance",
    "attnpickNrParticles": "n_true",
    "attnpickNrPicks": "n_predicted",
    "attnpickNrMatched": "n_matched",
}

FIGURES = {"precision": "precision", "recall": "recall", "f1": "F1", "average_precision": "average precision"}
LABEL_WIDTH = 20
UNDEFINED = "-"


def write_evaluation(folder: Path, evaluation: Evaluation) -> tuple[Path, ...]:
    """Write an evaluation into an existing folder, each file by rename.

    Parameters
    ----------
    folder
        Where the files go.
    evaluation
        What they tell.

    Returns
    -------
    tuple of Path
        ``evaluation.json`` (all figures, lengths in Å, null where undefined), ``evaluation.star`` (one row a
        micrograph, at the headline match radius), ``precision_recall.csv`` and ``precision_recall.png``; also
        ``reliability.png`` if the scores were calibrated; otherwise an earlier one is removed.
    """
    paths = tuple(folder / name for name in (JSON_NAME, STAR_NAME, CURVE_CSV_NAME, CURVE_PNG_NAME))
    json_path, star_path, csv_path, png_path = paths
    replace_file(json_path, json.dumps(evaluation.to_dict(), indent=1, allow_nan=False) + "\n")
    write_evaluation_star(star_path, evaluation)
    write_precision_recall(csv_path, evaluation)
    draw_precision_recall(png_path, evaluation)
    if evaluation.reliability is None:
        (folder / RELIABILITY_NAME).unlink(missing_ok=True)
        return paths
    draw_reliability(folder / RELIABILITY_NAME, *evaluation.reliability)
    return *paths, folder / RELIABILITY_NAME


def remove_evaluation(folder: Path) -> bool:
    """Remove what ``write_evaluation`` wrote, as it does not tell of other picks; tell whether it was there."""
    was_there = (folder / JSON_NAME).exists()
    for name in (JSON_NAME, STAR_NAME, CURVE_CSV_NAME, CURVE_PNG_NAME, RELIABILITY_NAME):
        (folder / name).unlink(missing_ok=True)
    return was_there


def write_evaluation_star(path: Path, evaluation: Evaluation) -> None:
    """Write one row a micrograph; the median localisation error is in Å."""
    rows = evaluation.micrographs
    columns: dict[str, list[object]] = {MICROGRAPH_NAME: [row.name for row in rows]}
    for label, field in STAR_COLUMNS.items():
        columns[label] = [getattr(row.scores, field) for row in rows]
    write_table(path, "evaluation", columns)


def format_evaluation(evaluation: Evaluation) -> str:
    """Format an evaluation as lines of at most 100 characters: the picks at both match radii, then the pixels.

    Returns
    -------
    str
        Lines without a newline at the end; figures that are undefined are shown as ``-``.
    """
    return "\n".join(line.rstrip() for line in _format_lines(evaluation))


def _format_lines(evaluation: Evaluation) -> Iterator[str]:
    wide, narrow = evaluation.headline, evaluation.strict
    n = len(evaluation.micrographs)
    yield f"Picks against ground truth: {n} micrograph{'s' if n != 1 else ''}, {_format_operating_point(evaluation)}"
    yield ""
    yield _format_row("match radius", f"{wide.match_radius:.4g} Å (d/2)", f"{narrow.match_radius:.4g} Å (d/4)")
    heading = f"{'pooled':<8}{'95 % interval':<18}mean"
    yield _format_row("", heading, heading)
    for name, label in FIGURES.items():
        yield _format_row(label, _format_figure(wide, name), _format_figure(narrow, name))
    yield _format_row("best F1", _format_best(wide), _format_best(narrow))
    yield _format_row("median error", *(_format_length(each.pooled.median_distance) for each in (wide, narrow)))
    yield _format_row("particles", f"{wide.pooled.n_true}")
    yield _format_row("picks", f"{wide.pooled.n_predicted}")
    yield _format_row("matched", f"{wide.pooled.n_matched}", f"{narrow.pooled.n_matched}")
    if evaluation.n_ignored is not None:
        told = f"{evaluation.n_ignored} on what ignored.star lists: neither right nor wrong"
        yield _format_row("ignored", told)
    for count in evaluation.rejected:
        told = f"{count.n_rejected} for {count.reason}, of which {count.n_on_particle} lie on a particle"
        yield _format_row("rejected" if count is evaluation.rejected[0] else "", told)
    if evaluation.expected is not None:
        yield _format_row("promised", "precision {:.3f}, recall {:.3f}".format(*evaluation.expected))
    if evaluation.reliability is not None:
        before, after = (_format(each.expected_error) for each in evaluation.reliability)
        yield _format_row("calibration error", f"{after} (network's own scores: {before})")
    if evaluation.chance_precision is not None:
        yield _format_row("random picks", f"precision {evaluation.chance_precision:.3f}")
    if evaluation.edges is not None:
        yield from _format_edges(evaluation.edges)
    if evaluation.orientation is not None:
        yield _format_row("constant shift", _format_shift(evaluation.orientation))
        yield from _warn_of_orientation(evaluation.orientation)
    if evaluation.pixels is not None:
        yield ""
        yield from _format_pixels(evaluation.pixels)
    if n > 1:
        yield ""
        yield "The intervals are over micrographs: standard error by bootstrap, reach by Student's t for their"
        yield "number, on the logit scale; of the counts where all micrographs are alike. The means are means"
        yield "over micrographs."


def _format_edges(edges: EdgeCheck) -> Iterator[str]:
    """Say that labels stop before the edges, and what the picks beyond them do to the figures."""
    told = f"labels stop {edges.margin:.0f} Å before the edges; {edges.n_picks} picks lie beyond, {edges.n_wrong} wrong"
    yield _format_row("edges", told)
    without = f"precision {_format(edges.precision)}, F1 {_format(edges.f1)}, best F1 {_format(edges.best_f1)}"
    yield _format_row("", f"without them: {without}")


def _format_shift(check: OrientationCheck) -> str:
    if not check.n_pairs:
        return UNDEFINED
    (y, x), (y_angstrom, x_angstrom) = check.shift_yx, check.shift_yx_angstrom
    return f"y {y:+.2f} px ({y_angstrom:+.1f} Å), x {x:+.2f} px ({x_angstrom:+.1f} Å)"


def _warn_of_orientation(check: OrientationCheck) -> Iterator[str]:
    """Say loudly that picks are mirrored, and plainly that they are shifted."""
    if check.better is not None:
        given, better = check.f1["as given"], check.f1[check.better]
        yield ""
        yield f"!!! WRONG ORIENTATION? With {check.better} the picks fit better: F1 {better:.3f}, as given {given:.3f}"
        yield f"!!! ({_count_micrographs(check)}). Check which program counts rows from the other end before going on."
    elif check.is_shifted:
        yield "The picks lie beside the truth by a constant shift: half a pixel is a convention of pixels, half a"
        yield "box a corner taken for a centre, anything else the way the truth was made."


def _count_micrographs(check: OrientationCheck) -> str:
    frame = "" if check.frame_is_known else ", image size estimated"
    return f"{check.n_micrographs} micrograph{'s' if check.n_micrographs != 1 else ''} looked at{frame}"


def _format_operating_point(evaluation: Evaluation) -> str:
    cut = "all picks" if evaluation.threshold == ALL_CANDIDATES else f"threshold {evaluation.threshold:.4g}"
    return f"particle diameter d = {evaluation.particle_diameter:.4g} Å, {cut}"


def _format_row(label: str, left: str, right: str = "") -> str:
    return f"{label:<{LABEL_WIDTH}}{left:<38}{right}"


def _format_figure(figures: RadiusEvaluation, name: str) -> str:
    pooled, interval = _format(getattr(figures.pooled, name)), _format_interval(getattr(figures.intervals, name))
    return f"{pooled:<8}{interval:<18}{_format(getattr(figures.mean, name))}"


def _format_best(figures: RadiusEvaluation) -> str:
    text = f"{_format(figures.pooled.best_f1):<8}"
    if math.isfinite(figures.pooled.best_threshold):
        text += f"at threshold {figures.pooled.best_threshold:.4g}"
    return text


def _format_pixels(pixels: PixelScores) -> Iterator[str]:
    yield "Pixel figures of the probability maps against discs of the particle diameter"
    names = {"precision": "precision", "recall": "recall", "f1": "F1", "iou": "IoU", "roc_auc": "ROC-AUC"}
    yield "   ".join(f"{label} {_format(getattr(pixels, name))}" for name, label in names.items())


def _format(value: float) -> str:
    return f"{value:.3f}" if math.isfinite(value) else UNDEFINED


def _format_length(value: float) -> str:
    return f"{value:.1f} Å" if math.isfinite(value) else UNDEFINED


def _format_interval(interval: Interval) -> str:
    return f"{interval[0]:.3f} to {interval[1]:.3f}" if math.isfinite(interval[0]) else UNDEFINED
