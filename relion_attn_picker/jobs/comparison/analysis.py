"""From what every pair of networks found to the figures of the comparison; no image and no network is touched."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.evaluation.claims import divide_by_condition
from relion_attn_picker.evaluation.comparison import (
    FigureSample,
    SeedRun,
    compare,
    draw_weights,
    sample_figures,
    summarize,
)
from relion_attn_picker.evaluation.comparison_result import ConditionRow, ContenderResult, SetResult
from relion_attn_picker.evaluation.cross_fitting import choose_settings, fit_matches, fit_pixels
from relion_attn_picker.evaluation.label_margin import LabelledFrame, edge_distance, find_label_margin
from relion_attn_picker.evaluation.matching import FloatVector, match_picks
from relion_attn_picker.evaluation.metrics import (
    MicrographMatches,
    match_micrograph,
    pool_matches,
    precision_recall_curve,
    score_matches,
)
from relion_attn_picker.evaluation.pixels import covered_fraction, expect_random_matches
from relion_attn_picker.inference.combination import STRATEGIES
from relion_attn_picker.io.candidates import CandidateRecord
from relion_attn_picker.jobs.comparison.hybrids import CHOSEN, settings_of
from relion_attn_picker.jobs.comparison.picking import PickedSet
from relion_attn_picker.jobs.comparison.request import CROWDING, LabelledTestSet
from relion_attn_picker.options import ATTENTION, NETWORKS, STANDARD

HYBRIDS: Final = (CHOSEN, *STRATEGIES)
CONTENDERS: Final = (*NETWORKS, *HYBRIDS)
HEADLINE: Final = "average_precision"
BOOTSTRAP_SEED: Final = 1
CURVE_RECALL: Final[FloatVector] = np.linspace(0.0, 1.0, 201, dtype=np.float64)[1:]


@dataclass(frozen=True)
class AnalysedSet:
    """The result of a set, and the samples of every contender's figures, for what is said over several sets."""

    result: SetResult
    samples: Mapping[str, Mapping[str, FigureSample]]


@dataclass(frozen=True)
class _Contender:
    runs: list[SeedRun]
    settings: dict[str, float]


def analyse_set(
    test_set: LabelledTestSet, picked: Sequence[PickedSet], own_thresholds: Mapping[str, Sequence[float]]
) -> AnalysedSet:
    """Compute every figure of every contender on one set.

    Parameters
    ----------
    test_set
        The truth.
    picked
        What each pair of networks found.
    own_thresholds
        Network → the threshold that its checkpoint recommends, for each pair.
    """
    contenders = {name: _Contender([], {}) for name in CONTENDERS}
    margin = _find_margin(test_set, picked[0].candidates[ATTENTION])
    for number, each in enumerate(picked):
        matches = {name: _match(test_set, records, margin) for name, records in each.candidates.items()}
        for name in NETWORKS:
            own = [name] * len(test_set.micrographs)
            contenders[name].runs.append(_make_run(own, matches, each, own_thresholds[name][number]))
        for hybrid in HYBRIDS:
            chosen = choose_settings({name: matches[name] for name in settings_of(hybrid)})
            contenders[hybrid].runs.append(_make_run(chosen, matches, each, own_thresholds[ATTENTION][number]))
            for name in chosen:
                share = 1 / len(chosen) / len(picked)
                contenders[hybrid].settings[name] = contenders[hybrid].settings.get(name, 0.0) + share
    rng = np.random.default_rng(BOOTSTRAP_SEED)
    weights = draw_weights(len(test_set.micrographs), rng)
    samples = {name: sample_figures(each.runs, weights) for name, each in contenders.items()}
    covered = _cover(test_set, picked[0].candidates[ATTENTION])
    results = {name: _describe(name, each, samples[name], covered, own_thresholds) for name, each in contenders.items()}
    better = max(NETWORKS, key=lambda name: results[name].figures[HEADLINE].value)
    result = SetResult(
        name=test_set.name,
        particle_diameter=test_set.particle_diameter,
        n_micrographs=len(test_set.micrographs),
        n_particles=sum(len(yx) for yx in test_set.yx),
        contenders=results,
        differences={
            figure: compare(samples[ATTENTION][figure], samples[STANDARD][figure]) for figure in samples[ATTENTION]
        },
        hybrids={name: compare(samples[name][HEADLINE], samples[better][HEADLINE]) for name in HYBRIDS},
        better=better,
        conditions=_analyse_conditions(test_set, covered, contenders),
        label_margin=margin * test_set.particle_diameter,
    )
    return AnalysedSet(result, samples)


def _find_margin(test_set: LabelledTestSet, records: Sequence[CandidateRecord]) -> float:
    """Return how many particle diameters short of the edges the labels stop."""
    return find_label_margin(
        [
            LabelledFrame(yx, record.image_shape, diameter)
            for yx, record, diameter in zip(test_set.yx, records, _diameters_px(test_set), strict=True)
        ]
    )


def _diameters_px(test_set: LabelledTestSet) -> list[float]:
    return [test_set.particle_diameter / micrograph.optics.pixel_size for micrograph in test_set.micrographs]


def _match(test_set: LabelledTestSet, records: Sequence[CandidateRecord], margin: float) -> list[MicrographMatches]:
    """Match the candidates of each micrograph with its truth within half a particle diameter.

    Those that hit nothing within ``margin`` diameters of the edges, where there are next to no labels, are left out.
    """
    matches = []
    diameters = _diameters_px(test_set)
    for record, yx, ignored_yx, diameter in zip(records, test_set.yx, test_set.ignored_yx, diameters, strict=True):
        kept = (edge_distance(record.yx, record.image_shape) >= margin * diameter) | (margin == 0.0)
        kept[match_picks(record.yx, record.score, yx, diameter / 2).predicted] = True
        matches.append(match_micrograph(record.yx[kept], record.score[kept], yx, diameter / 2, ignored_yx))
    return matches


def _make_run(
    chosen: Sequence[str], matches: Mapping[str, Sequence[MicrographMatches]], picked: PickedSet, fallback: float
) -> SeedRun:
    """Return the run that takes the setting ``chosen`` for each micrograph."""
    return SeedRun(*fit_matches(matches, chosen, fallback), *fit_pixels(picked.pixels, chosen))


def _cover(test_set: LabelledTestSet, records: Sequence[CandidateRecord]) -> FloatVector:
    """Return the share of each micrograph that lies within half a diameter of a particle."""
    radius = test_set.particle_diameter / 2
    return np.array(
        [
            covered_fraction(record.image_shape, yx, radius / micrograph.optics.pixel_size)
            for record, yx, micrograph in zip(records, test_set.yx, test_set.micrographs, strict=True)
        ]
    )


def _describe(
    name: str,
    contender: _Contender,
    samples: Mapping[str, FigureSample],
    covered: FloatVector,
    own_thresholds: Mapping[str, Sequence[float]],
) -> ContenderResult:
    own_f1 = float("nan")
    if name in own_thresholds:
        pairs = zip(contender.runs, own_thresholds[name], strict=True)
        own_f1 = float(np.mean([score_matches(pool_matches(run.matches), cut).f1 for run, cut in pairs]))
    curves = np.stack([_resample_curve(pool_matches(run.matches)) for run in contender.runs])
    figures = {figure: summarize(sample) for figure, sample in samples.items()}
    chance = _chance_precision(contender.runs, covered)
    return ContenderResult(figures, chance, contender.settings, own_f1, CURVE_RECALL, curves)


def _chance_precision(runs: Sequence[SeedRun], covered: FloatVector) -> float:
    """Return the precision of as many random points on each micrograph as there are picks, matched as these are."""
    n_picks, n_right = 0, 0.0
    for run in runs:
        for each, cut, share in zip(run.matches, run.thresholds, covered, strict=True):
            n = int((each.score >= cut).sum())
            n_picks, n_right = n_picks + n, n_right + expect_random_matches(n, each.n_true, float(share))
    return n_right / n_picks if n_picks else float("nan")


def _resample_curve(matches: MicrographMatches) -> NDArray[np.float64]:
    """Return the precision at the first score that reaches each of ``CURVE_RECALL``, NaN where none does."""
    curve = precision_recall_curve(matches.score, matches.is_true_positive, matches.n_true)
    place = np.searchsorted(curve.recall, CURVE_RECALL - 1e-12)
    padded = np.append(curve.precision, np.nan)
    return np.asarray(padded[np.minimum(place, len(curve.precision))])


def _analyse_conditions(
    test_set: LabelledTestSet, covered: FloatVector, contenders: Mapping[str, _Contender]
) -> dict[str, tuple[ConditionRow, ...]]:
    """Compare both networks on micrographs of like condition; those without particles say nothing and are left out."""
    has_particles = np.array([len(yx) > 0 for yx in test_set.yx])
    conditions = {**test_set.conditions, CROWDING: covered}
    table = {}
    for name, values in conditions.items():
        classes = divide_by_condition(np.where(has_particles, values, np.nan))
        rows = tuple(_compare_class(contenders, each.low, each.high, each.places) for each in classes)
        if rows:
            table[name] = rows
    return table


def _compare_class(
    contenders: Mapping[str, _Contender], low: float, high: float, places: Sequence[int]
) -> ConditionRow:
    weights = draw_weights(len(places), np.random.default_rng(BOOTSTRAP_SEED))
    attention, standard = (
        sample_figures([run.take(places) for run in contenders[name].runs], weights)[HEADLINE] for name in NETWORKS
    )
    return ConditionRow(low, high, len(places), summarize(attention), summarize(standard), compare(attention, standard))
