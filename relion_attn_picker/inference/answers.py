"""What a picker says of one image: maps first, and from them, without looking again, the peaks.

Looking is the device's work and finding peaks the processor's; an answer stands between the two. Every picker gives
one, a network alone or the hybrid of two, and whoever wants picks asks it the same question.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Protocol

from relion_attn_picker.inference.combination import Combination, combine_maps, combined_map
from relion_attn_picker.inference.peaks import find_peaks
from relion_attn_picker.options import ATTENTION, STANDARD
from relion_attn_picker.picks import FloatArray, Peaks, ProbabilityMap


@dataclass(frozen=True)
class FoundPeaks:
    """Peaks, and further figures of each by name, ``(n,)`` each, where the picker gives any."""

    peaks: Peaks
    details: Mapping[str, FloatArray] = field(default_factory=dict)


class Answer(Protocol):
    """What a picker says of one image."""

    @property
    def probability_map(self) -> ProbabilityMap:
        """The map that is kept where maps are wanted."""

    def find_peaks(self, score_floor: float, min_distance_px: float) -> FoundPeaks:
        """Return all peaks of at least ``score_floor``, none closer to a higher one than ``min_distance_px``."""


@dataclass(frozen=True)
class NetworkAnswer:
    """The answer of one network: its map."""

    probability_map: ProbabilityMap

    def find_peaks(self, score_floor: float, min_distance_px: float) -> FoundPeaks:
        """Return the peaks of the map."""
        return FoundPeaks(find_peaks(self.probability_map, score_floor, min_distance_px))


@dataclass(frozen=True)
class HybridAnswer:
    """The answer of two networks, and how they become one."""

    attention: ProbabilityMap
    standard: ProbabilityMap
    combination: Combination

    @property
    def probability_map(self) -> ProbabilityMap:
        """The map of the strategy's rules, see ``combination.combined_map``."""
        return combined_map(self.attention, self.standard, self.combination)

    def find_peaks(self, score_floor: float, min_distance_px: float) -> FoundPeaks:
        """Return the peaks that both make together, with the own score of each network at each."""
        found = combine_maps(self.attention, self.standard, self.combination, score_floor, min_distance_px)
        return FoundPeaks(found.peaks, {ATTENTION: found.attention, STANDARD: found.standard})
