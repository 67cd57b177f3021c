"""Pixel figures: the thresholded probability map against discs of the particle diameter.

These are the figures of segmentation studies, always reported as pixel figures: they say how well a map covers the
particles, not how many particles are found. The ROC-AUC comes from the probabilities themselves; computed from a
thresholded mask it would collapse to a function of the confusion counts.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.evaluation.matching import Points
from relion_attn_picker.evaluation.metrics import divide

BoolImage = NDArray[np.bool_]

HISTOGRAM_BINS = 4096
LARGEST_LOGIT = 17.0  # float32 probabilities below 1 have logits below 16.7


@dataclass(frozen=True)
class PixelScores:
    """Precision, recall, F1 and IoU of the thresholded maps, ROC-AUC of the probabilities; NaN where undefined."""

    precision: float
    recall: float
    f1: float
    iou: float
    roc_auc: float


class PixelCounts:
    """Pixel counts summed over micrographs, in memory that does not grow with their number.

    The confusion counts at the threshold are exact. The ROC-AUC is computed from histograms of the probabilities in
    4096 bins of equal width in logit, so that maps whose probabilities crowd near 0 or 1 keep their order.

    Parameters
    ----------
    threshold
        A pixel whose probability is at least this is predicted to lie on a particle.
    """

    def __init__(self, threshold: float) -> None:
        self.threshold = threshold
        self._true_positive = 0
        self._false_positive = 0
        self._false_negative = 0
        self._positives = np.zeros(HISTOGRAM_BINS, dtype=np.int64)
        self._negatives = np.zeros(HISTOGRAM_BINS, dtype=np.int64)

    def add(self, probability: NDArray[Any], truth: BoolImage) -> None:
        """Add one map.

        Parameters
        ----------
        probability
            Probabilities in [0, 1], shape ``(h, w)``.
        truth
            True on the particles, shape ``(h, w)``: see ``draw_discs``.

        Raises
        ------
        ValueError
            If the shapes differ or a probability lies outside [0, 1].
        """
        if probability.shape != truth.shape:
            raise ValueError(f"The map has shape {probability.shape}, the truth {truth.shape}: expected the same.")
        if probability.size and not (probability.min() >= 0 and probability.max() <= 1):
            raise ValueError("The map holds values outside [0, 1] or NaN: expected probabilities.")
        predicted = probability >= self.threshold
        self._true_positive += int(np.count_nonzero(predicted & truth))
        self._false_positive += int(np.count_nonzero(predicted & ~truth))
        self._false_negative += int(np.count_nonzero(~predicted & truth))
        with np.errstate(divide="ignore"):
            bins = bin_logits(np.log(probability) - np.log1p(-probability), HISTOGRAM_BINS)
        self._positives += np.bincount(bins[truth], minlength=HISTOGRAM_BINS)
        self._negatives += np.bincount(bins[~truth], minlength=HISTOGRAM_BINS)

    def scores(self) -> PixelScores:
        """Compute the figures of all maps added so far."""
        hit, false_alarm, miss = self._true_positive, self._false_positive, self._false_negative
        return PixelScores(
            precision=divide(hit, hit + false_alarm),
            recall=divide(hit, hit + miss),
            f1=divide(2 * hit, 2 * hit + false_alarm + miss),
            iou=divide(hit, hit + false_alarm + miss),
            roc_auc=_area_under_roc(self._positives, self._negatives),
        )


def draw_discs(shape: tuple[int, int], yx: Points, radius: float) -> BoolImage:
    """Draw filled discs: True on every pixel whose centre is at most ``radius`` from one of the points.

    Parameters
    ----------
    shape
        Height and width of the image, pixels.
    yx
        Centres, shape ``(n, 2)``, pixels of that image; they may lie outside it.
    radius
        Radius, pixels of that image.

    Returns
    -------
    ndarray of bool, shape ``(h, w)``
        The union of the discs.
    """
    image = np.zeros(shape, dtype=np.bool_)
    for y, x in np.asarray(yx, dtype=np.float64):
        top, bottom = _reach(y, radius, shape[0])
        left, right = _reach(x, radius, shape[1])
        from_y, from_x = np.arange(top, bottom)[:, None] - y, np.arange(left, right) - x
        image[top:bottom, left:right] |= from_y * from_y + from_x * from_x <= radius * radius
    return image


def covered_fraction(shape: tuple[int, int], yx: Points, radius: float, cells_per_radius: float = 10.0) -> float:
    """Compute the fraction of an image that lies within ``radius`` of one of the points, to about a hundredth.

    It is the precision that random points can reach at most, at ``radius`` as the match radius; what a number of them
    reaches, when a particle matches one only, ``expect_random_matches`` tells. Parameters as in ``draw_discs``; the
    discs are drawn on a grid of ``cells_per_radius``, at finest the image's own.
    """
    spacing = max(1.0, radius / cells_per_radius)
    grid = (int(np.ceil(shape[0] / spacing)), int(np.ceil(shape[1] / spacing)))
    on_grid = (np.asarray(yx, dtype=np.float64) + 0.5) / spacing - 0.5
    return float(draw_discs(grid, on_grid, radius / spacing).mean())


def expect_random_matches(n_picks: int, n_true: int, covered: float) -> float:
    """Return how many picks thrown at random onto an image match a particle, one to one, on average.

    m (1 - (1 - c / m)^n): each of ``n_true`` m particles is taken by the first of ``n_picks`` n that lies within its
    share of the ``covered_fraction`` c. Their discs count as equal and apart; where particles do not lie on one
    another, the precision is right to about a hundredth.
    """
    return n_true * (1 - (1 - covered / n_true) ** n_picks) if n_true else 0.0


def _reach(centre: float, radius: float, length: int) -> tuple[int, int]:
    """Return the first pixel along one axis that a disc can reach, and the one after the last."""
    return max(0, math.ceil(centre - radius)), max(0, min(length, math.floor(centre + radius) + 1))


def bin_logits(logits: NDArray[Any], n_bins: int) -> NDArray[np.intp]:
    """Return the bin of each logit, of ``n_bins`` of equal width from -``LARGEST_LOGIT`` to ``LARGEST_LOGIT``."""
    place = (np.clip(logits, -LARGEST_LOGIT, LARGEST_LOGIT) / LARGEST_LOGIT + 1) / 2
    bins: NDArray[np.intp] = np.minimum(place * n_bins, n_bins - 1).astype(np.intp)
    return bins


def _area_under_roc(positives: NDArray[np.int64], negatives: NDArray[np.int64]) -> float:
    """Return the probability that a positive outranks a negative, a tie within a bin counting one half.

    Hanley & McNeil, Radiology 143 (1982) 29-36.
    """
    below = np.cumsum(negatives) - negatives
    wins = np.sum(positives * (below + negatives / 2), dtype=np.float64)
    return divide(float(wins), float(positives.sum()) * float(negatives.sum()))
