"""Two networks, one list of peaks: the strategies of the hybrid, each a row of one table.

Everything is said in logits on one scale, the attention network's own; ``LogitScale`` brings the standard network's
there. A strategy says whose peaks are looked at, and the rule by which both logits there give the score. Because a
rule gives one number, one cut through it gives one list of picks, and a lower cut only adds to that list: the
precision-recall curve of a hybrid means what that of a network means. ``verify`` at a cut t, for instance, is
"attention's logit is at least t and the standard's at least t - margin".

What this module does not do: it runs no network, and finds no weight or margin; ``jobs.calibration.job`` does.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from relion_attn_picker.evaluation.logits import to_logits
from relion_attn_picker.inference.peaks import discount_outline, find_maxima, smooth_values, suppress_neighbours
from relion_attn_picker.options import ATTENTION, STANDARD
from relion_attn_picker.picks import FloatArray, Peaks, ProbabilityMap

Logits = NDArray[np.float64]

NO_LIMIT: Final = 30.0
"""More logits than lie between any two clipped probabilities: as a margin or a handicap, the other network is mute."""

REACH_DIAMETERS: Final = 0.25
"""Two peaks this near to each other, in particle diameters, are the same particle."""


@dataclass(frozen=True)
class LogitScale:
    """A straight line between two scales of logits: ``slope`` × logit + ``offset``."""

    slope: float = 1.0
    offset: float = 0.0

    def __post_init__(self) -> None:
        if not 0.01 <= self.slope <= 100 or not -100 <= self.offset <= 100:
            raise ValueError(f"scale is {self.slope!r}, {self.offset!r}: expected a slope of 0.01 to 100, both finite.")

    def apply(self, logits: Logits) -> Logits:
        """Carry logits to the other scale."""
        return self.slope * logits + self.offset

    def undo(self, logits: Logits) -> Logits:
        """Carry logits back."""
        return (logits - self.offset) / self.slope


@dataclass(frozen=True)
class Combination:
    """How two networks become one picker: what travels in the calibration file.

    Parameters
    ----------
    strategy
        A key of ``STRATEGIES``.
    weight
        Of the attention network in an average, 0 to 1.
    margin
        By so many logits the standard network's answer may fall short of attention's and still confirm it.
    handicap
        By so many logits the standard network must be surer than the cut for a peak that is its alone.
    standard_scale
        From the standard network's logits to those of the attention network that mean the same.
    reach_px
        Two peaks this near are the same particle, network pixels: ``REACH_DIAMETERS`` of the networks' diameter.
    """

    strategy: str
    weight: float = 0.5
    margin: float = 0.0
    handicap: float = 0.0
    standard_scale: LogitScale = field(default_factory=LogitScale)
    reach_px: float = REACH_DIAMETERS * 24

    def __post_init__(self) -> None:
        if self.strategy not in STRATEGIES:
            raise ValueError(f"strategy is {self.strategy!r}: expected one of {', '.join(STRATEGIES)}.")
        limits = {"weight": (0, 1), "margin": (0, NO_LIMIT), "handicap": (0, NO_LIMIT), "reach_px": (1, 64)}
        for name, (lowest, highest) in limits.items():
            if not lowest <= getattr(self, name) <= highest:
                raise ValueError(f"{name} is {getattr(self, name)!r}: expected {lowest} to {highest:g}.")

    def fit(self, standard_scale: LogitScale, diameter_px: float) -> Combination:
        """Return the combination for two networks: the scale between them, and their particle diameter in pixels."""
        return replace(self, standard_scale=standard_scale, reach_px=REACH_DIAMETERS * diameter_px)

    def to_dict(self) -> dict[str, Any]:
        """Return the combination as what JSON can hold."""
        return asdict(self)

    @classmethod
    def from_dict(cls, record: dict[str, Any]) -> Combination:
        """Rebuild a combination from ``to_dict``'s record.

        Raises
        ------
        ValueError, KeyError, TypeError
            If a field is missing, unknown or out of range.
        """
        return cls(**{**record, "standard_scale": LogitScale(**record["standard_scale"])})


COMBINED: Final = "combined"

Rule = Callable[[Logits, Logits, Combination], Logits]
"""From both networks' logits, on attention's scale, to the logit that they deserve together."""


@dataclass(frozen=True)
class Strategy:
    """One way to combine two networks.

    Parameters
    ----------
    rules
        Whose peaks are looked at → the rule that gives them their scores. ``COMBINED`` stands for the map that the
        rule itself makes, pixel by pixel.
    parameters
        The fields of ``Combination`` that the rules depend on, beside the standard network's scale.
    """

    rules: Mapping[str, Rule]
    parameters: tuple[str, ...] = ()

    def score(self, attention: Logits, standard: Logits, combination: Combination) -> Logits:
        """Return the highest logit that any of the rules gives, element by element."""
        best: Logits = np.maximum.reduce([rule(attention, standard, combination) for rule in self.rules.values()])
        return best


def _average(attention: Logits, standard: Logits, combination: Combination) -> Logits:
    return combination.weight * attention + (1 - combination.weight) * standard


def _confirm(attention: Logits, standard: Logits, combination: Combination) -> Logits:
    return np.minimum(attention, standard + combination.margin)


STRATEGIES: Final = {
    "average": Strategy({COMBINED: _average}, ("weight",)),
    "verify": Strategy({ATTENTION: _confirm}, ("margin",)),
    "rescue": Strategy(
        {ATTENTION: _confirm, STANDARD: lambda a, s, combination: s - combination.handicap}, ("margin", "handicap")
    ),
    "union": Strategy({ATTENTION: lambda a, s, _: a, STANDARD: lambda a, s, _: s}),
    "intersection": Strategy(dict.fromkeys((ATTENTION, STANDARD), lambda a, s, _: np.minimum(a, s))),
}
"""Name of a strategy → its rules. In this order: the weighted mean of both; attention proposes and standard confirms;
the same, and what standard alone is sure of; what either finds; what both find."""

SETTINGS: Final = {
    "average w=0.5": Combination("average", weight=0.5),
    "average w=0.25": Combination("average", weight=0.25),
    "average w=0.75": Combination("average", weight=0.75),
    "verify m=1": Combination("verify", margin=1.0),
    "verify m=0": Combination("verify", margin=0.0),
    "verify m=0.5": Combination("verify", margin=0.5),
    "verify m=2": Combination("verify", margin=2.0),
    "rescue m=1 h=1": Combination("rescue", margin=1.0, handicap=1.0),
    "rescue m=1 h=0.3": Combination("rescue", margin=1.0, handicap=0.3),
    "rescue m=0.5 h=1": Combination("rescue", margin=0.5, handicap=1.0),
    "rescue m=0.5 h=0.3": Combination("rescue", margin=0.5, handicap=0.3),
    "union": Combination("union"),
    "intersection": Combination("intersection"),
}
"""Name → what is tried of each strategy, the plainest first: whoever chooses a hybrid chooses among these."""


@dataclass(frozen=True)
class CombinedPeaks:
    """Peaks of a hybrid, and at each the own score of both networks, ``(n,)``; 0 where one saw nothing."""

    peaks: Peaks
    attention: FloatArray
    standard: FloatArray


def combine_maps(
    attention: ProbabilityMap,
    standard: ProbabilityMap,
    combination: Combination,
    score_floor: float,
    min_distance_px: float,
) -> CombinedPeaks:
    """Find the peaks that two networks make together.

    The peaks that the strategy looks at are candidates. Both logits (its proposer's there, the other network's highest
    within ``combination.reach_px``) give each its score by the rule, those on the outline lose half of their odds, and
    of candidates closer than ``min_distance_px`` the highest survives, whichever map it is from; among equal scores
    attention's does.

    Parameters
    ----------
    attention, standard
        Maps of one image, of the same shape and pixel size.
    combination
        See there.
    score_floor
        Lowest score of a peak, on attention's scale; what a network says below it counts as nothing seen.
    min_distance_px
        Smallest distance between two peaks, map pixels.

    Raises
    ------
    ValueError
        If the maps differ in shape or pixel size.
    """
    _check_alike(attention, standard)
    smooth_a, smooth_s = (ProbabilityMap(smooth_values(each.values), each.pixel_size) for each in (attention, standard))
    maps = _maps_on_one_scale(smooth_a, smooth_s, combination)
    strategy = STRATEGIES[combination.strategy]
    found = [_judge_peaks(maps, proposer, combination, score_floor) for proposer in strategy.rules]
    yx, score, seen = (np.concatenate(parts) for parts in zip(*found, strict=True))
    score = discount_outline(yx, score, attention.values.shape)
    order = np.argsort(-score, kind="stable")
    order = order[score[order] >= score_floor]
    kept = order[suppress_neighbours(yx[order], min_distance_px)]
    seen = np.where(expit(seen[kept]) >= score_floor, seen[kept], -np.inf)
    return CombinedPeaks(
        Peaks(yx[kept], score[kept], attention.pixel_size),
        expit(seen[:, 0]).astype(np.float32),
        expit(combination.standard_scale.undo(seen[:, 1])).astype(np.float32),
    )


def combined_map(attention: ProbabilityMap, standard: ProbabilityMap, combination: Combination) -> ProbabilityMap:
    """Return the map of a strategy: the highest that its rules give, pixel by pixel, without any reach.

    For an average this is the map whose peaks are looked for (but for the smoothing); for the others it shows what the
    list of peaks rests on, and a peak that is confirmed by a neighbouring pixel is higher in the list than in the map.

    Raises
    ------
    ValueError
        If the maps differ in shape or pixel size.
    """
    _check_alike(attention, standard)
    return _maps_on_one_scale(attention, standard, combination)[COMBINED]


def _check_alike(attention: ProbabilityMap, standard: ProbabilityMap) -> None:
    ours, theirs = ((each.values.shape, each.pixel_size) for each in (attention, standard))
    if ours != theirs:
        raise ValueError(f"The maps differ in shape or pixel size: {ours} and {theirs}; expected those of one image.")


def _maps_on_one_scale(
    attention: ProbabilityMap, standard: ProbabilityMap, combination: Combination
) -> dict[str, ProbabilityMap]:
    """Return both maps on attention's scale, and the highest that the strategy's rules make of them."""
    a, s = to_logits(attention.values), combination.standard_scale.apply(to_logits(standard.values))
    logits = {ATTENTION: a, STANDARD: s, COMBINED: STRATEGIES[combination.strategy].score(a, s, combination)}
    return {name: ProbabilityMap(expit(each).astype(np.float32), attention.pixel_size) for name, each in logits.items()}


def _judge_peaks(
    maps: dict[str, ProbabilityMap], proposer: str, combination: Combination, score_floor: float
) -> tuple[FloatArray, FloatArray, Logits]:
    """Return the proposer's peaks ``(n, 2)``, their scores ``(n,)`` and both networks' logits there ``(n, 2)``."""
    peaks = find_maxima(maps[proposer], score_floor)
    seen = {
        name: to_logits(_highest_near(maps[name].values, peaks.yx, combination.reach_px))
        for name in (ATTENTION, STANDARD)
    }
    if proposer == COMBINED:
        score = peaks.score
    else:
        seen[proposer] = to_logits(peaks.score)
        rule = STRATEGIES[combination.strategy].rules[proposer]
        score = expit(rule(seen[ATTENTION], seen[STANDARD], combination)).astype(np.float32)
    return peaks.yx, score, np.stack([seen[ATTENTION], seen[STANDARD]], axis=1)


def _highest_near(values: FloatArray, yx: FloatArray, reach_px: float) -> FloatArray:
    """Return the highest value within ``reach_px`` of the pixel nearest to each point, ``(n,)``."""
    reach = int(reach_px)
    offsets = np.argwhere(np.ones((2 * reach + 1, 2 * reach + 1), dtype=bool)) - reach
    offsets = offsets[np.hypot(*offsets.T) <= reach_px]
    pixels = np.rint(yx).astype(np.intp)[:, None, :] + offsets
    is_inside = ((pixels >= 0) & (pixels < values.shape)).all(axis=2)
    y, x = np.moveaxis(np.where(is_inside[..., None], pixels, 0), 2, 0)
    highest: FloatArray = np.where(is_inside, values[y, x], np.float32(0)).max(axis=1, initial=0)
    return highest
