"""What scores of right and of wrong candidates look like, learnt from labelled data sets.

One network scores the particles of one sample round .8 and those of another round .4. A ``ScoreModel`` holds what the
scores of all of them have in common: the shapes that the logits of right and of wrong candidates have, and how far the
places, widths and numbers of the two vary from set to set. What this module does not do: it knows no data set without
truth (``evaluation.calibration`` fits the model to one).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import minimize
from scipy.special import expit

from relion_attn_picker.errors import InputError
from relion_attn_picker.evaluation.score_curve import HIGHEST_ON_CURVE, KNOTS, ScoreCurve, is_rising, round_rising
from relion_attn_picker.evaluation.score_excess import BIN, EDGES, MIDDLES, FloatVector, logit, measure_noise
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

SLOPES: Final = (0.1, 10.0)
"""Least and greatest slope of the one curve for all sets: where no score of a wrong candidate reaches that of a right
one, the likeliest slope is infinite."""


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
        return np.asarray(expit(self.logit(score)), dtype=np.float64)

    def score_at(self, probability: float) -> float:
        """Return the score that ``probability`` gives this probability."""
        return float(1 / (1 + np.exp((self.offset - np.log(probability / (1 - probability))) / self.slope)))

    def curve(self) -> ScoreCurve:
        """Return ``probability`` as a curve."""
        value = tuple(np.minimum(self.probability(KNOTS), HIGHEST_ON_CURVE).tolist())
        return ScoreCurve(tuple(KNOTS.tolist()), value if is_rising(value) else round_rising(value))

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
    height = log_height(wrong)
    width = max(BIN, float(height.std()))
    return np.array([np.median(right), np.log(spread), height.mean(), np.log(width), np.log(len(right) / len(wrong))])


def log_height(x: FloatVector) -> FloatVector:
    """Return the logarithm of how far logits lie above the lowest, from the middle of the lowest bin."""
    return np.asarray(np.log(x - EDGES[0] + BIN / 2), dtype=np.float64)


def _average_shapes(
    samples: Sequence[tuple[FloatVector, NDArray[np.bool_]]], parameters: FloatVector
) -> tuple[FloatVector, FloatVector]:
    """Return the mean densities of standardised logits of right and of wrong candidates."""
    right, wrong = np.zeros(len(RIGHT_EDGES) - 1), np.zeros(len(WRONG_EDGES) - 1)
    for (x, is_right), (median, log_spread, place, log_width, _) in zip(samples, parameters, strict=True):
        right += _density((x[is_right] - median) / np.exp(log_spread), RIGHT_EDGES)
        wrong += _density((log_height(x[~is_right]) - place) / np.exp(log_width), WRONG_EDGES)
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
