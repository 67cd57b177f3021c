"""What has to be chosen is chosen on other micrographs than those it is judged on.

An operating threshold or a parameter of a hybrid that is chosen where it is judged flatters whoever has more of them.
The micrographs are dealt into folds, and for each fold the choice is made on all others (cross-fitting: Stone, J. R.
Stat. Soc. B 36 (1974) 111).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.evaluation.metrics import MicrographMatches, average_precision, pool_matches, score_matches
from relion_attn_picker.evaluation.pixel_histograms import PixelHistogram, find_best_pixel_threshold

MOST_FOLDS: Final = 5

Choice = TypeVar("Choice")
Setting = TypeVar("Setting")


def deal_folds(n: int) -> NDArray[np.intp]:
    """Return the fold of each of ``n`` micrographs, ``(n,)``: dealt like cards, so that time and order are mixed."""
    return np.arange(n) % max(1, min(MOST_FOLDS, n))


def _choose_by_fold(n: int, choose: Callable[[NDArray[np.intp]], Choice]) -> list[Choice]:
    """Return for each of ``n`` micrographs what is chosen on those of the other folds, ``(m,)`` places; once a fold."""
    folds = deal_folds(n)
    chosen = {fold: choose(np.flatnonzero(folds != fold)) for fold in np.unique(folds).tolist()}
    return [chosen[fold] for fold in folds.tolist()]


def choose_thresholds(matches: Sequence[MicrographMatches], fallback: float) -> list[float]:
    """Choose an operating threshold for each micrograph: that with the best F1 on the other folds.

    ``fallback`` is taken where no candidate of the others is right, and of a single micrograph, which has no others.
    """

    def choose(others: NDArray[np.intp]) -> float:
        best = score_matches(pool_matches([matches[place] for place in others]), -np.inf).best_threshold
        return best if np.isfinite(best) else fallback

    return _choose_by_fold(len(matches), choose)


def choose_pixel_thresholds(histograms: Sequence[PixelHistogram]) -> list[float]:
    """Choose a threshold for each micrograph: that with the best pixel F1 on the other folds, 0.5 without others."""

    def choose(others: NDArray[np.intp]) -> float:
        return find_best_pixel_threshold([histograms[place] for place in others]) if len(others) else 0.5

    return _choose_by_fold(len(histograms), choose)


def choose_settings(matches: Mapping[Setting, Sequence[MicrographMatches]]) -> list[Setting]:
    """Choose a setting for each micrograph: that with the highest average precision on the other folds.

    Among equals, and of a single micrograph, the first setting is taken: give the plainest one first.
    """
    settings = list(matches)

    def choose(others: NDArray[np.intp]) -> Setting:
        merits = [_merit([matches[setting][place] for place in others]) for setting in settings]
        return settings[int(np.argmax(merits))]

    return _choose_by_fold(len(matches[settings[0]]), choose)


def _merit(matches: Sequence[MicrographMatches]) -> float:
    pooled = pool_matches(matches)
    return float(np.nan_to_num(average_precision(pooled.score, pooled.is_true_positive, pooled.n_true)))
