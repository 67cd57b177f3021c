"""Which candidates of a data set are picks, and what may be expected of them.

With calibrated scores, precision and recall at every cut follow from the scores alone: of picks with the probabilities
p, the mean of p is right, and the sum of p over all candidates is how many particles there are. What this module does
not do: it needs no truth, and particles that gave no candidate at all are not in its recall.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.errors import InputError
from relion_attn_picker.evaluation.likeness import Likeness, Sighting
from relion_attn_picker.evaluation.score_curve import ScoreCurve
from relion_attn_picker.evaluation.score_excess import FloatVector
from relion_attn_picker.inference.thresholds import choose_threshold
from relion_attn_picker.options import PickOptions
from relion_attn_picker.picks import FloatArray, is_junk, stack_appearance

BETA: Final = {"precision": 0.5, "balanced": 1.0, "recall": 2.0}
"""Mode → weight of recall against precision in the F measure that is highest at the cut (van Rijsbergen, Information
Retrieval, 1979, chapter 7)."""

NEAR_BEST: Final = 0.01
"""What is given up of a precision that cannot be had in full: the very best of it may be that of a single pick."""

NEAR_COUNT: Final = 0.02
"""Where a count that is asked for is missed by a larger share, it is told."""

LITTLE: Final = 0.03
"""Where the particles that the figures of merit promise would cover less than this share of the area, there may be none
at all, and their few candidates tell little of where the scores of particles lie. Promised are .001 to .005 of the area
of 18 simulated sessions in heavy dirt without any particle, .002 to .036 where particles cover .002 to .03 of it (but
for two that ``LEAST_PRECISION`` is for), and .041 and more beyond; of single micrographs the first scatter more, so
that the limit lies far above."""

LEAST_PRECISION: Final = 0.45
"""Where the best cut is expected to be no more precise than this, scores do not tell particles from noise: on clean and
nearly empty micrographs a hump of noise may pass for a sea of the faintest particles. Of .4, .45 and .5, chosen on 100
simulated sessions and four sets of real and simulated micrographs."""

SURE: Final = (0.9, 0.99)
"""What a candidate must reach on the one curve for all data sets where there is ``LITTLE`` or less precision than
``LEAST_PRECISION``: the probability that is fitted to scores of noise alone makes particles of the best of them. The
second, where there is ``LITTLE`` and hardly any reaches the first: it keeps out dirt, of which .98 let up to 4 picks a
megapixel pass in 18 sessions without a particle, .99 up to 2.3."""

HARDLY_ANY: Final = 0.015
"""Share of the candidates. Of those of 18 simulated sessions in heavy dirt without particles .004 to .010 reach the
first of ``SURE``; where particles cover .01 to .03 of the area, .020 to .034 do, in usual sessions .06 and more, in
faint ones fewer. Fewer particles than that cannot be told from heavy dirt by their number."""


@dataclass(frozen=True)
class DataSetScores:
    """The candidates of a data set.

    Parameters
    ----------
    score
        Their scores, corrected by likeness where it is known; those of noise included, ``(n,)``.
    n_micrographs
        That they are from.
    area
        Of these micrographs, as far as picks may lie there, in areas of a particle, π (diameter / 2)².
    is_kept
        Which of them are no more than the most picks that a micrograph may have, ``(n,)``; ``None``: all.
    """

    score: FloatArray
    n_micrographs: int
    area: float
    is_kept: NDArray[np.bool_] | None = None


@dataclass(frozen=True)
class Expectation:
    """Precision and recall that the calibrated scores of a data set promise of the picks at a cut."""

    precision: float
    recall: float


def correct_scores(likeness: Likeness | None, score: FloatArray, details: Mapping[str, FloatArray]) -> FloatArray:
    """Return scores corrected by ``likeness``; without it, or where nobody looked, as they are.

    The other parameters as in ``OperatingPoint.correct``.
    """
    appearance = stack_appearance(details)
    if likeness is None or appearance is None:
        return score
    return likeness.correct(Sighting(score, appearance), is_junk(score, details))


@dataclass(frozen=True)
class OperatingPoint:
    """Which candidates are picks.

    Parameters
    ----------
    threshold
        Lowest figure of merit of a pick, 0 to 1.
    reason
        Why it is there, in words for the user.
    curve
        Turns scores, corrected by likeness, into figures of merit; ``None``: they are these scores themselves.
    expected
        What the figures of merit promise, where they are probabilities of this data set.
    likeness
        Corrects the network's scores; ``None``: they stay as they are.
    """

    threshold: float
    reason: str
    curve: ScoreCurve | None = None
    expected: Expectation | None = None
    likeness: Likeness | None = None

    def correct(self, score: FloatArray, details: Mapping[str, FloatArray]) -> FloatArray:
        """Return the scores ``(n,)`` of all candidates of one micrograph, corrected by likeness.

        ``details`` tell what the candidates look like and what is wrong with them, by name, ``(n,)`` each.
        """
        return correct_scores(self.likeness, score, details)

    def merit(self, score: FloatArray) -> FloatArray:
        """Return the figures of merit ``(n,)`` of scores ``(n,)`` as ``correct`` gives them."""
        return score if self.curve is None else self.curve.probability(score)

    def judge(self, score: FloatArray, details: Mapping[str, FloatArray]) -> FloatArray:
        """Return the figures of merit ``(n,)`` of all candidates of one micrograph; parameters as in ``correct``."""
        return self.merit(self.correct(score, details))


@dataclass(frozen=True)
class ExpectedCurve:
    """Expected precision and recall at every cut, the highest first.

    Parameters
    ----------
    probability
        The different probabilities of the candidates, falling, ``(k,)``: a cut takes all that are equal, or none.
    count, precision, recall
        Of the candidates from each on, ``(k,)``.
    n_right
        Right ones that all of them promise.
    """

    probability: FloatVector
    count: NDArray[np.int64]
    precision: FloatVector
    recall: FloatVector
    n_right: float

    def f_measure(self, beta: float) -> FloatVector:
        """Return the expected F measure at every cut."""
        weighted = np.maximum(beta**2 * self.precision + self.recall, 1e-12)
        return np.asarray((1 + beta**2) * self.precision * self.recall / weighted, dtype=np.float64)

    def expectation(self, threshold: float) -> Expectation:
        """Return what is expected of the candidates from ``threshold`` on."""
        n_cuts = int((self.probability >= threshold).sum())
        if not n_cuts:
            return Expectation(float("nan"), 0.0)
        return Expectation(float(self.precision[n_cuts - 1]), float(self.recall[n_cuts - 1]))


def expect(probability: FloatArray) -> ExpectedCurve:
    """Return what calibrated probabilities ``(n,)`` of all candidates of a data set promise at every cut."""
    ordered = np.sort(probability.astype(np.float64))[::-1]
    last = np.flatnonzero(np.diff(ordered, append=-np.inf) < 0)
    count, right = last + 1, np.cumsum(ordered)[last]
    n_right = float(ordered.sum())
    return ExpectedCurve(ordered[last], count, right / count, right / max(n_right, 1e-12), n_right)


def first_point(own_threshold: float, options: PickOptions, curve: ScoreCurve | None) -> OperatingPoint:
    """Return the operating point for micrographs that are picked before all scores of their data set are there.

    Parameters
    ----------
    own_threshold
        The weights' own threshold on their scores.
    options
        What the user asked for.
    curve
        Of the figures of merit, if the weights have one.

    Raises
    ------
    InputError
        If the options need calibrated scores and there is no curve.
    """
    if curve is None and options.needs_probabilities:
        raise InputError(
            "A mode, a target precision or a target recall needs calibrated scores, and these weights have none: make "
            "them with attnpick calibrate, or give --threshold instead."
        )
    point = OperatingPoint(own_threshold, "the weights' own", curve)
    if options.threshold is not None:
        return replace(point, threshold=options.threshold, reason="as given")
    return replace(point, threshold=float(point.merit(np.array([own_threshold], dtype=np.float32))[0]))


def choose_point(
    scores: DataSetScores,
    own_threshold: float,
    options: PickOptions,
    curve: ScoreCurve | None,
    sure_scores: tuple[float, float] | None = None,
    likeness: Likeness | None = None,
) -> OperatingPoint:
    """Return the operating point for a data set.

    Parameters
    ----------
    scores
        See there.
    own_threshold, options
        As for ``first_point``.
    curve
        Of the figures of merit of this data set; without it nothing is expected.
    sure_scores
        Scores whose probabilities are ``SURE`` on data sets like the labelled ones: where the modes precision and
        balanced have to cut if this data set promises ``LITTLE``, or too little precision; nothing is expected then.
        Without them they are not kept from cutting lower.
    likeness
        What the scores are corrected by.

    Raises
    ------
    InputError
        As ``first_point``.
    """
    first = first_point(own_threshold, options, curve)
    probability = first.merit(scores.score)
    expected = expect(probability)
    if options.count_per_micrograph is not None:
        cut = _cut_by_count(expected, options.count_per_micrograph, scores.n_micrographs)
    elif options.target_precision is not None:
        cut = _cut_by_target(expected, expected.precision, options.target_precision, "precision")
    elif options.target_recall is not None:
        cut = _cut_by_target(expected, expected.recall, options.target_recall, "recall")
    elif options.threshold is not None or not options.fit_threshold:
        cut = first.threshold, first.reason
    elif curve is None:
        chosen = choose_threshold(scores.score, own_threshold)
        cut = chosen.value, chosen.reason
    else:
        cut = _cut_by_mode(expected, options.mode)
        if sure_scores is not None and options.mode != "recall":
            doubted = _raise_in_doubt(expected, cut, scores, curve, sure_scores)
            if doubted is not None:
                return OperatingPoint(*doubted, curve, likeness=likeness)
    promised = None if curve is None else _expect_of_picks(probability, scores.is_kept, cut[0])
    return OperatingPoint(*cut, curve, promised, likeness)


def _expect_of_picks(probability: FloatArray, is_kept: NDArray[np.bool_] | None, threshold: float) -> Expectation:
    """Return what is expected of the picks at a cut; particles that are left out as too many are missed."""
    every = expect(probability)
    if is_kept is None:
        return every.expectation(threshold)
    kept = expect(probability[is_kept])
    of_picks = kept.expectation(threshold)
    return replace(of_picks, recall=of_picks.recall * kept.n_right / max(every.n_right, 1e-12))


def _cut_by_mode(expected: ExpectedCurve, mode: str) -> tuple[float, str]:
    if not len(expected.probability):
        return 0.5, "there is no candidate"
    best = int(np.argmax(expected.f_measure(BETA[mode])))
    return float(expected.probability[best]), f"mode {mode}: the highest expected F{BETA[mode]:g} of this data set"


def _raise_in_doubt(
    expected: ExpectedCurve,
    cut: tuple[float, str],
    scores: DataSetScores,
    curve: ScoreCurve,
    sure_scores: tuple[float, float],
) -> tuple[float, str] | None:
    """Return a cut, and why, for a data set whose promises are not to be relied on; ``None`` if they may be."""
    if scores.area <= 0:  # the border leaves no place for a pick
        return None
    covered = expected.n_right / scores.area
    precision = expected.expectation(cut[0]).precision
    place = 0
    if covered < LITTLE:
        place = int((scores.score >= sure_scores[0]).mean() < HARDLY_ANY) if len(scores.score) else 1
        doubt = (
            "these micrographs seem to hold little or nothing to pick: what the scores promise would cover "
            f"{covered:.1%} of their area"
        )
    elif precision < LEAST_PRECISION:
        doubt = (
            "the scores hardly tell particles from noise here, if there are any: of the picks of the best cut "
            f"{precision:.0%} would be right"
        )
    else:
        return None
    merit = curve.probability(np.array([sure_scores[place]], dtype=np.float32))
    if merit[0] <= cut[0]:
        return cut[0], f"{cut[1]}, but {doubt}"
    return float(merit[0]), f"raised, as {doubt}; picks must score as what is right with {SURE[place]:g} elsewhere"


def _cut_by_target(expected: ExpectedCurve, figure: FloatVector, target: float, name: str) -> tuple[float, str]:
    """Return the cut with an expected figure of ``target``, or else the most picks that come near the best."""
    if not len(figure):
        return 0.5, "there is no candidate"
    best = float(figure.max())
    reason = f"an expected {name} of {target:g}"
    if best < target:
        reason = (
            f"no cut is expected to reach a {name} of {target:g}: the best that can be had is {best:.4f}, and this is "
            f"the cut with the most picks within {NEAR_BEST:g} of it"
        )
    enough = np.flatnonzero(figure >= (target if best >= target else best - NEAR_BEST))
    place = enough[-1] if name == "precision" else enough[0]
    return float(expected.probability[place]), reason


def _cut_by_count(expected: ExpectedCurve, count: float, n_micrographs: int) -> tuple[float, str]:
    wanted = max(1, round(count * n_micrographs))
    if not len(expected.probability):
        return 0.5, "there is no candidate"
    if expected.count[-1] < wanted:
        found = f"{expected.count[-1] / max(1, n_micrographs):.3g}"
        return float(expected.probability[-1]), f"all candidates: there are only {found} a micrograph, not {count:g}"
    nearest = int(np.abs(expected.count - wanted).argmin())
    reason = f"{count:g} picks a micrograph on average"
    if abs(expected.count[nearest] - wanted) > NEAR_COUNT * wanted:
        found = f"{expected.count[nearest] / max(1, n_micrographs):.3g}"
        reason = f"{found} picks a micrograph on average, as near to {count:g} as candidates of equal scores allow"
    return float(expected.probability[nearest]), reason
