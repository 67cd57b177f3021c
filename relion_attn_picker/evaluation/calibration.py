"""From scores to probabilities: of the picks near 0.8, about 80 % shall be right, on data sets without any truth too.

One network scores the particles of one sample round .8 and those of another round .4, so that no fixed curve turns
scores into probabilities. A ``ScoreModel``, learnt from labelled sets, holds what such curves have in common: the
shapes that the logits of right and of wrong candidates have, and how far the places, widths and numbers of the two
vary from set to set. ``adapt`` finds the most probable places for the scores of one data set (a mixture of two
components with a Gaussian prior on its parameters, maximum a posteriori: Bishop, Pattern Recognition and Machine
Learning, 2006, sections 9.2 and 3.3), and the mixture's ratio is the probability (its section 4.2). It knows particles
by how they score elsewhere; those that are fainter than any it learnt from are found by ``evaluation.score_excess``,
which asks whether there are more candidates than noise gives, and the two are averaged.

What this module does not do: it finds no candidates and chooses no threshold (``inference.operating_point`` does).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import minimize

from relion_attn_picker.errors import InputError
from relion_attn_picker.evaluation.score_excess import (
    BIN,
    EDGES,
    MIDDLES,
    FloatVector,
    count_scores,
    excess_probability,
    logit,
    measure_noise,
)
from relion_attn_picker.options import SCORE_FLOOR
from relion_attn_picker.picks import FloatArray

SHAPE_BIN: Final = 0.1
RIGHT_EDGES: Final = np.linspace(-14, 8, 221)
"""Logits of right candidates, less their median, over their spread."""

WRONG_EDGES: Final = np.linspace(-6, 6, 121)
"""Logarithms of how far the logits of wrong candidates lie above ``SCORE_FLOOR``'s, less their mean, over their
standard deviation: dirt on little noise falls off steadily, faint noise alone has a hump."""

FLOOR: Final = (1e-4, 1e-5)
"""Density that the shapes of right and of wrong have everywhere: nothing is impossible."""

MIN_OF_A_KIND: Final = 20
"""A set with fewer right or fewer wrong candidates than this teaches no shape."""

TYPICAL_SPREAD: Final = (0.4, 0.5, 0.4, 0.2, 1.3)
"""Standard deviations of the parameters between data sets, believed where few labelled sets tell them; measured over 50
simulated and real sets (median and log spread of right ones, place and log width of wrong ones, log ratio of their
numbers)."""

TYPICAL_WORTH: Final = 6
"""As many labelled sets as ``TYPICAL_SPREAD`` counts for."""

FAINTEST: Final = -1.0
"""Lowest logit (score .27) that the median of right candidates may have: what scores lower cannot be told from noise,
which has its hump there."""

EVIDENCE: Final = 250
"""However many candidates a data set has, they count as this many: its scores never have quite the model's shapes, and
the prior must not be drowned (of 125, 250, 500, 1000 and 10,000, the best on left-out proteins and simulated sets)."""

KNOTS: Final = np.round(np.concatenate([np.arange(0.05, 0.98, 0.02), [0.98, 0.99, 0.995, 0.998, 0.999, 0.9997]]), 4)
"""Scores between which the probability is interpolated; long trained networks score nearly all particles above .99."""

CURVE_DECIMALS: Final = 6
"""Of the probabilities of a curve: one that was saved and read again gives the same figures of merit."""

SLOPES: Final = (0.1, 10.0)
"""Least and greatest slope of the one curve for all sets: where no score of a wrong candidate reaches that of a right
one, the likeliest slope is infinite."""

EXCESS_WEIGHT: Final = 0.45
"""Weight of the excess against the mixture in the mean of their logits: with less, particles too faint for the mixture
are left (the F1 of ten faint sessions lies .059 below the best cut's with .4, .053 with .45, .040 with .55); with more,
real images with incomplete labels or filters, which have more wrong candidates than simulated ones, are trusted too far
(calibration error of β-galactosidase left out .067 with .4, .073 with .45, .098 with .55)."""

MOST: Final = 0.998
"""Highest probability on a data set."""

HIGHEST_ON_CURVE: Final = 0.9999
"""Highest one on the curve for all data sets, but for the steps by which it rises: 1 is no probability of a pick."""


@dataclass(frozen=True)
class Sample:
    """The candidates of one labelled data set.

    Parameters
    ----------
    score, is_right
        Scores, and which are right, ``(n,)`` each.
    area
        Of its micrographs, in areas of a particle, π (diameter / 2)².
    """

    score: FloatArray
    is_right: NDArray[np.bool_]
    area: float


@dataclass(frozen=True)
class ScoreModel:
    """What scores of right and of wrong candidates look like, learnt from labelled data sets.

    Parameters
    ----------
    right, wrong
        Densities over ``RIGHT_EDGES`` and ``WRONG_EDGES``.
    mean, covariance
        Of a data set's parameters: median and log spread of the logits of right candidates; mean, and log of the
        standard deviation, of the log heights of wrong ones (``WRONG_EDGES``); log of the ratio of the numbers of both;
        ``(5,)`` and ``(5, 5)``.
    slope, offset
        Of the one curve for all sets, probability = σ(slope · logit + offset) (Platt scaling; Platt 1999, Advances in
        Large Margin Classifiers, 61).
    n_sets
        Number of labelled sets.
    noise
        See ``score_excess.measure_noise``.
    """

    right: tuple[float, ...]
    wrong: tuple[float, ...]
    mean: tuple[float, ...]
    covariance: tuple[tuple[float, ...], ...]
    slope: float
    offset: float
    n_sets: int
    noise: tuple[float, ...]

    def __post_init__(self) -> None:
        shapes = (len(self.right), len(self.wrong), len(self.mean), np.shape(self.covariance), len(self.noise))
        if shapes != (len(RIGHT_EDGES) - 1, len(WRONG_EDGES) - 1, 5, (5, 5), len(MIDDLES)):
            raise ValueError(f"The score model's arrays have {shapes} elements.")
        if not self.slope > 0:
            raise ValueError(f"slope is {self.slope!r}: expected a positive number; higher scores must mean more.")

    def logit(self, score: FloatArray) -> FloatVector:
        """Return calibrated logits of scores, with the one curve for all data sets."""
        return self.slope * logit(score) + self.offset

    def probability(self, score: FloatArray) -> FloatVector:
        """Return the probability that candidates with these scores are right, on a data set like the labelled ones."""
        return 1 / (1 + np.exp(-self.logit(score)))

    def score_at(self, probability: float) -> float:
        """Return the score that ``probability`` gives this probability."""
        return float(1 / (1 + np.exp((self.offset - np.log(probability / (1 - probability))) / self.slope)))

    def curve(self) -> ScoreCurve:
        """Return ``probability`` as a curve."""
        value = tuple(np.minimum(self.probability(KNOTS), HIGHEST_ON_CURVE).tolist())
        return ScoreCurve(tuple(KNOTS.tolist()), value if _is_rising(value) else _round_rising(value))

    def to_dict(self) -> dict[str, Any]:
        """Return the model as what JSON can hold."""
        return {
            "right": [round(value, 5) for value in self.right],
            "wrong": [round(value, 5) for value in self.wrong],
            "mean": list(self.mean),
            "covariance": [list(row) for row in self.covariance],
            "slope": self.slope,
            "offset": self.offset,
            "n_sets": self.n_sets,
            "noise": [round(value, 7) for value in self.noise],
        }

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> ScoreModel:
        """Rebuild a model from ``to_dict``'s record.

        Raises
        ------
        ValueError, KeyError, TypeError
            If a field is missing or misshapen.
        """
        return cls(
            right=tuple(map(float, record["right"])),
            wrong=tuple(map(float, record["wrong"])),
            mean=tuple(map(float, record["mean"])),
            covariance=tuple(tuple(map(float, row)) for row in record["covariance"]),
            slope=float(record["slope"]),
            offset=float(record["offset"]),
            n_sets=int(record["n_sets"]),
            noise=tuple(map(float, record["noise"])),
        )


@dataclass(frozen=True)
class ScoreCurve:
    """The probability of being right by score: straight lines between knots, rising everywhere."""

    score: tuple[float, ...]
    value: tuple[float, ...]

    def __post_init__(self) -> None:
        is_rising = _is_rising(self.score) and _is_rising(self.value)
        if len(self.score) != len(self.value) or len(self.score) < 2 or not is_rising:
            raise ValueError("A curve of scores needs two knots or more, rising in score and in probability.")

    def probability(self, score: FloatArray) -> FloatArray:
        """Return the probability ``(n,)`` that candidates with these scores ``(n,)`` are right."""
        knots, values = (0.0, *self.score, 1.0), (0.0, *self.value, (1.0 + 3 * self.value[-1]) / 4)
        result: FloatArray = np.interp(score, knots, values).astype(np.float32)
        return result

    def to_dict(self) -> dict[str, list[float]]:
        """Return the curve as what JSON can hold; ``from_dict`` rebuilds it."""
        return {"score": list(self.score), "value": list(_round_rising(self.value))}

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> ScoreCurve:
        """Rebuild a curve from ``to_dict``'s record, or from one of earlier versions, whose rounding made values equal.

        Raises
        ------
        ValueError, KeyError, TypeError
            If a field is missing or misshapen.
        """
        score, value = tuple(record["score"]), tuple(record["value"])
        has_equals = not _is_rising(value) and bool(np.all(np.diff(value) >= 0))
        return cls(score, _round_rising(value) if has_equals else value)


def _is_rising(values: Sequence[float]) -> bool:
    return bool(np.all(np.diff(values) > 0))


def _round_rising(values: Sequence[float]) -> tuple[float, ...]:
    """Return probabilities that never fall, rounded to ``CURVE_DECIMALS`` so that each is above the one before.

    Those that rounding makes equal are moved upwards by its steps, and where they would pass 1, downwards.
    """
    unit = 10**CURVE_DECIMALS
    place, order = np.rint(np.asarray(values) * unit), np.arange(len(values))
    lowest_first = np.maximum.accumulate(place - order) + order
    highest = np.minimum(lowest_first, unit - order[::-1])
    return tuple(round(float(each) / unit, CURVE_DECIMALS) for each in highest)


def fit_score_model(samples: Sequence[Sample]) -> ScoreModel:
    """Learn a score model from labelled data sets, each of which counts the same.

    Raises
    ------
    InputError
        If no set has enough right and wrong candidates.
    """
    logits = [
        (logit(each.score[kept]), each.is_right[kept]) for each in samples for kept in [each.score >= SCORE_FLOOR]
    ]
    usable = [(x, right) for x, right in logits if min(right.sum(), (~right).sum()) >= MIN_OF_A_KIND]
    if not usable:
        found = max((int(min(right.sum(), (~right).sum())) for _, right in logits), default=0)
        raise InputError(
            f"The labelled micrographs give {found} right or wrong candidates of the rarer kind: expected "
            f"{MIN_OF_A_KIND} or more of each to calibrate scores; label more particles or more micrographs."
        )
    parameters = np.array([_describe(x, right) for x, right in usable])
    right, wrong = _average_shapes(usable, parameters)
    typical = np.diag(np.square(TYPICAL_SPREAD))
    deviation = parameters - parameters.mean(axis=0)
    covariance = (deviation.T @ deviation + TYPICAL_WORTH * typical) / (len(usable) - 1 + TYPICAL_WORTH)
    slope, offset = _fit_curve(usable)
    return ScoreModel(
        right=tuple(right.tolist()),
        wrong=tuple(wrong.tolist()),
        mean=tuple(parameters.mean(axis=0).tolist()),
        covariance=tuple(tuple(row) for row in covariance.tolist()),
        slope=slope,
        offset=offset,
        n_sets=len(usable),
        noise=measure_noise((each.score[~each.is_right], each.area) for each in samples),
    )


def _describe(x: FloatVector, is_right: NDArray[np.bool_]) -> FloatVector:
    """Return the five parameters of a labelled set."""
    right, wrong = x[is_right], x[~is_right]
    quartiles = np.quantile(right, [0.25, 0.75])
    spread = max(BIN, float(quartiles[1] - quartiles[0]) / 1.349)
    height = _log_height(wrong)
    width = max(BIN, float(height.std()))
    return np.array([np.median(right), np.log(spread), height.mean(), np.log(width), np.log(len(right) / len(wrong))])


def _log_height(x: FloatVector) -> FloatVector:
    """Return the logarithm of how far logits lie above the lowest, from the middle of the lowest bin."""
    return np.asarray(np.log(x - EDGES[0] + BIN / 2), dtype=np.float64)


def _average_shapes(
    samples: Sequence[tuple[FloatVector, NDArray[np.bool_]]], parameters: FloatVector
) -> tuple[FloatVector, FloatVector]:
    """Return the mean densities of standardised logits of right and of wrong candidates."""
    right, wrong = np.zeros(len(RIGHT_EDGES) - 1), np.zeros(len(WRONG_EDGES) - 1)
    for (x, is_right), (median, log_spread, place, log_width, _) in zip(samples, parameters, strict=True):
        right += _density((x[is_right] - median) / np.exp(log_spread), RIGHT_EDGES)
        wrong += _density((_log_height(x[~is_right]) - place) / np.exp(log_width), WRONG_EDGES)
    right = gaussian_filter1d(right / len(samples), 2.5)
    wrong = gaussian_filter1d(wrong / len(samples), 1.5, mode="nearest")
    return right + FLOOR[0], wrong + FLOOR[1]


def _density(values: FloatVector, edges: NDArray[np.floating[Any]]) -> FloatVector:
    count = np.histogram(values, edges)[0]
    return np.asarray(count / (max(1, count.sum()) * SHAPE_BIN), dtype=np.float64)


def _fit_curve(samples: Sequence[tuple[FloatVector, NDArray[np.bool_]]]) -> tuple[float, float]:
    """Return slope and offset of the logistic curve of least mean cross-entropy over the sets."""

    def cross_entropy(values: FloatVector) -> float:
        losses = [
            np.logaddexp(0, -(2.0 * right - 1) * (_slope(values[0]) * x + values[1])).mean() for x, right in samples
        ]
        return float(np.mean(losses))

    log_slope, offset = minimize(cross_entropy, np.array([0.7, 0.0]), method="Nelder-Mead").x
    return _slope(log_slope), float(offset)


def _slope(log_slope: float) -> float:
    return float(np.exp(np.clip(log_slope, *np.log(SLOPES))))


def adapt(model: ScoreModel, score: FloatArray, area: float) -> ScoreCurve:
    """Return the curve of probabilities for a data set with these scores of candidates, without any truth.

    Parameters
    ----------
    model
        Of the network that gave the scores.
    score
        Scores of all candidates of the data set from ``SCORE_FLOOR`` on, ``(n,)``, those of noise included.
    area
        Of its micrographs, in areas of a particle, π (diameter / 2)².
    """
    count = count_scores(score)
    if not count.any():
        return model.curve()
    mixture = _fit_mixture(model, count)
    excess = _bounded_logit(excess_probability(model.noise, count, area))
    both = (1 - EXCESS_WEIGHT) * _bounded_logit(mixture) + EXCESS_WEIGHT * excess
    return _rising_curve(1 / (1 + np.exp(-both)))


def _bounded_logit(probability: FloatVector) -> FloatVector:
    return logit(np.clip(probability, 0, MOST))


def _fit_mixture(model: ScoreModel, count: FloatVector) -> FloatVector:
    """Return the share of right ones among the candidates of each bin in the likeliest mixture; it never falls."""
    weighted = count * min(1.0, EVIDENCE / count.sum())
    mean, precision = np.array(model.mean), np.linalg.inv(np.array(model.covariance))

    def cost(free: FloatVector) -> float:
        parameters = _bounded(free)
        right, wrong = _components(model, parameters)
        deviation = parameters - mean
        return float(-(weighted * np.log(right + wrong)).sum() + deviation @ precision @ deviation / 2)

    starts = [mean + np.array([shift, 0.0, 0.0, 0.0, 0.0]) for shift in (0.0, -1.0, 0.7)]
    tolerance = {"xatol": 0.005, "fatol": 0.01, "maxiter": 800}
    fits = [minimize(cost, start, method="Nelder-Mead", options=tolerance) for start in starts]
    right, wrong = _components(model, _bounded(min(fits, key=lambda fit: float(fit.fun)).x))
    return _hold_top(right / (right + wrong))


def _bounded(parameters: FloatVector) -> FloatVector:
    """Return the parameters with a median of at least ``FAINTEST``."""
    return np.concatenate([[max(parameters[0], FAINTEST)], parameters[1:]])


def _components(model: ScoreModel, parameters: FloatVector) -> tuple[FloatVector, FloatVector]:
    """Return the densities of right and of wrong candidates over ``MIDDLES``; together they sum to one."""
    median, log_spread, place, log_width, log_ratio = parameters
    height = _log_height(MIDDLES)
    z = (MIDDLES - median) / np.exp(log_spread)
    u = (height - place) / np.exp(log_width)
    right = np.interp(z, (RIGHT_EDGES[:-1] + RIGHT_EDGES[1:]) / 2, model.right, FLOOR[0] / 10, FLOOR[0] / 10)
    wrong = np.interp(u, (WRONG_EDGES[:-1] + WRONG_EDGES[1:]) / 2, model.wrong, FLOOR[1] / 10, FLOOR[1] / 10)
    wrong = wrong / np.exp(height)
    share = 1 / (1 + np.exp(-log_ratio))
    return share * right / right.sum(), (1 - share) * wrong / wrong.sum()


def _hold_top(ratio: FloatVector) -> FloatVector:
    """Return shares that never fall: beyond their top they stay there."""
    top = int(np.argmax(ratio))
    held = np.concatenate([ratio[: top + 1], np.full(len(ratio) - top - 1, ratio[top])])
    return np.asarray(np.maximum.accumulate(held), dtype=np.float64)


def _rising_curve(ratio: FloatVector) -> ScoreCurve:
    """Return probabilities of ``MIDDLES`` that never fall as a curve that rises."""
    value = np.interp(np.log(KNOTS / (1 - KNOTS)), MIDDLES, ratio)
    slope = np.linspace(0, 1e-3, len(KNOTS))
    value = np.round(np.clip(value, 1e-4, MOST) * (1 - 1e-3) + slope, CURVE_DECIMALS)
    return ScoreCurve(tuple(KNOTS.tolist()), tuple(value.tolist()))
