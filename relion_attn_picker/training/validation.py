"""Judging a network on whole micrographs with the figures that count: picks, not pixels."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.evaluation.metrics import MicrographMatches, average_precision, match_micrograph, pool_matches
from relion_attn_picker.imaging.prepare import NetworkImage, prepare_image
from relion_attn_picker.inference.peaks import find_peaks
from relion_attn_picker.inference.predictor import Predictor
from relion_attn_picker.model_spec import Normalization
from relion_attn_picker.options import MIN_DISTANCE_DIAMETERS
from relion_attn_picker.picks import FloatArray
from relion_attn_picker.training.crops import LabelledSource

CURVE_FLOOR = 0.02
"""Lowest score on a precision–recall curve: what lies below would add nothing to it that is of use to anyone."""

THRESHOLDS = np.arange(0.05, 0.951, 0.01)
"""Thresholds among which the default one is chosen."""


@dataclass(frozen=True)
class ValidationMicrograph:
    """A prepared image with its truth ``(n, 2)``, and what is ignored ``(k, 2)``, in network pixels."""

    image: NetworkImage
    yx: FloatArray
    ignored_yx: FloatArray


@dataclass(frozen=True)
class ValidationSet:
    """Prepared micrographs of one source, held out of training."""

    name: str
    particle_diameter_px: float
    micrographs: Sequence[ValidationMicrograph]
    is_simulated: bool = False


@dataclass(frozen=True)
class ValidationScores:
    """Figures of one validation, each the mean over the sets, but for ``per_set``.

    Parameters
    ----------
    average_precision
        Area under the precision–recall curve of picks within half a diameter.
    best_f1
        Mean over the sets of the best F1 that each reaches with a threshold of its own.
    threshold
        The one threshold at which the mean F1 of the sets is highest.
    f1
        That mean F1.
    per_set
        Name of a set → (average precision, best F1, F1 at ``threshold``).
    """

    average_precision: float
    best_f1: float
    threshold: float
    f1: float
    per_set: dict[str, tuple[float, float, float]]


def prepare_validation_set(
    source: LabelledSource, particle_diameter_px: float, normalization: Normalization
) -> ValidationSet:
    """Read and prepare the micrographs of ``source`` once for many validations."""
    micrographs = []
    for read in source.micrographs:
        labelled = read()
        image = prepare_image(
            labelled.image, labelled.pixel_size, labelled.particle_diameter, particle_diameter_px, normalization
        )
        to_network = labelled.pixel_size / image.pixel_size
        micrographs.append(ValidationMicrograph(image, labelled.yx * to_network, labelled.ignored_yx * to_network))
    return ValidationSet(source.name, particle_diameter_px, micrographs, source.is_simulated)


def validate(predictor: Predictor, sets: Sequence[ValidationSet]) -> ValidationScores:
    """Pick every validation micrograph and score the picks against the truth within half a diameter."""
    curves, precisions = [], []
    for validation_set in sets:
        matches = match_set(predictor, validation_set)
        precisions.append(average_precision(matches.score, matches.is_true_positive, matches.n_true))
        curves.append(f1_at_thresholds(matches))
    f1 = np.array(curves)
    best = int(f1.mean(axis=0).argmax())
    return ValidationScores(
        average_precision=float(np.mean(precisions)),
        best_f1=float(f1.max(axis=1).mean()),
        threshold=round(float(THRESHOLDS[best]), 2),
        f1=float(f1[:, best].mean()),
        per_set={
            validation_set.name: (float(precision), float(row.max()), float(row[best]))
            for validation_set, precision, row in zip(sets, precisions, f1, strict=True)
        },
    )


def list_figures(scores: ValidationScores) -> dict[str, float]:
    """Return the figures of a validation by name, those of each set last: a row of a table."""
    row = {
        "average_precision": scores.average_precision,
        "best_f1": scores.best_f1,
        "threshold": scores.threshold,
        "f1": scores.f1,
    }
    for name, (precision, best_f1, f1) in scores.per_set.items():
        row |= {f"{name}: average_precision": precision, f"{name}: best_f1": best_f1, f"{name}: f1": f1}
    return row


def match_set(predictor: Predictor, validation_set: ValidationSet) -> MicrographMatches:
    """Pick all micrographs of a set and match the candidates with the truth within half a diameter."""
    diameter = validation_set.particle_diameter_px
    matches = []
    for micrograph in validation_set.micrographs:
        peaks = find_peaks(predictor.predict(micrograph.image), CURVE_FLOOR, MIN_DISTANCE_DIAMETERS * diameter)
        matches.append(match_micrograph(peaks.yx, peaks.score, micrograph.yx, diameter / 2, micrograph.ignored_yx))
    return pool_matches(matches)


def f1_at_thresholds(matches: MicrographMatches) -> NDArray[np.float64]:
    """Return F1 at each of ``THRESHOLDS``."""
    kept = matches.score[None, :] >= THRESHOLDS[:, None]
    matched = (kept & matches.is_true_positive).sum(axis=1)
    return np.asarray(2 * matched / np.maximum(kept.sum(axis=1) + matches.n_true, 1))
