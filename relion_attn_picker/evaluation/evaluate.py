"""The evaluation of a whole set of picks: every figure that is reported, in one object.

Matching is done in Å, so that micrographs of different pixel size pool. Nothing is read or written here.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.errors import InputError
from relion_attn_picker.evaluation.bootstrap import ScoreIntervals, bootstrap_intervals
from relion_attn_picker.evaluation.even_sample import EvenSample
from relion_attn_picker.evaluation.label_margin import EdgeCheck, EdgePicks, LabelledFrame, check_edges
from relion_attn_picker.evaluation.matching import Points, lie_on_ignored
from relion_attn_picker.evaluation.metrics import (
    MicrographMatches,
    PickingScores,
    PrecisionRecallCurve,
    match_micrograph,
    pool_matches,
    precision_recall_curve,
    score_matches,
)
from relion_attn_picker.evaluation.orientation import (
    SAMPLE,
    OrientationCheck,
    OrientationSample,
    check_orientation,
)
from relion_attn_picker.evaluation.pixels import PixelCounts, PixelScores, covered_fraction, expect_random_matches
from relion_attn_picker.evaluation.reliability import Reliability, measure_reliability
from relion_attn_picker.json_values import to_json_values

ALL_CANDIDATES = -math.inf  # the threshold that every candidate passes


@dataclass(frozen=True)
class EvaluatedMicrograph:
    """The candidates and the ground truth of one micrograph.

    Parameters
    ----------
    name
        The micrograph's name as listed.
    predicted_yx
        Candidates, shape ``(n, 2)``, pixels of the micrograph; may reach below the operating threshold.
    score
        Their scores, shape ``(n,)``.
    true_yx
        Ground truth, shape ``(m, 2)``, pixels of the micrograph.
    pixel_size
        Å per pixel of the micrograph.
    image_shape
        Height and width, pixels; where they are not known, what random points reach and what lies beyond the labels
        cannot be told, and orientations are compared in an estimated frame.
    raw_score
        The network's scores, shape ``(n,)``, where ``score`` is a probability made of them.
    ignored_yx
        Where picks that no particle takes count neither as right nor as wrong, shape ``(k, 2)``.

    Raises
    ------
    InputError
        If a score or a coordinate is not a finite number, or the pixel size is not positive.
    """

    name: str
    predicted_yx: Points
    score: NDArray[Any]
    true_yx: Points
    pixel_size: float
    image_shape: tuple[int, int] | None = None
    raw_score: NDArray[Any] | None = None
    ignored_yx: Points | None = None

    def __post_init__(self) -> None:
        for what, values in (("score", self.score), ("coordinate of a pick", self.predicted_yx)):
            self._check_finite(what, values)
        self._check_finite("coordinate of the ground truth", self.true_yx)
        if self.ignored_yx is not None:
            self._check_finite("coordinate of what is ignored", self.ignored_yx)
        if not 0 < self.pixel_size < math.inf:
            raise InputError(
                f"Micrograph {self.name} has pixel size {self.pixel_size}: expected a positive number of Å per pixel."
            )

    def _check_finite(self, what: str, values: NDArray[Any]) -> None:
        if not np.isfinite(values).all():
            raise InputError(f"Micrograph {self.name} has a {what} that is not a finite number: mend its file.")


@dataclass(frozen=True)
class MeanScores:
    """Means over micrographs, each leaving out the micrographs where the figure is undefined."""

    precision: float
    recall: float
    f1: float
    average_precision: float


@dataclass(frozen=True)
class RadiusEvaluation:
    """The figures at one match radius (Å): pooled over micrographs, their intervals, and means over micrographs."""

    match_radius: float
    pooled: PickingScores
    intervals: ScoreIntervals
    mean: MeanScores


@dataclass(frozen=True)
class MicrographRow:
    """The figures of one micrograph at the headline match radius."""

    name: str
    scores: PickingScores


@dataclass(frozen=True)
class RejectedCount:
    """How many candidates above the threshold were rejected for a reason, and how many of these lay on a particle."""

    reason: str
    n_rejected: int
    n_on_particle: int


@dataclass(frozen=True)
class Evaluation:
    """Everything that is reported about one set of picks.

    Parameters
    ----------
    particle_diameter
        Å.
    threshold
        Operating point; minus infinity if every candidate counts as a pick.
    headline
        Figures at a match radius of half the particle diameter.
    strict
        Figures at a quarter of it.
    micrographs
        Figures of each micrograph, headline radius, in the order given.
    curve
        Pooled precision-recall curve, headline radius.
    pixels
        Pixel figures, if maps were given.
    chance_precision
        Precision that as many random picks on each micrograph would reach at the headline radius on average, matched
        one to one, if the shapes of the images were given.
    orientation
        Whether the picks would fit better mirrored, and their constant shift, from a sample of the micrographs; None
        if no micrograph has both picks and particles.
    expected
        Precision and recall that the scores had promised without any truth, if they were calibrated.
    reliability
        Whether probabilities come true: of the network's own scores, and of the calibrated ones; None if the scores
        were not calibrated.
    rejected
        Candidates that were left out although they reach the threshold, by reason.
    n_ignored
        Picks on what is ignored, left out of all figures; None where nothing is.
    edges
        The picks near the edges, if the ground truth stops before it reaches them; None if it does not, if no wrong
        pick lies there, or if the shape of an image is not known.
    """

    particle_diameter: float
    threshold: float
    headline: RadiusEvaluation
    strict: RadiusEvaluation
    micrographs: tuple[MicrographRow, ...]
    curve: PrecisionRecallCurve
    pixels: PixelScores | None
    chance_precision: float | None
    orientation: OrientationCheck | None = None
    expected: tuple[float, float] | None = None
    reliability: tuple[Reliability, Reliability] | None = None
    rejected: tuple[RejectedCount, ...] = ()
    n_ignored: int | None = None
    edges: EdgeCheck | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return everything but the curve in the types of JSON, lengths in Å; what is not finite becomes None."""
        fields = {field.name: getattr(self, field.name) for field in dataclasses.fields(self) if field.name != "curve"}
        return {name: to_json_values(value) for name, value in fields.items()}


def evaluate_picks(
    micrographs: Iterable[EvaluatedMicrograph],
    particle_diameter: float,
    rng: np.random.Generator,
    *,
    threshold: float = ALL_CANDIDATES,
    pixels: PixelCounts | None = None,
    n_resamples: int = 1000,
) -> Evaluation:
    """Evaluate picks against the ground truth.

    Parameters
    ----------
    micrographs
        Read once, one after the other; a generator may read files as it goes. A micrograph without picks belongs in
        it, or its particles are not counted as missed.
    particle_diameter
        Å.
    rng
        Source of the bootstrap's resamples.
    threshold
        Operating point: candidates at or above it are the picks.
    pixels
        Counts of the probability maps; scored after the last micrograph, so that the generator may fill it.
    n_resamples
        Number of bootstrap resamples.

    Returns
    -------
    Evaluation
        Headline at half the particle diameter, strict at a quarter.

    Raises
    ------
    InputError
        If there is no micrograph or the particle diameter is not positive.
    """
    if not 0 < particle_diameter < math.inf:
        raise InputError(f"The particle diameter is {particle_diameter}: expected a positive number of Å.")
    sample = EvenSample[OrientationSample](SAMPLE)
    matched = [_match_micrograph(each, particle_diameter, threshold, sample) for each in micrographs]
    if not matched:
        raise InputError("There is no micrograph to evaluate: expected at least one with picks and ground truth.")
    wide, narrow = [each.wide for each in matched], [each.narrow for each in matched]
    rows = tuple(MicrographRow(each.name, score_matches(each.wide, threshold)) for each in matched)
    pooled = pool_matches(wide)
    return Evaluation(
        particle_diameter=particle_diameter,
        threshold=float(threshold),
        headline=_evaluate_radius(wide, particle_diameter / 2, threshold, rng, n_resamples),
        strict=_evaluate_radius(narrow, particle_diameter / 4, threshold, rng, n_resamples),
        micrographs=rows,
        curve=precision_recall_curve(pooled.score, pooled.is_true_positive, pooled.n_true),
        pixels=None if pixels is None else pixels.scores(),
        chance_precision=_expect_chance_precision(matched, rows),
        orientation=check_orientation(sample.items, particle_diameter / 2),
        reliability=_compare_reliability([each.raw_score for each in matched], pooled),
        n_ignored=_add_known(each.n_ignored for each in matched),
        edges=check_edges([each.edge_picks for each in matched], particle_diameter, threshold),
    )


@dataclass(frozen=True)
class _MatchedMicrograph:
    """What is kept of a micrograph: matches at both radii, and what some of the figures need."""

    name: str
    wide: MicrographMatches
    narrow: MicrographMatches
    coverage: float | None
    raw_score: NDArray[Any] | None
    n_ignored: int | None
    edge_picks: EdgePicks | None


def _match_micrograph(
    everything: EvaluatedMicrograph, particle_diameter: float, threshold: float, sample: EvenSample[OrientationSample]
) -> _MatchedMicrograph:
    """Match a micrograph, without what is ignored, and offer it to the sample whose orientation is looked at."""
    micrograph = _leave_out_ignored(everything, particle_diameter / 2)
    sample.offer(_sample_picks(micrograph, threshold))
    ignored_yx = everything.ignored_yx
    wide = _match_in_angstrom(micrograph, particle_diameter / 2)
    return _MatchedMicrograph(
        micrograph.name,
        wide,
        _match_in_angstrom(micrograph, particle_diameter / 4),
        _cover(micrograph, particle_diameter / 2),
        micrograph.raw_score,
        None
        if ignored_yx is None or not len(ignored_yx)
        else _count_picks(everything, threshold) - _count_picks(micrograph, threshold),
        _collect_edge_picks(micrograph, wide, particle_diameter),
    )


def _leave_out_ignored(micrograph: EvaluatedMicrograph, radius: float) -> EvaluatedMicrograph:
    """Return the micrograph without candidates on what is ignored; ``radius`` is in Å."""
    if micrograph.ignored_yx is None:
        return micrograph
    kept = ~lie_on_ignored(
        micrograph.predicted_yx,
        micrograph.score,
        micrograph.true_yx,
        micrograph.ignored_yx,
        radius / micrograph.pixel_size,
    )
    return dataclasses.replace(
        micrograph,
        predicted_yx=micrograph.predicted_yx[kept],
        score=micrograph.score[kept],
        raw_score=None if micrograph.raw_score is None else micrograph.raw_score[kept],
    )


def _add_known(counts: Iterable[int | None]) -> int | None:
    """Add up what is known; ``None`` if nothing is."""
    known = [count for count in counts if count is not None]
    return sum(known) if known else None


def _count_picks(micrograph: EvaluatedMicrograph, threshold: float) -> int:
    return int((micrograph.score >= threshold).sum())


def _compare_reliability(
    raw_scores: Sequence[NDArray[Any] | None], pooled: MicrographMatches
) -> tuple[Reliability, Reliability] | None:
    """Return the reliability of the network's own scores and of the probabilities made of them."""
    known = [score for score in raw_scores if score is not None]
    if len(known) < len(raw_scores):
        return None
    right = pooled.is_true_positive
    return measure_reliability(np.concatenate(known), right), measure_reliability(pooled.score, right)


def _sample_picks(micrograph: EvaluatedMicrograph, threshold: float) -> OrientationSample:
    is_pick = micrograph.score >= threshold
    return OrientationSample(
        micrograph.predicted_yx[is_pick],
        micrograph.score[is_pick],
        micrograph.true_yx,
        micrograph.pixel_size,
        micrograph.image_shape,
    )


def _collect_edge_picks(
    micrograph: EvaluatedMicrograph, matches: MicrographMatches, particle_diameter: float
) -> EdgePicks | None:
    if micrograph.image_shape is None:
        return None
    frame = LabelledFrame(micrograph.true_yx, micrograph.image_shape, particle_diameter / micrograph.pixel_size)
    return EdgePicks(frame, micrograph.predicted_yx, matches)


def _match_in_angstrom(micrograph: EvaluatedMicrograph, radius: float) -> MicrographMatches:
    predicted = np.asarray(micrograph.predicted_yx, dtype=np.float64) * micrograph.pixel_size
    true = np.asarray(micrograph.true_yx, dtype=np.float64) * micrograph.pixel_size
    return match_micrograph(predicted, micrograph.score, true, radius)


def _cover(micrograph: EvaluatedMicrograph, radius: float) -> float | None:
    if micrograph.image_shape is None:
        return None
    return covered_fraction(micrograph.image_shape, micrograph.true_yx, radius / micrograph.pixel_size)


def _expect_chance_precision(matched: Sequence[_MatchedMicrograph], rows: Sequence[MicrographRow]) -> float | None:
    """Return the precision of as many random picks on each micrograph; None if a shape is unknown or without picks."""
    scores = [row.scores for row in rows]
    coverage = [each.coverage for each in matched if each.coverage is not None]
    n_picks = sum(each.n_predicted for each in scores)
    if len(coverage) < len(matched) or not n_picks:
        return None
    pairs = zip(scores, coverage, strict=True)
    return sum(expect_random_matches(each.n_predicted, each.n_true, covered) for each, covered in pairs) / n_picks


def _evaluate_radius(
    matches: Sequence[MicrographMatches], radius: float, threshold: float, rng: np.random.Generator, n_resamples: int
) -> RadiusEvaluation:
    return RadiusEvaluation(
        match_radius=radius,
        pooled=score_matches(pool_matches(matches), threshold),
        intervals=bootstrap_intervals(matches, threshold, rng, n_resamples),
        mean=_average_scores([score_matches(each, threshold) for each in matches]),
    )


def _average_scores(scores: Sequence[PickingScores]) -> MeanScores:
    def average(name: str) -> float:
        values = np.array([getattr(each, name) for each in scores], dtype=np.float64)
        defined = values[np.isfinite(values)]
        return float(defined.mean()) if defined.size else float("nan")

    return MeanScores(average("precision"), average("recall"), average("f1"), average("average_precision"))
