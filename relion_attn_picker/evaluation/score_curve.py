"""The probability of being right by score, as a curve between knots: what a job saves, and reads again.

What this module does not do: it learns no curve (``evaluation.score_model`` and ``evaluation.calibration`` do).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.evaluation.score_excess import MIDDLES, FloatVector
from relion_attn_picker.picks import FloatArray

KNOTS: Final = np.round(np.concatenate([np.arange(0.05, 0.98, 0.02), [0.98, 0.99, 0.995, 0.998, 0.999, 0.9997]]), 4)
"""Scores between which the probability is interpolated; long trained networks score nearly all particles above .99."""

CURVE_DECIMALS: Final = 6
"""Of the probabilities of a curve: one that was saved and read again gives the same figures of merit."""

MOST: Final = 0.998
"""Highest probability on a data set."""

HIGHEST_ON_CURVE: Final = 0.9999
"""Highest one on the curve for all data sets, but for the steps by which it rises: 1 is no probability of a pick."""


@dataclass(frozen=True)
class ScoreCurve:
    """The probability of being right by score: straight lines between knots, rising everywhere."""

    score: tuple[float, ...]
    value: tuple[float, ...]

    def __post_init__(self) -> None:
        both_rise = is_rising(self.score) and is_rising(self.value)
        if len(self.score) != len(self.value) or len(self.score) < 2 or not both_rise:
            raise ValueError("A curve of scores needs two knots or more, rising in score and in probability.")

    def probability(self, score: FloatArray) -> FloatArray:
        """Return the probability ``(n,)`` that candidates with these scores ``(n,)`` are right."""
        knots, values = (0.0, *self.score, 1.0), (0.0, *self.value, (1.0 + 3 * self.value[-1]) / 4)
        result: FloatArray = np.interp(score, knots, values).astype(np.float32)
        return result

    def is_likely(self, score: FloatArray) -> NDArray[np.bool_]:
        """Return which candidates with these scores ``(n,)`` are rather right than wrong, ``(n,)``."""
        return self.probability(score) >= 0.5

    def to_dict(self) -> dict[str, list[float]]:
        """Return the curve as what JSON can hold; ``from_dict`` rebuilds it."""
        return {"score": list(self.score), "value": list(round_rising(self.value))}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> ScoreCurve:
        """Rebuild a curve from ``to_dict``'s record, or from one of earlier versions, whose rounding made values equal.

        Raises
        ------
        ValueError, KeyError, TypeError
            If a field is missing or misshapen.
        """
        score, value = tuple(record["score"]), tuple(record["value"])
        has_equals = not is_rising(value) and bool(np.all(np.diff(value) >= 0))
        return cls(score, round_rising(value) if has_equals else value)


def is_rising(values: Sequence[float]) -> bool:
    """Tell whether each value is above the one before."""
    return bool(np.all(np.diff(values) > 0))


def round_rising(values: Sequence[float]) -> tuple[float, ...]:
    """Return probabilities that never fall, rounded to ``CURVE_DECIMALS`` so that each is above the one before.

    Those that rounding makes equal are moved upwards by its steps, and where they would pass 1, downwards.
    """
    unit = 10**CURVE_DECIMALS
    place, order = np.rint(np.asarray(values) * unit), np.arange(len(values))
    lowest_first = np.maximum.accumulate(place - order) + order
    highest = np.minimum(lowest_first, unit - order[::-1])
    return tuple(round(float(each) / unit, CURVE_DECIMALS) for each in highest)


def make_rising(ratio: FloatVector) -> ScoreCurve:
    """Return probabilities of ``MIDDLES`` that never fall as a curve that rises."""
    value = np.interp(np.log(KNOTS / (1 - KNOTS)), MIDDLES, ratio)
    slope = np.linspace(0, 1e-3, len(KNOTS))
    value = np.round(np.clip(value, 1e-4, MOST) * (1 - 1e-3) + slope, CURVE_DECIMALS)
    return ScoreCurve(tuple(KNOTS.tolist()), tuple(value.tolist()))
