"""What has to be chosen is chosen on other micrographs than those it is judged on.

An operating threshold or a parameter of a hybrid that is chosen where it is judged flatters whoever has more of them.
The micrographs are dealt into folds, and for each fold the choice is made on all others (cross-fitting: Stone, J. R.
Stat. Soc. B 36 (1974) 111).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import Final, TypeVar

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.evaluation.logits import to_logits
from relion_attn_picker.evaluation.metrics import MicrographMatches, average_precision, pool_matches, score_matches
from relion_attn_picker.evaluation.pixel_histograms import PixelHistogram, bin_of, find_best_pixel_threshold

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


def fit_matches(
    matches: Mapping[Setting, Sequence[MicrographMatches]], chosen: Sequence[Setting], fallback: float
) -> tuple[list[MicrographMatches], list[float]]:
    """Return the matches of each micrograph with the setting chosen for it, and its operating threshold.

    The threshold is chosen on the other folds with the same setting. Scores of two settings need not mean the same:
    where several were chosen, scores and thresholds become logits, and those of each fold are shifted so that its
    threshold falls on the one that the setting chosen most often would have there.

    Parameters
    ----------
    matches
        Setting → one entry a micrograph.
    chosen
        From ``choose_settings``.
    fallback
        As in ``choose_thresholds``.
    """
    thresholds = {setting: choose_thresholds(matches[setting], fallback) for setting in set(chosen)}
    own = [matches[setting][place] for place, setting in enumerate(chosen)]
    common = _most_common(chosen)
    if len(thresholds) == 1:
        return own, thresholds[common]
    own_cuts = [to_logits(thresholds[setting][place]) for place, setting in enumerate(chosen)]
    cuts = [float(to_logits(threshold)) for threshold in thresholds[common]]
    shifted = [
        replace(each, score=to_logits(each.score) - own_cut + cut)
        for each, own_cut, cut in zip(own, own_cuts, cuts, strict=True)
    ]
    return shifted, cuts


def fit_pixels(
    histograms: Mapping[Setting, Sequence[PixelHistogram]], chosen: Sequence[Setting]
) -> tuple[list[PixelHistogram], list[float]]:
    """Return the histogram of each micrograph with the setting chosen for it, and its threshold, as ``fit_matches``."""
    thresholds = {setting: choose_pixel_thresholds(histograms[setting]) for setting in set(chosen)}
    cuts = thresholds[_most_common(chosen)]
    shifted = [
        histograms[setting][place].shift(bin_of(cuts[place]) - bin_of(thresholds[setting][place]))
        for place, setting in enumerate(chosen)
    ]
    return shifted, cuts


def _most_common(chosen: Sequence[Setting]) -> Setting:
    ((setting, _),) = Counter(chosen).most_common(1)
    return setting


def _merit(matches: Sequence[MicrographMatches]) -> float:
    pooled = pool_matches(matches)
    return float(np.nan_to_num(average_precision(pooled.score, pooled.is_true_positive, pooled.n_true)))
