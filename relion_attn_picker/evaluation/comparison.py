"""Two contenders side by side: figures, their differences, and how sure a difference is.

Two things could have been otherwise: the micrographs and the seeds of the trainings. Other micrographs are imitated by
a bootstrap that draws the same ones for both contenders; other seeds by the spread of the seeds that there are. Both
enter the interval that decides. No files here, and nothing is chosen: see ``cross_fitting``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, NamedTuple

import numpy as np

from relion_attn_picker.evaluation.bootstrap import (
    NO_INTERVAL,
    FloatTable,
    Interval,
    bootstrap_correction,
    draw_micrographs,
    share_interval,
    standard_error,
    t_interval,
)
from relion_attn_picker.evaluation.matching import FloatVector
from relion_attn_picker.evaluation.metrics import MicrographMatches
from relion_attn_picker.evaluation.pixel_histograms import PixelHistogram
from relion_attn_picker.evaluation.weighted_figures import compute_pick_figures, compute_pixel_figures

NEEDED_SEEDS: Final = 3
"""With fewer, the spread of the seeds is a guess."""

RESAMPLES: Final = 1000


@dataclass(frozen=True)
class SeedRun:
    """What one contender with one seed did on one set; one entry a micrograph, the same order for all contenders.

    Parameters
    ----------
    matches
        Its candidates, matched with the truth.
    thresholds
        Operating threshold on each micrograph.
    pixels, pixel_thresholds
        Histograms of its maps and the threshold of each; empty if there are none.
    """

    matches: Sequence[MicrographMatches]
    thresholds: Sequence[float]
    pixels: Sequence[PixelHistogram] = ()
    pixel_thresholds: Sequence[float] = ()

    def take(self, places: Sequence[int]) -> SeedRun:
        """Return the run on some of the micrographs."""
        columns = (self.matches, self.thresholds, self.pixels, self.pixel_thresholds)
        return SeedRun(*([column[place] for place in places] if column else [] for column in columns))  # type: ignore[arg-type]


@dataclass(frozen=True)
class FigureSample:
    """One figure of one contender on one set, or its mean over ``k`` sets.

    Parameters
    ----------
    per_seed
        The figure as it is with each seed, ``(s,)``.
    resampled
        That of each set on each resample, ``(k, s, r)``. The resamples lie as far from the figure as those of other
        micrographs would: see ``sample_figures``.
    n_micrographs
        Of each set, ``k`` counts.
    """

    per_seed: FloatVector
    resampled: FloatTable
    n_micrographs: tuple[int, ...]


@dataclass(frozen=True)
class FigureSummary:
    """One figure of one contender: mean over the seeds, interval over micrographs, standard deviation of the seeds.

    ``seed_spread`` is that of single trainings, NaN with one seed.
    """

    value: float
    interval: Interval
    seed_spread: float
    per_seed: tuple[float, ...]


class Verdict(Enum):
    """What can be said of a difference."""

    HIGHER = "higher"
    LOWER = "lower"
    UNDECIDED = "no difference can be told"
    SEEDS = "the seeds decide"
    UNKNOWN = "cannot be known"


@dataclass(frozen=True)
class Difference:
    """One figure of a first contender minus that of a second.

    Parameters
    ----------
    value, relative
        The difference, and its share of the second's figure.
    interval
        95 % over micrographs, with the seeds that there are.
    per_seed, seed_spread
        The difference of each pair of seeds, and their standard deviation; NaN with one pair.
    total_interval
        95 % over micrographs and seeds: for networks trained anew and other micrographs of the kind. NaN with one pair.
    verdict
        By the total interval; ``SEEDS`` if the micrographs alone would decide, ``UNKNOWN`` with one pair of seeds.
    """

    value: float
    relative: float
    interval: Interval
    per_seed: tuple[float, ...]
    seed_spread: float
    total_interval: Interval
    verdict: Verdict

    @property
    def is_within_seed_spread(self) -> bool:
        """Whether two trainings differ as much by their seed as the two contenders do."""
        return self.seed_spread >= abs(self.value) and self.value != 0


def draw_weights(n_micrographs: int, rng: np.random.Generator, n_resamples: int = RESAMPLES) -> FloatTable:
    """Draw the resamples that all contenders share: how often each micrograph counts, ``(r, m)``."""
    return np.concatenate(list(draw_micrographs(n_micrographs, n_resamples, rng))).astype(np.float64)


def sample_figures(runs: Sequence[SeedRun], weights: FloatTable) -> dict[str, FigureSample]:
    """Compute every figure of a contender: for each seed, as it is and on each resample.

    Parameters
    ----------
    runs
        One a seed, on the same micrographs.
    weights
        From ``draw_weights``.

    Returns
    -------
    dict
        Name → sample. Resamples of n micrographs scatter too little by √((n - 1) / n): their deviations are corrected
        here, set by set, so that means over sets of few and of many micrographs are right too.
    """
    as_is = [_figures(run, None) for run in runs]
    resampled = [_figures(run, weights) for run in runs]
    n_micrographs = weights.shape[1]
    samples = {}
    for name in as_is[0]:
        per_seed = np.concatenate([each[name] for each in as_is])
        deviations = np.stack([each[name] for each in resampled]) - per_seed[:, None]
        stretched = per_seed[:, None] + bootstrap_correction(n_micrographs) * deviations
        samples[name] = FigureSample(per_seed, stretched[None], (n_micrographs,))
    return samples


def _figures(run: SeedRun, weights: FloatTable | None) -> dict[str, FloatVector]:
    figures = compute_pick_figures(run.matches, run.thresholds, weights)
    if run.pixels:
        figures |= compute_pixel_figures(run.pixels, run.pixel_thresholds, weights)
    return figures


def average_samples(samples: Iterable[FigureSample]) -> FigureSample:
    """Return the mean of one figure over several sets, each with the same seeds and as many resamples.

    The resamples stay apart: a resample of one set has nothing to do with that of another, even if both were drawn from
    the same random numbers, and each set knows its own spread as well as its own number of micrographs allows.
    """
    listed = list(samples)
    return FigureSample(
        np.mean([each.per_seed for each in listed], axis=0),
        np.concatenate([each.resampled for each in listed]),
        tuple(count for each in listed for count in each.n_micrographs),
    )


def summarize(sample: FigureSample) -> FigureSummary:
    """Return what is reported of one figure of one contender."""
    value = float(np.mean(sample.per_seed))
    return FigureSummary(
        value,
        _interval_of(share_interval, value, _components_over_micrographs(sample.resampled, sample.n_micrographs)),
        _spread(sample.per_seed),
        tuple(sample.per_seed.tolist()),
    )


def compare(first: FigureSample, second: FigureSample) -> Difference:
    """Compare two contenders by one figure; their seeds are pairs, in order.

    Raises
    ------
    ValueError
        If they have different numbers of sets, seeds or resamples.
    """
    if first.resampled.shape != second.resampled.shape:
        raise ValueError(
            f"The contenders have {first.resampled.shape} and {second.resampled.shape} sets, seeds and resamples: "
            "expected the same."
        )
    per_seed = first.per_seed - second.per_seed
    components = _components_over_micrographs(first.resampled - second.resampled, first.n_micrographs)
    value, base = float(np.mean(per_seed)), float(np.mean(second.per_seed))
    interval = _interval_of(t_interval, value, components)
    spread = _spread(per_seed)
    n_seeds = len(per_seed)
    total = _interval_of(t_interval, value, [*components, _VarianceComponent(spread**2 / n_seeds, n_seeds - 1)])
    return Difference(
        value,
        value / base if base else math.nan,
        interval,
        tuple(per_seed.tolist()),
        spread,
        total,
        _judge(interval, total),
    )


class _VarianceComponent(NamedTuple):
    """A variance, and how many degrees of freedom its estimate has."""

    variance: float
    dof: int


def _components_over_micrographs(resampled: FloatTable, n_micrographs: Sequence[int]) -> list[_VarianceComponent]:
    """Return what the micrographs of each set add to the variance of the mean over the sets and seeds."""
    errors = [standard_error(of_set.mean(axis=0)) / len(n_micrographs) for of_set in resampled]
    return [_VarianceComponent(error**2, count - 1) for error, count in zip(errors, n_micrographs, strict=True)]


def _spread(per_seed: FloatVector) -> float:
    return float(np.std(per_seed, ddof=1)) if len(per_seed) > 1 else math.nan


def _interval_of(
    make: Callable[[float, float, float], Interval], value: float, components: Sequence[_VarianceComponent]
) -> Interval:
    """Return the interval of a value whose variance is that of independent components together.

    What ``make`` says of a variance of zero counts: a share that no resample changes is not known any better for it.
    Student's t with the degrees of freedom of Satterthwaite (Biometrics Bulletin 2 (1946) 110-114): three seeds, or
    three micrographs, know their own spread badly, and the interval says so. Nothing is known where one has none.
    The interval of a mean over two sets of 3 micrographs holds the truth 96 times in 100, over 3 and 36 92 times.
    """
    variance = sum(component.variance for component in components)
    dof = float(min(component.dof for component in components))
    if dof < 1 or not math.isfinite(variance):
        return NO_INTERVAL
    if variance > 0:
        dof = variance**2 / sum(component.variance**2 / component.dof for component in components)
    return make(value, math.sqrt(variance), dof)


def _judge(interval: Interval, total: Interval) -> Verdict:
    if not math.isfinite(total[0]):
        return Verdict.UNKNOWN
    if total[0] > 0:
        return Verdict.HIGHER
    if total[1] < 0:
        return Verdict.LOWER
    return Verdict.SEEDS if interval[0] > 0 or interval[1] < 0 else Verdict.UNDECIDED


def describe_difference(first: str, second: str, figure: str, difference: Difference) -> str:
    """Say in one or two sentences which contender has the higher figure, and how sure that is."""
    value, (low, high) = difference.value, difference.total_interval
    seeds = len(difference.per_seed)
    if difference.verdict is Verdict.UNKNOWN:
        return _describe_unknown(first, second, figure, difference)
    span = f"({value:+.3f}, 95 % interval over micrographs and seeds {low:+.3f} to {high:+.3f})"
    words: Mapping[Verdict, str] = {
        Verdict.HIGHER: f"The {figure} of {first} is higher than that of {second} {span}.",
        Verdict.LOWER: f"The {figure} of {first} is lower than that of {second} {span}.",
        Verdict.UNDECIDED: f"No difference in {figure} between {first} and {second} can be told {span}.",
        Verdict.SEEDS: f"The {figure} of these {seeds} {first} networks is {_direction(value)} than that of these "
        f"{second} ones on micrographs like these, but other seeds could turn it {span}.",
    }
    sentence = words[difference.verdict]
    if difference.is_within_seed_spread:
        sentence += f" The spread of the seeds, {difference.seed_spread:.3f}, is as large as the difference."
    if seeds < NEEDED_SEEDS:
        sentence += f" With {seeds} seeds the spread of the seeds is a guess: {NEEDED_SEEDS} are needed."
    return sentence


def _describe_unknown(first: str, second: str, figure: str, difference: Difference) -> str:
    low, high = difference.interval
    sentence = f"The {figure} of {first} minus that of {second} is {difference.value:+.3f}"
    if math.isfinite(low):
        sentence += f" (95 % interval over micrographs alone {low:+.3f} to {high:+.3f})"
    if len(difference.per_seed) < 2:
        return sentence + "; whether another seed would turn it cannot be known from one seed."
    return sentence + "; what other micrographs would give cannot be known from so few."


def _direction(value: float) -> str:
    return "higher" if value > 0 else "lower"
