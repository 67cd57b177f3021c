"""The one straight way of a micrograph, from its name to its picks; read ``pick_micrograph`` first.

What this module does not do: it writes no files, and it knows no data set. ``jobs.picking.session.run_picking_job``
goes this way for a whole list, step by step, and fits figures of merit and threshold to all of its scores.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from relion_attn_picker.errors import InputError
from relion_attn_picker.evaluation.likeness import Likeness
from relion_attn_picker.evaluation.score_curve import ScoreCurve
from relion_attn_picker.imaging.appearance import measure_appearance
from relion_attn_picker.imaging.prepare import NetworkImage
from relion_attn_picker.imaging.surroundings import Surroundings, survey_micrograph
from relion_attn_picker.inference.answers import Answer
from relion_attn_picker.inference.operating_point import OperatingPoint, first_point
from relion_attn_picker.inference.predictor import Predictor, load_predictor
from relion_attn_picker.inference.rejection import judge_candidates
from relion_attn_picker.inference.weights import find_score_models
from relion_attn_picker.io.candidates import round_candidates
from relion_attn_picker.io.mrc import read_image
from relion_attn_picker.micrograph import Micrograph
from relion_attn_picker.options import SCORE_FLOOR, InferenceOptions, PickOptions
from relion_attn_picker.picks import JUNK, Picks, lies_inside, peaks_to_picks


@dataclass(frozen=True)
class PreparedMicrograph:
    """A micrograph's image at the network's scale, the shape ``(h, w)`` it has in its file, and what else it shows.

    Without ``surroundings``, candidates are not judged.
    """

    micrograph: Micrograph
    image_shape: tuple[int, int]
    image: NetworkImage
    surroundings: Surroundings | None = None


def prepare_micrograph(
    micrograph: Micrograph, project_dir: Path, predictor: Predictor, options: PickOptions
) -> PreparedMicrograph:
    """Read a micrograph and bring it to the network's scale.

    Raises
    ------
    InputError
        If the file cannot be read as an image, or the diameter is absurd for it.
    """
    image = read_image(project_dir / micrograph.name)
    prepared = predictor.prepare(image, micrograph.optics.pixel_size, options.particle_diameter)
    surroundings = survey_micrograph(image, micrograph.optics.pixel_size, prepared, options.particle_diameter)
    return PreparedMicrograph(micrograph, (image.shape[0], image.shape[1]), prepared, surroundings)


def find_candidates(
    answer: Answer, prepared: PreparedMicrograph, options: PickOptions, lowest: float = SCORE_FLOOR
) -> Picks:
    """Return all candidates of a predictor's answer, from the score ``lowest`` upwards, in pixels of the micrograph.

    What each looks like is among its details (``picks.APPEARANCE``). What speaks against it, if anything, is its detail
    ``junk``; none is left out for it here.
    """
    found = answer.find_peaks(lowest, options.min_distance_or_default / prepared.image.pixel_size)
    diameter = options.particle_diameter / prepared.image.pixel_size
    seen = measure_appearance(prepared.image.values, found.peaks.yx, diameter)
    candidates = peaks_to_picks(found.peaks, prepared.micrograph, {**found.details, **seen})
    if prepared.surroundings is None:
        return candidates
    judged = {JUNK: judge_candidates(candidates.yx, prepared.surroundings)}
    return replace(candidates, details={**candidates.details, **judged})


def select_picks(candidates: Picks, image_shape: tuple[int, int], options: PickOptions, point: OperatingPoint) -> Picks:
    """Return the candidates above the threshold and inside the border (if any), at most ``options.max_picks``.

    Their scores are the figures of merit of the operating ``point``. With ``options.reject_junk``, those that have a
    reason to be rejected are not among them.
    """
    wanted = _cut_candidates(candidates, image_shape, options, point)
    accepted = ~wanted.is_junk if options.reject_junk else np.ones(len(wanted), dtype=np.bool_)
    return wanted.take(np.flatnonzero(accepted)[: options.max_picks])


def select_rejected(
    candidates: Picks, image_shape: tuple[int, int], options: PickOptions, point: OperatingPoint
) -> Picks:
    """Return the candidates that would be picks but for a reason to reject them; none without ``options.reject_junk``.

    Parameters as in ``select_picks``.
    """
    wanted = _cut_candidates(candidates, image_shape, options, point)
    return wanted.take(np.flatnonzero(wanted.is_junk & options.reject_junk))


def _cut_candidates(
    candidates: Picks, image_shape: tuple[int, int], options: PickOptions, point: OperatingPoint
) -> Picks:
    """Return the candidates above the threshold and inside the border, with their figures of merit, highest first."""
    merit = point.judge(candidates.score, candidates.details)
    candidates = replace(candidates, score=merit).take(np.argsort(-merit, kind="stable"))
    border = (options.border or 0.0) / candidates.micrograph.optics.pixel_size
    inside = lies_inside(candidates.yx, image_shape, border)
    return candidates.take(np.flatnonzero((candidates.score >= point.threshold) & inside))


@dataclass(frozen=True)
class Picker:
    """What picks a micrograph; ``load_picker`` makes one, once for all micrographs.

    Parameters
    ----------
    predictor
        Looks at images.
    curve
        Turns its scores into figures of merit, as ``OperatingPoint.curve``; ``None``: they are the scores themselves.
    likeness
        Corrects its scores before, as ``OperatingPoint.likeness``; ``None``: they stay as they are.
    """

    predictor: Predictor
    curve: ScoreCurve | None = None
    likeness: Likeness | None = None


def load_picker(weights: Path, inference: InferenceOptions) -> Picker:
    """Load what picks, with the calibration beside the weights if there is one.

    Parameters
    ----------
    weights
        As ``inference.weights.find_weights`` gives them: a checkpoint, or the folder of a hybrid.
    inference
        How the network is run.

    Raises
    ------
    CheckpointError
        If a checkpoint or the calibration cannot be used.
    DeviceError
        If the GPU that was asked for is not there.
    """
    models = find_score_models(weights)
    return Picker(load_predictor(weights, inference), None if models is None else models.own.curve())


def pick_micrograph(micrograph: Micrograph, project_dir: Path, picker: Picker, options: PickOptions) -> Picks:
    """Pick one micrograph: the whole way in four steps.

    The threshold is the one given or the weights' own, and figures of merit are probabilities on a data set like the
    labelled ones that the calibration was learnt from: what a job fits to the scores of all its micrographs is not
    known here, so that ``options.fit_threshold`` does not apply. With ``curve``, ``likeness`` and ``threshold`` of a
    job's operating point (``JobSummary.point``) in the picker and the options, the picks are the job's.

    Parameters
    ----------
    micrograph
        Its ``name`` is the path of an MRC file relative to ``project_dir``.
    project_dir
        The folder that names are relative to.
    picker
        See ``load_picker``.
    options
        At least the particle diameter.

    Returns
    -------
    Picks
        In pixels of the micrograph, highest figure of merit first.

    Raises
    ------
    InputError
        If the micrograph cannot be read, the diameter is absurd for it, or the options ask for a threshold that follows
        from a whole data set.
    """
    _refuse_options_of_data_sets(options)
    predictor = picker.predictor
    options = options.with_border(predictor.header.label_margin)
    prepared = prepare_micrograph(micrograph, project_dir, predictor, options)
    lowest = score_floor(options, is_calibrated=picker.curve is not None)
    candidates = round_candidates(find_candidates(predictor.answer(prepared.image), prepared, options, lowest))
    point = first_point(predictor.header.calibration.threshold, options, picker.curve)
    point = replace(point, likeness=picker.likeness)
    return select_picks(candidates, prepared.image_shape, options, point)


def _refuse_options_of_data_sets(options: PickOptions) -> None:
    given = {
        f"The mode {options.mode}": options.mode != "balanced",
        "A target precision": options.target_precision is not None,
        "A target recall": options.target_recall is not None,
        "A count per micrograph": options.count_per_micrograph is not None,
    }
    for name in (name for name, is_given in given.items() if is_given):
        raise InputError(
            f"{name} needs the scores of a whole data set, and pick_micrograph sees one micrograph: give a threshold, "
            "or pick all micrographs with jobs.picking.session.run_picking_job."
        )


def score_floor(options: PickOptions, *, is_calibrated: bool) -> float:
    """Return the lowest score of a candidate; a threshold on the scores themselves that is lower still lowers it.

    Calibrated figures of merit of scores about ``SCORE_FLOOR`` are near zero: a low threshold on them is no low score.
    """
    return SCORE_FLOOR if options.threshold is None or is_calibrated else min(SCORE_FLOOR, options.threshold)
