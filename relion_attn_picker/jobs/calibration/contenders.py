"""What is calibrated: networks alone and combined, their peaks on labelled micrographs, and what scores tell of them.

What this module does not do: it chooses nothing among them (``jobs.calibration.job`` does).
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from relion_attn_picker.errors import InputError
from relion_attn_picker.evaluation.calibration import adapt
from relion_attn_picker.evaluation.likeness import Sighting, fit_likeness
from relion_attn_picker.evaluation.metrics import MicrographMatches, match_micrograph, pool_matches
from relion_attn_picker.evaluation.score_model import Sample, ScoreModel, fit_score_model
from relion_attn_picker.imaging.appearance import measure_appearance
from relion_attn_picker.inference.answers import HybridAnswer, NetworkAnswer
from relion_attn_picker.inference.combination import Combination
from relion_attn_picker.options import ATTENTION, MIN_DISTANCE_DIAMETERS, SCORE_FLOOR
from relion_attn_picker.picks import APPEARANCE, FloatArray, Peaks

log = logging.getLogger(__name__)


Matches = Sequence[Sequence[MicrographMatches]]
"""Of each data set, of each micrograph."""


@dataclass(frozen=True)
class LookedAt:
    """What both networks say of one labelled micrograph, what they saw, and its truth in network pixels.

    ``area`` is that of the micrograph in areas of a particle.
    """

    answer: HybridAnswer
    image: FloatArray
    yx: FloatArray
    ignored_yx: FloatArray
    diameter_px: float
    area: float


@dataclass(frozen=True)
class Contender:
    """A member alone, or a combination: ``name`` as in the table, ``choice`` what it is."""

    name: str
    choice: Combination | None

    def find_peaks(self, micrograph: LookedAt) -> Peaks:
        """Return its peaks of a micrograph."""
        distance = MIN_DISTANCE_DIAMETERS * micrograph.diameter_px
        if self.choice is not None:
            return replace(micrograph.answer, combination=self.choice).find_peaks(SCORE_FLOOR, distance).peaks
        own = micrograph.answer.attention if self.name == ATTENTION else micrograph.answer.standard
        return NetworkAnswer(own).find_peaks(SCORE_FLOOR, distance).peaks


def match_all(contender: Contender, sets: Sequence[Sequence[LookedAt]]) -> Matches:
    """Match the peaks of a contender with the truth, set by set and micrograph by micrograph."""
    return [[match_peaks(contender.find_peaks(each), each) for each in data_set] for data_set in sets]


def match_peaks(peaks: Peaks, micrograph: LookedAt) -> MicrographMatches:
    """Match peaks with the truth within half a diameter; wrong ones on ignored particles are left out."""
    return match_micrograph(peaks.yx, peaks.score, micrograph.yx, micrograph.diameter_px / 2, micrograph.ignored_yx)


def make_samples(matches: Matches, areas: Sequence[float]) -> list[Sample]:
    """Return what a score model learns from, one sample a data set; ``areas`` in areas of a particle."""
    pooled = [pool_matches(each) for each in matches]
    return [Sample(each.score, each.is_true_positive, area) for each, area in zip(pooled, areas, strict=True)]


def fit_corrected_model(
    contender: Contender, sets: Sequence[Sequence[LookedAt]], model: ScoreModel, areas: Sequence[float]
) -> ScoreModel | None:
    """Learn the model of scores corrected by likeness, as jobs correct them; ``None``: the sets are too small for it.

    ``model`` is that of the scores as they are. Sets with too few sure candidates for a likeness teach nothing here.
    """
    samples = []
    for data_set, area in zip(sets, areas, strict=True):
        peaks = [contender.find_peaks(each) for each in data_set]
        seen = [_look_at_peaks(each, micrograph) for each, micrograph in zip(peaks, data_set, strict=True)]
        curve = adapt(model, np.concatenate([each.score for each in seen]), area)
        likeness = fit_likeness(seen, curve.is_likely)
        if likeness is None:
            continue
        corrected = [
            replace(each, score=likeness.correct(sighting)) for each, sighting in zip(peaks, seen, strict=True)
        ]
        matches = [match_peaks(each, micrograph) for each, micrograph in zip(corrected, data_set, strict=True)]
        samples += make_samples([matches], [area])
    try:
        return fit_score_model(samples)
    except InputError:
        log.warning("No set has particles enough to learn how likeness corrects scores: jobs will not correct them.")
        return None


def _look_at_peaks(peaks: Peaks, micrograph: LookedAt) -> Sighting:
    details = measure_appearance(micrograph.image, peaks.yx, micrograph.diameter_px)
    return Sighting(peaks.score, np.stack([details[name] for name in APPEARANCE], axis=1))
