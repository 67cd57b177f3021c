"""Which candidates are more than noise and dirt explain: probabilities from numbers alone.

What is no particle gives much the same number of candidates an area on every sample, whatever the particles score. So
a data set that has several times as many candidates of some score as that shows particles there, even if they are so
faint that on another sample the same score would be noise. This is the local false discovery rate with an empirical
null (Efron 2004, J. Am. Stat. Assoc. 99, 96). What this module does not do: it knows nothing of how scores of particles
look (``evaluation.calibration`` does, and takes both together).
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d
from scipy.optimize import isotonic_regression

from relion_attn_picker.options import SCORE_FLOOR
from relion_attn_picker.picks import FloatArray

FloatVector = NDArray[np.float64]

BIN: Final = 0.05
"""Width in logits of the bins in which a data set's scores are counted."""

EDGES: Final = np.arange(np.log(SCORE_FLOOR / (1 - SCORE_FLOOR)), 9.3, BIN)
MIDDLES: Final = (EDGES[:-1] + EDGES[1:]) / 2

NOISE_SMOOTHING: Final = 3
"""Standard deviation in bins by which the numbers of wrong candidates are smoothed."""

SMOOTHING: Final = 2
"""The same for the probabilities of a data set."""

NOISE_SCORE: Final = 0.1
"""Nearly all candidates of a lower score are noise, whatever the sample: their number tells how much of it there is."""

MARGIN: Final = 1.2
"""Factor on the number of wrong candidates that is expected: samples differ, and a promise that is not kept costs more
than one that is exceeded. Of 1.0, 1.1, 1.2, 1.35 and 1.5, chosen on 71 simulated and real data sets: with less, noise
becomes particles where there are few; with more, faint particles stay noise."""


def logit(score: FloatArray | FloatVector) -> FloatVector:
    """Return log(s / (1 - s)) of scores, clipped to 1e-4 from 0 and from 1."""
    clipped = np.clip(score.astype(np.float64), 1e-4, 1 - 1e-4)
    return np.log(clipped / (1 - clipped))


def count_scores(score: FloatArray) -> FloatVector:
    """Return how many scores ``(n,)`` from ``SCORE_FLOOR`` on lie in each bin of ``EDGES``."""
    return np.histogram(logit(score[score >= SCORE_FLOOR]), EDGES)[0].astype(np.float64)


def measure_noise(wrong: Iterable[tuple[FloatArray, float]]) -> tuple[float, ...]:
    """Return the mean number of wrong candidates in each bin of ``EDGES``, per area of a particle.

    Parameters
    ----------
    wrong
        Of each labelled data set the scores of its wrong candidates, ``(n,)``, and the area of its micrographs in areas
        of a particle, π (diameter / 2)².
    """
    densities = [count_scores(score) / area for score, area in wrong]
    return tuple(gaussian_filter1d(np.mean(densities, axis=0), NOISE_SMOOTHING, mode="nearest").tolist())


def excess_probability(noise: tuple[float, ...], count: FloatVector, area: float) -> FloatVector:
    """Return the share of the candidates in each bin that noise does not explain; it never falls with the score.

    Parameters
    ----------
    noise
        See ``measure_noise``. Where there are more candidates below ``NOISE_SCORE`` than it says, all of it is taken so
        many times; where there are fewer, as among crowded particles, it stays.
    count
        Candidates of the data set in each bin.
    area
        Of its micrographs, in areas of a particle.
    """
    expected = np.array(noise) * area
    faint = slice(int(np.searchsorted(MIDDLES, logit(np.array([NOISE_SCORE]))[0])))
    expected *= MARGIN * max(1.0, count[faint].sum() / max(1.0, expected[faint].sum()))
    share = np.where(count > 0, 1 - expected / np.where(count > 0, count, 1.0), 0.0)
    rising = isotonic_regression(np.clip(share, -5, 1), weights=count + 1e-3).x
    smooth = gaussian_filter1d(rising, SMOOTHING, mode="nearest")
    return np.asarray(np.clip(smooth, 0, 1), dtype=np.float64)
