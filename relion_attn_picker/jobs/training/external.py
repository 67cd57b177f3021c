"""Training as a job of RELION: from labelled micrographs and weights to better weights, in one job folder.

What this module does not do: it parses no options and writes no exit marker (``cli`` does); it trains nothing itself
(``jobs.training.job`` does).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from relion_attn_picker.errors import abort_if
from relion_attn_picker.io.mrc import read_image
from relion_attn_picker.jobs.training.job import is_start, run_training
from relion_attn_picker.jobs.training.labelled_data import (
    LabelledMicrographs,
    TrainingData,
    make_labelled_source,
    read_labels,
    split_source,
)
from relion_attn_picker.jobs.training.request import TrainingRequest
from relion_attn_picker.options import InferenceOptions, PickOptions
from relion_attn_picker.pipeline import load_picker, pick_micrograph
from relion_attn_picker.relion.job import JobDirectory
from relion_attn_picker.relion.labels import LOGFILE
from relion_attn_picker.report.training import PickedImage, write_training_logfile
from relion_attn_picker.training.crops import LabelledImage, LabelledSource
from relion_attn_picker.training.fit import Progress
from relion_attn_picker.training.keeper import CURVES_NAME, read_curves
from relion_attn_picker.training_options import CropOptions, RunOptions, TrainOptions

MOST_PICTURES: Final = 3
"""Held-out micrographs that are shown with their picks."""


@dataclass(frozen=True, kw_only=True)
class ExternalTrainingRequest:
    """Everything that a training job is asked to do.

    Parameters
    ----------
    data
        The labelled micrographs.
    start_from
        Checkpoint to make better.
    crops, train, inference, run
        See ``TrainingRequest``.
    """

    data: TrainingData
    start_from: Path
    crops: CropOptions
    train: TrainOptions
    inference: InferenceOptions
    run: RunOptions


@dataclass(frozen=True)
class TrainingSummary:
    """What came of a training: its best weights, and average precision and F1 on the micrographs held out.

    ``before`` is that of the weights it started from, ``after`` that of the best ones; ``has_gained`` tells whether
    these are others.
    """

    best: Path
    n_trained_on: int
    n_held_out: int
    before: tuple[float, float]
    after: tuple[float, float]
    has_gained: bool


def run_training_job(
    job: JobDirectory,
    request: ExternalTrainingRequest,
    report: Callable[[Progress], None],
    should_stop: Callable[[], bool],
) -> TrainingSummary:
    """Train in the folder of ``job``, or go on with what was begun there, and write the files that RELION reads.

    Parameters
    ----------
    job
        The job folder.
    request
        See ``ExternalTrainingRequest``.
    report
        Called after each step.
    should_stop
        Asked after each step, and before each micrograph that is read.

    Raises
    ------
    InputError
        If the data cannot be used, or the folder holds a training with other data or options.
    JobAborted
        If ``should_stop()`` was true; Continue goes on from there.
    """
    labels = read_labels(request.data)
    job.write_output_nodes(of_training=True)
    trained_on, held_out = split_source(make_labelled_source(request.data, labels), request.data.hold_out)

    def report_or_stop(progress: Progress) -> None:
        report(progress)
        abort_if(should_stop)

    try:
        best = run_training(
            job.path,
            TrainingRequest(
                crops=request.crops,
                train=request.train,
                inference=request.inference,
                sources=[_stoppable(trained_on, should_stop)],
                validation=[_stoppable(held_out, should_stop)] if held_out.micrographs else [],
                start_from=request.start_from,
                run=request.run,
            ),
            report_or_stop,
        )
    finally:
        write_training_logfile(job.path / LOGFILE, _curves(job.path))
    picked = _pick_held_out(best, labels, len(held_out.micrographs), request)
    write_training_logfile(job.path / LOGFILE, _curves(job.path), picked)
    return _summarize(best, len(trained_on.micrographs), len(held_out.micrographs))


def _stoppable(source: LabelledSource, should_stop: Callable[[], bool]) -> LabelledSource:
    """Return a source whose reading stops where the user asks for it: cutting crops takes minutes."""
    return replace(source, micrographs=[partial(_read_unless, should_stop, read) for read in source.micrographs])


def _read_unless(should_stop: Callable[[], bool], read: Callable[[], LabelledImage]) -> LabelledImage:
    abort_if(should_stop)
    return read()


def _curves(folder: Path) -> dict[str, list[float]]:
    """Return the curves as far as there are any."""
    return read_curves(folder) if (folder / CURVES_NAME).exists() else {"step": []}


def _pick_held_out(
    best: Path, labels: LabelledMicrographs, n_held_out: int, request: ExternalTrainingRequest
) -> Iterator[PickedImage]:
    """Pick some held-out micrographs with the best weights."""
    picker = load_picker(best, request.inference)
    options = PickOptions(particle_diameter=request.data.particle_diameter)
    first = len(labels.micrographs) - n_held_out
    for micrograph, true_yx in list(zip(labels.micrographs, labels.yx, strict=True))[first:][:MOST_PICTURES]:
        picks = pick_micrograph(micrograph, labels.project_dir, picker, options)
        image = read_image(labels.project_dir / micrograph.name)
        diameter_px = options.particle_diameter / micrograph.optics.pixel_size
        yield PickedImage(micrograph.name, image, picks.yx, true_yx, diameter_px)


def _summarize(best: Path, n_trained_on: int, n_held_out: int) -> TrainingSummary:
    columns = read_curves(best.parent)
    figures = list(zip(columns["average_precision"], columns["best_f1"], strict=True))
    return TrainingSummary(best, n_trained_on, n_held_out, figures[0], max(figures), not is_start(best))
