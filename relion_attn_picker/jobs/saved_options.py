"""``picking_options.json``: what a picking job saves of how it picked, beside its results.

It is what makes results reproducible, and what Continue, another cut, an evaluation and an export go by. Files of
earlier versions, which lack some of it, are read too.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from relion_attn_picker import __version__
from relion_attn_picker.errors import InputError
from relion_attn_picker.evaluation.likeness import Likeness
from relion_attn_picker.evaluation.score_curve import ScoreCurve
from relion_attn_picker.inference.operating_point import Expectation, OperatingPoint
from relion_attn_picker.options import PickOptions
from relion_attn_picker.replacing import replace_file

OPTIONS_FILE: Final = "picking_options.json"


@dataclass(frozen=True, kw_only=True)
class SavedOptions:
    """How a job picked.

    Parameters
    ----------
    command, micrographs, weights, picker
        The command line, the list and the weights as they were given, and what picked in words for the user.
    weights_sha256, precision, options
        See ``jobs.picking.settings.JobSettings``.
    point
        The operating point that the job came to.
    own_threshold
        That of the weights, on their scores.
    sure_scores
        See ``inference.operating_point.choose_point``.
    lowest_score, selected_from
        Of a job that was cut anew: the score that its candidates reach down to, and the job that it was cut from.
    diameter_estimate
        Where the diameter comes from, if it was estimated: see ``diameter_job.describe_estimate``.
    pixel_size
        Å per pixel of all micrographs, if the user gave it instead of what the list says.
    computed_in
        What ``precision`` came to on this machine; ``None`` in jobs of earlier versions.
    """

    micrographs: str
    weights: str
    weights_sha256: str
    precision: str
    options: PickOptions
    point: OperatingPoint
    own_threshold: float
    picker: str
    command: str = ""
    sure_scores: tuple[float, float] | None = None
    lowest_score: float | None = None
    selected_from: str | None = None
    diameter_estimate: Mapping[str, float] | None = None
    pixel_size: float | None = None
    computed_in: str | None = None


def read_saved_options(folder: Path) -> SavedOptions:
    """Return what the picking job in ``folder`` saved of its options.

    Raises
    ------
    InputError
        If the file is absent or damaged.
    """
    path = folder / OPTIONS_FILE
    try:
        return _from_record(json.loads(path.read_text(encoding="utf-8")))
    except FileNotFoundError as error:
        raise InputError(f"There is no {path}, which every picking job of attnpick leaves: pick first.") from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError, InputError) as error:
        raise InputError(
            f"{path} is not what a picking job of attnpick writes ({error!r}): continue that job, which writes it "
            "anew, or bring the file back from a copy."
        ) from error


def has_saved_options(folder: Path) -> bool:
    """Tell whether a folder is that of a picking job of this program."""
    return (folder / OPTIONS_FILE).is_file()


def find_own_list(folder: Path, saved: SavedOptions) -> Path | None:
    """Return the list of micrographs that the picking job in ``folder`` was given, ``None`` if it is gone.

    Its path is relative to the folder that the job was run in: the current one, or one above the job. Of a job outside
    the current folder the latter comes first: another project has a list of the same name.
    """
    own_side = folder.absolute().parents
    is_inside = folder.resolve().is_relative_to(Path.cwd())
    places = (Path(), *own_side) if is_inside else (*own_side, Path())
    return next((place / saved.micrographs for place in places if (place / saved.micrographs).is_file()), None)


def refuse_picking_job(folder: Path) -> None:
    """Refuse to write other coordinates into the folder of a picking job: its candidates would count as theirs.

    Raises
    ------
    InputError
        If it is one.
    """
    if has_saved_options(folder):
        raise InputError(
            f"{folder} is the folder of a picking job of attnpick, whose candidates and settings belong to its own "
            "picks: give another folder."
        )


def write_saved_options(folder: Path, saved: SavedOptions) -> None:
    """Write what ``read_saved_options`` reads, with the version of this program."""
    record = {
        "version": __version__,
        "command": saved.command,
        "micrographs": saved.micrographs,
        "weights": saved.weights,
        "picker": saved.picker,
        **describe_point(saved.point),
        "min_distance": saved.options.min_distance_or_default,
        "weights_sha256": saved.weights_sha256,
        "precision": saved.precision,
        "own_threshold": saved.own_threshold,
        "sure_scores": saved.sure_scores,
        "options": asdict(saved.options),
    }
    names = ("diameter_estimate", "lowest_score", "selected_from", "pixel_size", "computed_in")
    rare = {name: getattr(saved, name) for name in names}
    record |= {name: value for name, value in rare.items() if value is not None}
    replace_file(folder / OPTIONS_FILE, json.dumps(record, indent=1) + "\n")


def describe_point(point: OperatingPoint) -> dict[str, Any]:
    """Return an operating point as what a job saves of it; ``read_point`` reads it."""
    expected = point.expected
    return {
        "threshold": point.threshold,
        "threshold_reason": point.reason,
        "expected": asdict(expected) if expected is not None and not math.isnan(expected.precision) else None,
        "score_curve": None if point.curve is None else point.curve.to_dict(),
        "likeness": None if point.likeness is None else point.likeness.to_dict(),
    }


def read_point(record: Mapping[str, Any]) -> OperatingPoint:
    """Return the operating point that a job's saved options tell."""
    curve, expected, likeness = (record.get(name) for name in ("score_curve", "expected", "likeness"))
    return OperatingPoint(
        float(record["threshold"]),
        _text(record, "threshold_reason"),
        None if curve is None else ScoreCurve.from_dict(curve),
        None if expected is None else Expectation(**expected),
        None if likeness is None else Likeness.from_dict(likeness),
    )


def _from_record(record: Mapping[str, Any]) -> SavedOptions:
    """Return what a file tells; what earlier versions did not write is what they did."""
    sure_scores, lowest, pixel_size = (record.get(name) for name in ("sure_scores", "lowest_score", "pixel_size"))
    weights = _text(record, "weights")
    return SavedOptions(
        command=str(record.get("command", "")),
        micrographs=_text(record, "micrographs"),
        weights=weights,
        weights_sha256=_text(record, "weights_sha256"),
        precision=_text(record, "precision"),
        options=PickOptions(**{"reject_junk": False} | record["options"]),
        point=read_point(record),
        own_threshold=float(record.get("own_threshold", record["threshold"])),
        picker=str(record.get("picker", Path(weights).name)),
        sure_scores=None if sure_scores is None else _pair(*sure_scores),
        lowest_score=None if lowest is None else float(lowest),
        selected_from=record.get("selected_from"),
        diameter_estimate=record.get("diameter_estimate"),
        pixel_size=None if pixel_size is None else float(pixel_size),
        computed_in=record.get("computed_in"),
    )


def _pair(first: Any, second: Any) -> tuple[float, float]:
    return float(first), float(second)


def _text(record: Mapping[str, Any], name: str) -> str:
    value = record[name]
    if not isinstance(value, str):
        raise TypeError(f"{name} is {value!r}, expected a text")
    return value
