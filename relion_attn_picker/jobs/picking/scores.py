"""All scores of a picking job together, and what they tell of its data set: likeness, probabilities.

What this module does not do: it chooses no cut (``inference.operating_point`` does).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from relion_attn_picker.evaluation.calibration import adapt, average_by_rank
from relion_attn_picker.evaluation.likeness import Likeness, Sighting, fit_likeness
from relion_attn_picker.evaluation.score_curve import ScoreCurve
from relion_attn_picker.evaluation.score_model import ScoreModel
from relion_attn_picker.inference.operating_point import (
    SURE,
    DataSetScores,
    OperatingPoint,
    choose_point,
    correct_scores,
)
from relion_attn_picker.inference.thresholds import choose_threshold
from relion_attn_picker.inference.weights import ScoreModels
from relion_attn_picker.io.candidates import CandidateStore
from relion_attn_picker.micrograph import Micrograph
from relion_attn_picker.options import PickOptions
from relion_attn_picker.picks import FloatArray, stack_appearance


@dataclass(frozen=True)
class FittedScores:
    """The scores of a data set, corrected by ``likeness`` where there is one, and what was learnt from them.

    Parameters
    ----------
    scores, likeness
        See ``DataSetScores`` and ``OperatingPoint``.
    curve, sure_scores
        As for ``inference.operating_point.choose_point``.
    """

    scores: DataSetScores
    likeness: Likeness | None = None
    curve: ScoreCurve | None = None
    sure_scores: tuple[float, float] | None = None

    def choose_point(self, own_threshold: float, options: PickOptions) -> OperatingPoint:
        """Return the operating point of the data set; parameters and errors as in ``choose_point``."""
        return choose_point(self.scores, own_threshold, options, self.curve, self.sure_scores, self.likeness)


def fit_scores(
    store: CandidateStore,
    micrographs: Sequence[Micrograph],
    options: PickOptions,
    models: ScoreModels | None,
    own_threshold: float,
) -> FittedScores:
    """Learn from the candidates of a whole data set what its particles look like, and how probable each score is.

    The probabilities of the scores as they are, or without score ``models`` the threshold that they suggest, tell which
    candidates are the surest; these tell the likeness, and the scores that it corrects tell probabilities too. What
    counts is the mean of both. Where the surest are too few, scores stay as they are.
    """
    as_found = gather_scores(store, micrographs, options)
    curve = None if models is None else adapt(models.own, as_found.score, as_found.area)
    plain = FittedScores(as_found, None, curve, None if models is None else find_sure_scores(models.own))
    is_unknown = models is not None and models.corrected is None
    if is_unknown or not len(as_found.score):  # the border may leave no place for a pick
        return plain
    if curve is None:
        gap = choose_threshold(as_found.score, own_threshold).value
        likeness = fit_likeness(_sightings(store, micrographs), lambda score: score >= gap)
    else:
        likeness = fit_likeness(_sightings(store, micrographs), curve.is_likely)
    if likeness is None:
        return plain
    corrected = gather_scores(store, micrographs, options, likeness)
    if curve is None or models is None or models.corrected is None:
        return FittedScores(corrected, likeness)
    second = adapt(models.corrected, corrected.score, corrected.area)
    both = average_by_rank(curve, as_found.score, second, corrected.score)
    return FittedScores(corrected, likeness, both, find_sure_scores(models.corrected))


def find_sure_scores(model: ScoreModel) -> tuple[float, float]:
    """Return the scores that reach ``SURE`` on data sets like the labelled ones."""
    return model.score_at(SURE[0]), model.score_at(SURE[1])


def all_sure_scores(models: ScoreModels | None) -> list[tuple[float, float] | None]:
    """Return those of each score model: a job that has others was picked with another calibration."""
    if models is None:
        return [None]
    return [find_sure_scores(each) for each in (models.own, models.corrected) if each is not None]


def _sightings(store: CandidateStore, micrographs: Sequence[Micrograph]) -> list[Sighting]:
    """Return the candidates without a reason to be rejected, as far as it is known what they look like."""
    records = (store.read(each.name) for each in micrographs)
    clean = (record.without_junk() for record in records if record is not None)
    seen = ((record.score, stack_appearance(record.details)) for record in clean)
    return [Sighting(score, appearance) for score, appearance in seen if appearance is not None]


def gather_scores(
    store: CandidateStore, micrographs: Sequence[Micrograph], options: PickOptions, likeness: Likeness | None = None
) -> DataSetScores:
    """Return the scores of all candidates that may be picks on those of the micrographs that are done."""
    particle_area = math.pi * (options.particle_diameter / 2) ** 2
    scores: list[FloatArray] = [np.zeros(0, dtype=np.float32)]
    n_done, area = 0, 0.0
    for each in micrographs:
        record = store.read(each.name)
        if record is None:
            continue
        border = (options.border or 0.0) / each.optics.pixel_size
        height, width = (max(0.0, side - 2 * border) for side in record.image_shape)
        area += height * width * each.optics.pixel_size**2 / particle_area
        n_done += 1
        record = record.with_scores(correct_scores(likeness, record.score, record.details)).inside(border)
        scores.append((record.without_junk() if options.reject_junk else record).score)
    rank = np.concatenate([np.arange(len(each)) for each in scores])
    is_kept = None if options.max_picks is None else rank < options.max_picks
    return DataSetScores(np.concatenate(scores), n_done, area, is_kept)
