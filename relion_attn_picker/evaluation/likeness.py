"""How like the surest candidates of its data set each candidate looks, and what its score loses by unlikeness.

A network judges every candidate by itself. But the particles of one sample have about the same mass, and on one
micrograph about the same contrast: what is several times fainter or denser than the surest candidates there, or rougher
inside, is seldom one of them, however well it scores. How far the surest scatter tells how much unlikeness is usual:
the measure is the Mahalanobis distance (Mahalanobis 1936, Proc. Natl. Inst. Sci. India 2, 49) from their middle, which
on each micrograph is drawn towards its own surest. No truth is needed. What this module does not do: it measures no
image (``imaging.appearance`` does).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from relion_attn_picker.evaluation.logits import to_logits
from relion_attn_picker.picks import APPEARANCE, FloatArray

Vectors = NDArray[np.float64]

WEIGHT: Final = 0.4
"""Logits that a score loses for each standard deviation by which a candidate is more unlike the surest than these
usually are. Of .2 to .6, chosen on 40 simulated sessions: from .35 to .5 average precision gains .021 everywhere."""

MOST_UNLIKE: Final = 2.5
"""Standard deviations of it that count at most: no score loses more than a logit, for a sample may have rare views."""

SURE_SHARE: Final = 0.7
"""Share of the candidates that are rather right than wrong which count as the surest: of the rest many are wrong."""

LEAST_SURE: Final = 30
"""With fewer of them, nothing is told of how the particles look, and no score is changed."""

OTHERS: Final = 10
"""As many candidates of a micrograph as the data set's middle counts for against its own."""

FARTHEST: Final = 5.0
"""Standard deviations beyond which no figure is counted as farther: it may be a dead pixel's."""

SHRINKAGE: Final = 0.2
"""Weight of no correlation at all against that of the surest candidates, which may be few."""

OUTLIER: Final = 3.0
"""Standard deviations to which the surest are drawn before their correlation is computed: some are no particles."""

TO_DEVIATION: Final = 1.4826
"""Standard deviation over median absolute deviation of normally distributed numbers."""


@dataclass(frozen=True)
class Sighting:
    """Candidates of one micrograph: ``score`` ``(n,)``, and ``appearance`` ``(n, 3)``, one column for each name."""

    score: FloatArray
    appearance: FloatArray


@dataclass(frozen=True)
class Likeness:
    """What the surest candidates of a data set look like, and how far they scatter.

    Parameters
    ----------
    sure_score
        Lowest score of one of them.
    middle, spread
        Their medians, and the robust standard deviations from each micrograph's middle, one for each of ``APPEARANCE``.
    precision
        Inverse of the correlation of these deviations.
    usual
        The median of their own distances: what is no more unlike loses nothing.
    """

    sure_score: float
    middle: tuple[float, ...]
    spread: tuple[float, ...]
    precision: tuple[tuple[float, ...], ...]
    usual: float

    def __post_init__(self) -> None:
        count = len(APPEARANCE)
        if (len(self.middle), len(self.spread), np.shape(self.precision)) != (count, count, (count, count)):
            raise ValueError(f"A likeness needs {count} figures, {', '.join(APPEARANCE)}, and their precision.")
        if not all(each > 0 for each in self.spread):
            raise ValueError(f"spread is {self.spread}: expected positive numbers.")

    def correct(self, seen: Sighting, is_refused: NDArray[np.bool_] | bool = False) -> FloatArray:
        """Return the scores ``(n,)`` of all candidates of one micrograph, less what they lose by unlikeness.

        ``is_refused``, ``(n,)``, tells which of them are not among the surest, whatever their score.
        """
        own = seen.appearance[(seen.score >= self.sure_score) & ~np.asarray(is_refused)]
        deviation = seen.appearance - _draw_to(np.array(self.middle), own)
        distance = _distance(deviation / np.array(self.spread), np.array(self.precision))
        loss = WEIGHT * np.clip(distance - self.usual, 0, MOST_UNLIKE)
        corrected: FloatArray = expit(to_logits(seen.score) - loss).astype(np.float32)
        return corrected

    def to_dict(self) -> dict[str, Any]:
        """Return the likeness as what JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: Mapping[str, Any]) -> Likeness:
        """Rebuild a likeness from ``to_dict``'s record.

        Raises
        ------
        ValueError, KeyError, TypeError
            If a field is missing or misshapen.
        """
        return cls(
            float(record["sure_score"]),
            tuple(map(float, record["middle"])),
            tuple(map(float, record["spread"])),
            tuple(tuple(map(float, row)) for row in record["precision"]),
            float(record["usual"]),
        )


def fit_likeness(
    micrographs: Sequence[Sighting], is_likely: Callable[[FloatArray], NDArray[np.bool_]]
) -> Likeness | None:
    """Learn what the surest candidates of a data set look like.

    Parameters
    ----------
    micrographs
        All candidates that nothing speaks against.
    is_likely
        Tells which scores ``(n,)`` are those of candidates that are rather right than wrong, ``(n,)``: it rises.

    Returns
    -------
    Likeness
        Or ``None`` where the surest are fewer than ``LEAST_SURE``.
    """
    score = np.concatenate([np.zeros(0, dtype=np.float32), *(each.score for each in micrographs)])
    likely = score[is_likely(score)]
    if not len(likely):
        return None
    sure_score = float(np.quantile(likely, 1 - SURE_SHARE, method="higher"))
    surest = [each.appearance[each.score >= sure_score].astype(np.float64) for each in micrographs]
    pooled = np.concatenate([np.zeros((0, len(APPEARANCE))), *surest])
    if len(pooled) < LEAST_SURE:
        return None
    middle = np.median(pooled, axis=0)
    deviation = np.concatenate([own - _draw_to(middle, own) for own in surest])
    spread = np.maximum(TO_DEVIATION * np.median(np.abs(deviation), axis=0), 1e-3)
    scaled = deviation / spread
    correlation = np.cov(np.clip(scaled, -OUTLIER, OUTLIER).T)
    precision = np.linalg.inv((1 - SHRINKAGE) * correlation + SHRINKAGE * np.eye(len(APPEARANCE)))
    return Likeness(
        sure_score,
        tuple(middle.tolist()),
        tuple(spread.tolist()),
        tuple(tuple(row) for row in precision.tolist()),
        float(np.median(_distance(scaled, np.asarray(precision, dtype=np.float64)))),
    )


def _draw_to(middle: Vectors, own: FloatArray | Vectors) -> Vectors:
    """Return the middle of a micrograph's surest candidates ``own`` ``(k, 3)``, drawn towards the data set's."""
    if not len(own):
        return middle
    share = len(own) / (len(own) + OTHERS)
    return np.asarray(share * np.median(own, axis=0) + (1 - share) * middle, dtype=np.float64)


def _distance(scaled: Vectors, precision: Vectors) -> Vectors:
    """Return the Mahalanobis distances ``(n,)`` of deviations ``(n, 3)`` in standard deviations."""
    bounded = np.clip(scaled, -FARTHEST, FARTHEST)
    return np.asarray(np.sqrt(np.einsum("ij,jk,ik->i", bounded, precision, bounded)), dtype=np.float64)
