"""Whether probabilities come true: of the picks near 0.8, about 80 % should be right."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.evaluation.score_excess import FloatVector
from relion_attn_picker.picks import FloatArray


@dataclass(frozen=True)
class Reliability:
    """What probabilities promise and what comes of them, in ten bins of equal width; NaN where a bin is empty.

    Parameters
    ----------
    promised, achieved
        Mean probability, and share of right ones among the candidates of each bin, ``(10,)``.
    count
        Candidates of each bin, ``(10,)``.
    expected_error
        Mean difference between the two, weighted by the counts (expected calibration error; Naeini, Cooper &
        Hauskrecht 2015, AAAI, 2901).
    """

    promised: FloatVector
    achieved: FloatVector
    count: NDArray[np.int64]
    expected_error: float


def measure_reliability(probability: FloatArray, is_right: NDArray[np.bool_]) -> Reliability:
    """Compare probabilities ``(n,)`` with what is right ``(n,)``."""
    place = np.clip((probability * 10).astype(np.intp), 0, 9)
    count = np.bincount(place, minlength=10)
    with np.errstate(invalid="ignore"):
        promised = np.bincount(place, probability.astype(np.float64), 10) / count
        achieved = np.bincount(place, is_right, 10) / count
    error = float(np.nansum(np.abs(promised - achieved) * count) / max(1, count.sum()))
    return Reliability(promised, achieved, count.astype(np.int64), error if count.any() else float("nan"))
