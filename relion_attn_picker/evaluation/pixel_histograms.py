"""The pixels of one micrograph as two histograms, from which every pixel figure follows at any threshold.

A few kilobytes stand for a probability map, so that intervals over micrographs and thresholds chosen on other
micrographs cost no second look at it. The bins are those of ``pixels`` in kind, and fewer.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.evaluation.pixels import LARGEST_LOGIT, BoolImage, bin_logits

BINS: Final = 512
"""Bins of equal width in logit: thresholds are rounded to 0.07 logits, 0.017 at a probability of one half."""


@dataclass(frozen=True)
class PixelHistogram:
    """Pixels on particles and all others, by logit, ``(BINS,)`` each, lowest first."""

    positives: NDArray[np.int64]
    negatives: NDArray[np.int64]

    def shift(self, bins: int) -> PixelHistogram:
        """Return the histogram with all logits higher by some bins; what would leave it stays in its last bin."""
        places = np.clip(np.arange(BINS) + bins, 0, BINS - 1)
        shifted = (np.bincount(places, counts, BINS) for counts in (self.positives, self.negatives))
        return PixelHistogram(*(counts.astype(np.int64) for counts in shifted))


def count_pixels(logits: NDArray[Any], truth: BoolImage) -> PixelHistogram:
    """Count the pixels of a map of logits ``(h, w)``; ``truth`` ``(h, w)`` is true on the particles."""
    bins = bin_logits(logits, BINS)
    return PixelHistogram(
        np.bincount(bins[truth], minlength=BINS).astype(np.int64),
        np.bincount(bins[~truth], minlength=BINS).astype(np.int64),
    )


def bin_of(threshold: float) -> int:
    """Return the first bin that counts as above a threshold, 0 to 1 (both included): the nearest edge."""
    if threshold <= 0:
        return 0
    if threshold >= 1:
        return BINS
    logit = float(np.clip(np.log(threshold / (1 - threshold)), -LARGEST_LOGIT, LARGEST_LOGIT))
    return round((logit / LARGEST_LOGIT + 1) / 2 * BINS)


def threshold_of(edge: int) -> float:
    """Return the probability at the lower edge of a bin."""
    return float(1 / (1 + np.exp(-(2 * edge / BINS - 1) * LARGEST_LOGIT)))


def find_best_pixel_threshold(histograms: Sequence[PixelHistogram]) -> float:
    """Return the threshold with the highest pixel F1 of several maps together; 0.5 without any pixel on a particle."""
    positives = np.sum([each.positives for each in histograms], axis=0)
    negatives = np.sum([each.negatives for each in histograms], axis=0)
    if not positives.sum():
        return 0.5
    hits, false_alarms = np.cumsum(positives[::-1])[::-1], np.cumsum(negatives[::-1])[::-1]
    return threshold_of(int(np.argmax(2 * hits / (hits + false_alarms + positives.sum()))))
