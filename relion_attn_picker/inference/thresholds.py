"""The threshold of a data set, from the shape of its own scores.

One and the same network gives the particles of one sample scores round .8 and those of another scores round .4, while
the scores of noise move little: no fixed threshold is right for both. But on most data sets the scores fall into two
heaps, and the gap between them is where a person would cut. What this module does not do: it needs no truth, and it
promises no precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter1d

from relion_attn_picker.evaluation.score_excess import logit
from relion_attn_picker.picks import FloatArray

BIN: Final = 0.05
"""Width of the histogram's bins in logits."""

SMOOTHING: Final = 0.2
"""Standard deviation in logits by which the histogram is smoothed: heaps of scores are some 0.5 to 1 wide."""

REACH: Final = (-2.4, 1.0)
"""How far below and above the weights' own threshold, in logits, a gap is believed."""

MIN_SCORES: Final = 100
"""Fewer scores on either side of a gap than this are no heap."""

MIN_DEPTH: Final = 1.15
"""By this factor the lower of the two heaps must stand above the gap."""


@dataclass(frozen=True)
class ChosenThreshold:
    """A threshold on scores, and why it is where it is, in words for the user."""

    value: float
    reason: str


def choose_threshold(score: FloatArray, default: float) -> ChosenThreshold:
    """Return the threshold for a data set with these scores of candidates.

    The histogram of the scores' logits is smoothed, and the lowest point between two heaps within ``REACH`` of the
    default is found. The threshold lies half-way (in logits) between this gap and the default: both are estimates of
    the same thing with errors of their own. Where there is no gap (few candidates, nothing but noise, one broad heap),
    the default stays.

    Parameters
    ----------
    score
        Scores of all candidates of the data set, ``(n,)``, those of noise included, 0 to 1.
    default
        The weights' own threshold, 0 to 1.
    """
    default_logit = float(logit(np.array([default]))[0])
    logits = logit(score)
    edges = np.arange(default_logit + REACH[0] - 4, default_logit + REACH[1] + 6, BIN)
    count = np.histogram(logits, edges)[0]
    density = gaussian_filter1d(count.astype(np.float64), SMOOTHING / BIN)
    middle = (edges[:-1] + edges[1:]) / 2
    gap = _lowest_gap(density, count, middle, default_logit)
    if gap is None:
        return ChosenThreshold(default, "the weights' own: the scores of this data set show no gap near it")
    reason = (
        f"half-way between the gap in the scores of this data set ({_score(middle[gap]):.2f}) and the weights' own "
        f"({default:g})"
    )
    return ChosenThreshold(round(_score((middle[gap] + default_logit) / 2), 3), reason)


def _lowest_gap(
    density: NDArray[np.float64], count: NDArray[np.int64], middle: NDArray[np.float64], default_logit: float
) -> int | None:
    """Return the bin of the lowest minimum between two heaps, the upper one over the default, or ``None``."""
    best = None
    for place in range(1, len(density) - 1):
        is_near = REACH[0] <= middle[place] - default_logit <= REACH[1]
        if not is_near or not density[place - 1] >= density[place] < density[place + 1]:
            continue
        peak = place + int(density[place:].argmax())
        lower_heap = min(density[:place].max(), density[peak])
        if (
            middle[peak] > default_logit
            and min(count[:place].sum(), count[place:].sum()) >= MIN_SCORES
            and lower_heap >= MIN_DEPTH * density[place]
            and (best is None or density[place] < density[best])
        ):
            best = place
    return best


def _score(score_logit: float) -> float:
    return float(1 / (1 + np.exp(-score_logit)))
