"""Every hybrid strategy at every setting that is tried, on one pair of maps.

Which setting counts is decided later, on other micrographs (``evaluation.cross_fitting``). The scale that makes the two
networks' logits mean the same needs no truth: it is found from their scores alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.evaluation.logits import to_logits
from relion_attn_picker.inference.combination import SETTINGS, LogitScale, combine_maps, combined_map
from relion_attn_picker.inference.peaks import find_peaks
from relion_attn_picker.picks import Peaks, ProbabilityMap

FEWEST_SCORES: Final = 20
"""Scores from which a scale is found; with fewer, the logits are taken as they are."""

CHOSEN: Final = "hybrid"
"""The contender whose strategy is chosen as well."""


def settings_of(hybrid: str) -> list[str]:
    """Return the names of the settings of one strategy, or all for ``CHOSEN``."""
    return [name for name, combination in SETTINGS.items() if hybrid in (combination.strategy, CHOSEN)]


def find_scale(
    maps: Sequence[tuple[ProbabilityMap, ProbabilityMap]], score_floor: float, min_distance_px: float
) -> LogitScale:
    """Find the straight line from the standard network's logits to those of the attention network, without any truth.

    At the peaks of either network, the logits of both shall have the same mean and the same spread.

    Parameters
    ----------
    maps
        Attention's and the standard network's map of some micrographs.
    score_floor, min_distance_px
        Of the peaks.
    """
    attention: list[float] = []
    standard: list[float] = []
    for first, second in maps:
        own, other = to_logits(first.values), to_logits(second.values)
        for each in (first, second):
            y, x = np.rint(find_peaks(each, score_floor, min_distance_px).yx).astype(int).T
            attention += own[y, x].tolist()
            standard += other[y, x].tolist()
    if len(attention) < FEWEST_SCORES or np.std(standard) == 0 or np.std(attention) == 0:
        return LogitScale()
    slope = float(np.clip(np.std(attention) / np.std(standard), 0.25, 4.0))
    return LogitScale(slope, float(np.mean(attention) - slope * np.mean(standard)))


def combine_every_way(
    attention: ProbabilityMap,
    standard: ProbabilityMap,
    scale: LogitScale,
    score_floor: float,
    min_distance_px: float,
    diameter_px: float,
) -> tuple[Mapping[str, Peaks], Mapping[str, NDArray[np.float64]]]:
    """Return the peaks of every setting, and its map of logits ``(h, w)``, by name of the setting."""
    peaks, logits = {}, {}
    for name, setting in SETTINGS.items():
        combination = setting.fit(scale, diameter_px)
        peaks[name] = combine_maps(attention, standard, combination, score_floor, min_distance_px).peaks
        logits[name] = to_logits(combined_map(attention, standard, combination).values)
    return peaks, logits
