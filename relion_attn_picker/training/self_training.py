"""The two decisions of self-training: which of a teacher's picks become labels, and whether a student may succeed it.

Pseudo-labels with a confidence threshold are Lee's (2013, ICML workshop on challenges in representation learning); a
student trained on them together with true labels, which then becomes the teacher, is the noisy student of Xie et al.
(2020, arXiv:1911.04252). What this module does not do: it reads and writes no file and trains nothing;
``jobs.self_training.job`` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.picks import FloatArray
from relion_attn_picker.training_options import SelfTrainingOptions


def calibrated_to_score(value: float, teacher_threshold: float) -> float:
    """Return the score that reads ``value`` where the teacher's own threshold reads 0.5.

    Odds are multiplied: a value of 0.75 (3 to 1) is the score with three times the odds of the threshold. On the scale
    of logits, this moves the threshold to 0 and changes nothing else.
    """
    odds = value / (1 - value) * teacher_threshold / (1 - teacher_threshold)
    return odds / (1 + odds)


THRESHOLD_SCALES: Final[dict[str, Callable[[float, float], float]]] = {
    "calibrated": calibrated_to_score,
    "score": lambda value, teacher_threshold: value,
}
"""Name of a scale → the score that a value on it means, given the teacher's own threshold."""


@dataclass(frozen=True)
class Thresholds:
    """Scores: particles from ``positive`` upwards, ground below ``negative``, nothing is said between."""

    positive: float
    negative: float


def choose_thresholds(options: SelfTrainingOptions, teacher_threshold: float) -> Thresholds:
    """Return the options' two thresholds as scores of a teacher whose calibrated threshold is ``teacher_threshold``."""
    to_score = THRESHOLD_SCALES[options.scale]
    return Thresholds(to_score(options.positive, teacher_threshold), to_score(options.negative, teacher_threshold))


@dataclass(frozen=True)
class PseudoLabels:
    """What a teacher says of one micrograph: particles, and centres of which it is not sure.

    ``yx`` and ``ignored_yx`` are ``(n, 2)``, ``score`` and ``ignored_score`` ``(n,)``; pixels of the micrograph.
    """

    yx: FloatArray
    score: FloatArray
    ignored_yx: FloatArray
    ignored_score: FloatArray


def split_candidates(
    yx: FloatArray, score: FloatArray, thresholds: Thresholds, is_doubtful: NDArray[np.bool_]
) -> PseudoLabels:
    """Split a teacher's candidates, ``(n, 2)`` with scores ``(n,)``, at the two thresholds.

    A score equal to a threshold belongs above it. Candidates below ``thresholds.negative`` are in neither part: a
    student learns ground there. Those that are doubtful whatever their score, ``(n,)``, never become particles.
    """
    sure = (score >= thresholds.positive) & ~is_doubtful
    unsure = ~sure & (score >= thresholds.negative)
    return PseudoLabels(yx[sure], score[sure], yx[unsure], score[unsure])


@dataclass(frozen=True)
class Verdict:
    """Whether a student is kept, and why, in a clause that a person reads."""

    kept: bool
    reason: str


COMPARED: Final = {"average_precision": "average precision", "f1": "F1 at the threshold"}
"""Figures in which a student must not be worse; each is the mean over the held-out sets."""


def judge_student(student: Mapping[str, float], teacher: Mapping[str, float], tolerance: float) -> Verdict:
    """Decide whether a student takes its teacher's place: only if no figure of ``COMPARED`` fell by over ``tolerance``.

    ``student`` and ``teacher`` are ``validation.list_figures`` of the same micrographs. A figure that is not a number
    counts as worse.
    """
    changes, worse = [], []
    for figure, name in COMPARED.items():
        before, after = teacher[figure], student[figure]
        changes.append(f"{name} {before:.4f} → {after:.4f}")
        if not after >= before - tolerance:
            worse.append(changes[-1])
    if worse:
        return Verdict(False, f"worse than its teacher: {', '.join(worse)}")
    return Verdict(True, f"not worse than its teacher: {', '.join(changes)}")
