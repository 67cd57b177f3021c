"""Do attention gates do what is claimed of them: more ``α`` on particles than on background and on junk?

Each micrograph gives one value of each figure, and counts once; intervals are over micrographs, as everywhere. A gate
only scales what passes through it, and what comes after can undo any scale: that ``α`` is higher on particles is a
claim to be tested, and not what a network is trained for.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final

import numpy as np
from scipy.stats import rankdata

from relion_attn_picker.evaluation.attention_regions import Regions
from relion_attn_picker.evaluation.bootstrap import NO_INTERVAL, Interval, share_interval, t_interval
from relion_attn_picker.evaluation.matching import FloatVector
from relion_attn_picker.picks import FloatArray

NEGLIGIBLE: Final = 0.01
"""A difference of α below this changes what passes a gate by less than a hundredth, and counts as none."""

OTHERS: Final = ("background", "junk")
"""What the inside of particles is compared with."""


DIFFERENCES: Final = tuple(f"inside_minus_{other}" for other in OTHERS)
"""Figures from -1 to 1; all others are shares."""


class GateVerdict(Enum):
    """What can be said of a gate."""

    CLAIMED = "does what is claimed"
    OPPOSITE = "does the opposite"
    NEGLIGIBLE = "there is no difference that matters"
    UNDECIDED = "no difference can be told"
    UNKNOWN = "one micrograph cannot tell"


@dataclass(frozen=True)
class GateFigure:
    """Mean of one figure over the micrographs that have it, its 95 % interval over them, and how many they are."""

    value: float
    interval: Interval
    n_micrographs: int


@dataclass(frozen=True)
class LevelCheck:
    """One gate: its pixel in particle diameters, its figures by name, and the verdict against background and junk.

    Names of figures: ``inside``, ``background``, ``junk`` (mean α), ``inside_minus_background``,
    ``inside_minus_junk``, ``auc_background`` and ``auc_junk`` (the probability that a pixel inside a particle has a
    higher α than one on background, or on junk; a tie counts half). Those of junk are left out where none is known.
    """

    name: str
    pixel_in_diameters: float
    figures: Mapping[str, GateFigure]
    verdicts: Mapping[str, GateVerdict]


@dataclass(frozen=True)
class AttentionCheck:
    """All gates, the finest first, and what was measured: name of a micrograph → level → figure → value."""

    levels: tuple[LevelCheck, ...]
    measured: Mapping[str, Mapping[str, Mapping[str, float]]]


def measure_gate(values: FloatArray, regions: Regions) -> dict[str, float]:
    """Compute the figures of one gate on one micrograph.

    Parameters
    ----------
    values
        ``α``, shape ``(h, w)``.
    regions
        What lies under its pixels.

    Returns
    -------
    dict
        Name of a figure → value, as ``LevelCheck`` lists them; NaN where no pixel lies on one of its regions.
    """
    inside = values[regions.inside]
    figures = {"inside": _mean(inside)}
    for other in OTHERS:
        outside = values[getattr(regions, other)]
        figures[other] = _mean(outside)
        figures[f"inside_minus_{other}"] = figures["inside"] - figures[other]
        figures[f"auc_{other}"] = rank_area(inside, outside)
    return figures


def _mean(values: FloatArray) -> float:
    return float(values.mean(dtype=np.float64)) if len(values) else math.nan


def rank_area(higher: FloatArray, lower: FloatArray) -> float:
    """Return the probability that one of ``higher`` ``(n,)`` exceeds one of ``lower`` ``(m,)``, a tie counting half.

    By ranks (Mann & Whitney, Ann. Math. Stat. 18 (1947) 50-60); NaN if one of the two is empty.
    """
    n, m = len(higher), len(lower)
    if not n or not m:
        return math.nan
    ranks = rankdata(np.concatenate([higher, lower]))
    return float((ranks[:n].sum() - n * (n + 1) / 2) / (n * m))


def check_gates(measured: Mapping[str, Mapping[str, Mapping[str, float]]]) -> AttentionCheck:
    """Summarize the figures of all micrographs, and judge each gate.

    Parameters
    ----------
    measured
        Name of a micrograph → level → what ``measure_gate`` gave, with ``pixel_in_diameters``, the length of the
        level's pixels.
    """
    by_level = list(measured.values())
    levels = tuple(_check_level(name, [each[name] for each in by_level]) for name in by_level[0])
    return AttentionCheck(levels, measured)


def _check_level(name: str, measured: Sequence[Mapping[str, float]]) -> LevelCheck:
    columns = {key: np.array([each[key] for each in measured]) for key in measured[0]}
    length = float(columns.pop("pixel_in_diameters").mean())
    figures = {key: _summarize(key, column) for key, column in columns.items() if np.isfinite(column).any()}
    differences = {other: figures.get(f"inside_minus_{other}") for other in OTHERS}
    verdicts = {other: _judge(difference) for other, difference in differences.items() if difference is not None}
    return LevelCheck(name, length, figures, verdicts)


def _summarize(key: str, column: FloatVector) -> GateFigure:
    """Return the mean of a figure and its interval: Student's t, on the logit scale but for differences."""
    values = column[np.isfinite(column)]
    value, n = float(values.mean()), len(values)
    if n < 2:
        return GateFigure(value, NO_INTERVAL, n)
    make = t_interval if key in DIFFERENCES else share_interval
    return GateFigure(value, make(value, float(values.std(ddof=1)) / math.sqrt(n), n - 1), n)


def _judge(difference: GateFigure) -> GateVerdict:
    """Judge by the whole interval: that no difference matters is known only where none that it holds would."""
    low, high = difference.interval
    if not math.isfinite(low):
        return GateVerdict.UNKNOWN
    if max(abs(low), abs(high)) < NEGLIGIBLE:
        return GateVerdict.NEGLIGIBLE
    if low <= 0 <= high:
        return GateVerdict.UNDECIDED
    return GateVerdict.CLAIMED if low > 0 else GateVerdict.OPPOSITE


def describe_gate(level: LevelCheck) -> str:
    """Say in one sentence what can be said of a gate."""
    if not level.verdicts:
        return f"{level.name}: nothing to compare, no micrograph has both particles and something beside them"
    told = [
        f"against {other}, {'it ' if verdict in (GateVerdict.CLAIMED, GateVerdict.OPPOSITE) else ''}{verdict.value}"
        for other, verdict in level.verdicts.items()
    ]
    return f"{level.name}: {'; '.join(told)}"
