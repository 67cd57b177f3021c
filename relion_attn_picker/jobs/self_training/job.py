"""A whole self-training: a supervised round, then rounds in which a teacher's picks become a student's labels.

    EXPERIMENT/self_training.json          what the experiment is: its data and options
    EXPERIMENT/iteration_0_supervised/     a training, or the teacher that was given
    EXPERIMENT/iteration_1_self_training/  pseudo_labels/, a training, round.json; and so on
    EXPERIMENT/rounds.md, .csv, .png       one row a round
    EXPERIMENT/best.safetensors            the network that was kept last

``round.json`` is the last file of a round: the same command goes on with the round that has none, and nothing in the
folder but the times in ``log.txt`` depends on when it was interrupted. What this module does not do: it neither splits
scores nor judges students; ``training.self_training`` does.
"""

from __future__ import annotations

import json
import logging
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

from relion_attn_picker.errors import InputError
from relion_attn_picker.inference.predictor import load_predictor
from relion_attn_picker.io.checkpoint import read_header
from relion_attn_picker.io.folder_lock import hold_folder
from relion_attn_picker.jobs.self_training.pseudo_labels import (
    PseudoLabelSummary,
    Teacher,
    UnlabelledPool,
    make_pseudo_labels,
    open_pseudo_labels,
)
from relion_attn_picker.jobs.self_training.request import SelfTrainingRequest, check_teacher, claim_folder, open_pools
from relion_attn_picker.jobs.self_training.round_files import read_record, require_weights
from relion_attn_picker.jobs.training.job import run_training
from relion_attn_picker.jobs.training.labelled_data import read_labelled_sources, refuse_common_images, split_source
from relion_attn_picker.model_spec import BEST_NAME, Normalization
from relion_attn_picker.replacing import copy_file, replace_file
from relion_attn_picker.report.self_training import RoundRecord, write_rounds
from relion_attn_picker.training.crops import FieldSource, LabelledImage, LabelledSource
from relion_attn_picker.training.fit import Progress, require_particles
from relion_attn_picker.training.self_training import choose_thresholds, judge_student
from relion_attn_picker.training.validation import ValidationSet, list_figures, prepare_validation_set, validate

log = logging.getLogger(__name__)

RECORD_NAME = "round.json"
LOG_NAME = "log.txt"

ROUND_FIELDS: Final = 10**8
"""Numbers of fields that a round has for itself: more than any training makes."""

REPEAT: Final = "remove the folders of this round and of all later ones, which are then run again"

StartReport = Callable[[], Callable[[Progress], None]]
"""Called at the beginning of each training; what it returns is called after every step."""


def run_self_training(
    folder: Path,
    request: SelfTrainingRequest,
    start_report: StartReport = lambda: lambda progress: None,
    show: Callable[[Sequence[RoundRecord]], None] = lambda records: None,
) -> list[RoundRecord]:
    """Run all rounds in ``folder``, or go on with those that an interruption left.

    Parameters
    ----------
    folder
        The experiment's folder; made if absent.
    request
        See ``SelfTrainingRequest``. A folder that was begun with another is refused; only more rounds may be asked for.
    start_report
        See ``StartReport``.
    show
        Called after each round with the rounds until then.

    Returns
    -------
    list of RoundRecord
        One a round; they end early where a teacher is sure of nothing.

    Raises
    ------
    InputError
        If the data cannot be used, unlabelled micrographs are labelled ones, no micrograph is held out, the teacher
        cannot be used with these options, the folder belongs to another experiment, files of its rounds are damaged or
        gone, or another process is at work in it.
    """
    experiment = _prepare(folder, request, start_report)
    with hold_folder(folder):
        claim_folder(folder, request, experiment.label_digests)
        return _run_rounds(experiment, show)


def _run_rounds(experiment: _Experiment, show: Callable[[Sequence[RoundRecord]], None]) -> list[RoundRecord]:
    """Run the rounds that are not finished; return the records of all."""
    records = _read_finished_rounds(experiment)
    if records:
        log.info("Rounds 0 to %d were finished before.", records[-1].iteration)
        _publish(experiment, records)
    while len(records) <= experiment.request.options.rounds and not _is_over(records):
        records.append(_run_round(experiment, experiment.folder_of(len(records)), records))
        _publish(experiment, records)
        show(records)
    return records


@dataclass(frozen=True)
class _Experiment:
    """What all rounds share."""

    folder: Path
    request: SelfTrainingRequest
    pools: Sequence[UnlabelledPool]
    held_out: Sequence[ValidationSet]
    start_report: StartReport
    label_digests: Sequence[str]

    def folder_of(self, iteration: int) -> Path:
        return self.folder / f"iteration_{iteration}_{'self_training' if iteration else 'supervised'}"

    def evaluate(self, checkpoint: Path) -> dict[str, float]:
        """Return the figures of a checkpoint on the micrographs held out, the same for every round."""
        return list_figures(validate(load_predictor(checkpoint, self.request.training.inference), self.held_out))


def _prepare(folder: Path, request: SelfTrainingRequest, start_report: StartReport) -> _Experiment:
    """Check everything that can be checked before the first hour of computing; nothing is written."""
    pools = open_pools(request)
    if request.teacher is not None:
        check_teacher(request.teacher, request)
    data, diameter_px = request.training.data, request.training.crops.particle_diameter_px
    labelled = read_labelled_sources(data)
    splits = [split_source(whole, each.hold_out) for whole, each in zip(labelled, data, strict=True)]
    judges = [source for _, source in splits if source.micrographs]
    refuse_common_images([source for source, _ in splits], judges)
    held_out = [prepare_validation_set(each, diameter_px, Normalization()) for each in judges]
    if not held_out:
        raise InputError(
            "No micrograph is held out to judge the rounds: give --hold_out 1 or more for one set."
            if data
            else "There are no labelled micrographs to judge the rounds by: give --data."
        )
    for each in held_out:
        require_particles(each)
    return _Experiment(folder, request, pools, held_out, start_report, [each.label_digest for each in labelled])


def _read_finished_rounds(experiment: _Experiment) -> list[RoundRecord]:
    records: list[RoundRecord] = []
    while len(records) <= experiment.request.options.rounds:
        path = experiment.folder_of(len(records)) / RECORD_NAME
        if not path.exists():
            break
        records.append(read_record(path, RoundRecord, REPEAT))
    return records


def _is_over(records: Sequence[RoundRecord]) -> bool:
    """Tell whether the last teacher was sure of nothing."""
    return len(records) > 1 and not records[-1].n_positive


def _run_round(experiment: _Experiment, own: Path, earlier: Sequence[RoundRecord]) -> RoundRecord:
    """Run one round and write its record, the last of its files."""
    own.mkdir(exist_ok=True)
    with _log_into(own / LOG_NAME):
        record = _run_self_training_round(experiment, own, earlier) if earlier else _run_first_round(experiment, own)
        log.info("Round %d: %s.", record.iteration, record.remark)
    replace_file(own / RECORD_NAME, json.dumps(asdict(record), indent=1) + "\n")
    return record


def _run_first_round(experiment: _Experiment, own: Path) -> RoundRecord:
    request = experiment.request
    if request.teacher is not None:
        copy_file(request.teacher, own / BEST_NAME)
        remark = f"the teacher that was given, {request.teacher.name}"
    else:
        report = _write_validations(own / LOG_NAME, experiment.start_report())
        run_training(own, request.training, report)
        remark = "supervised training"
    return RoundRecord(
        iteration=0, teacher=None, kept=True, remark=remark, figures=experiment.evaluate(own / BEST_NAME)
    )


def _run_self_training_round(experiment: _Experiment, own: Path, earlier: Sequence[RoundRecord]) -> RoundRecord:
    request, iteration, teacher = experiment.request, len(earlier), _last_kept(earlier)
    checkpoint = experiment.folder_of(teacher.iteration) / BEST_NAME
    thresholds = choose_thresholds(request.options, read_header(checkpoint).calibration.threshold)
    log.info(
        "Round %d: the teacher of round %d picks; particles from a score of %.3f, ignored from %.3f.",
        iteration, teacher.iteration, thresholds.positive, thresholds.negative,
    )  # fmt: skip
    picker = Teacher.load(checkpoint, request.training.inference)
    folders = [own / "pseudo_labels" / f"{n}_{pool.name}" for n, pool in enumerate(experiment.pools, start=1)]
    counts = [
        make_pseudo_labels(folder, pool, picker, thresholds, request.options.pictures)
        for folder, pool in zip(folders, experiment.pools, strict=True)
    ]
    record = _describe_labels(iteration, teacher.iteration, counts, thresholds.positive, thresholds.negative)
    if not record.n_positive:
        return record
    sources = [
        open_pseudo_labels(folder, pool, picker.predictor.header.label_margin)
        for folder, pool, count in zip(folders, experiment.pools, counts, strict=True)
        if count.n_positive
    ]
    start_from = checkpoint if request.options.start == "teacher" else None
    report = _write_validations(own / LOG_NAME, experiment.start_report())
    figures = experiment.evaluate(train_student(experiment, own, sources, iteration, start_from, report))
    verdict = judge_student(figures, teacher.figures, request.options.tolerance)
    return replace(record, figures=figures, kept=verdict.kept, remark=verdict.reason)


def _last_kept(records: Sequence[RoundRecord]) -> RoundRecord:
    return [record for record in records if record.kept][-1]


def _describe_labels(
    iteration: int, teacher: int, counts: Sequence[PseudoLabelSummary], positive: float, negative: float
) -> RoundRecord:
    """Return the record of a round of which nothing is known but its pseudo-labels."""
    return RoundRecord(
        iteration=iteration,
        teacher=teacher,
        kept=False,
        remark=f"no candidate reaches a score of {positive:.3f}, so there is nothing to train on and the rounds end: "
        "begin another experiment with a lower --positive or a better teacher",
        positive=positive,
        negative=negative,
        n_micrographs=sum(count.n_micrographs for count in counts),
        n_positive=sum(count.n_positive for count in counts),
        n_ignored=sum(count.n_ignored for count in counts),
    )


def train_student(
    experiment: _Experiment,
    folder: Path,
    pseudo_labels: Sequence[LabelledSource],
    iteration: int,
    start_from: Path | None,
    report: Callable[[Progress], None],
) -> Path:
    """Train a student on the labelled sets, the pseudo-labels and the simulation; return its best checkpoint.

    Its seeds are the request's plus ``iteration``, and fields made on the way are others in each round: a round after
    one that was not kept is another attempt. It starts from the weights of the checkpoint ``start_from``, or from
    random ones. These alone are no student: of one that only gets worse, the best of its own steps is judged.
    """
    training = experiment.request.training
    before = sum(each.weight for each in training.data) + sum(each.weight for each in training.sources)
    growth = 1 + sum(each.weight for each in pseudo_labels) / before
    student = replace(
        training,
        sources=[*pseudo_labels, *training.sources],
        fields=None if training.fields is None else _fields_of_round(training.fields, iteration, growth),
        crops=replace(training.crops, seed=training.crops.seed + iteration),
        train=replace(training.train, seed=training.train.seed + iteration),
        start_from=start_from,
        keeps_start=False,
    )
    return run_training(folder, student, report)


def _fields_of_round(fields: FieldSource, iteration: int, growth: float) -> FieldSource:
    """Return other fields than those of the rounds before, of the same share although all other weights have grown."""
    return replace(
        fields, make=partial(_make_later, fields.make, iteration * ROUND_FIELDS), weight=growth * fields.weight
    )


def _make_later(make: Callable[[int], LabelledImage], first: int, number: int) -> LabelledImage:
    return make(first + number)


def _publish(experiment: _Experiment, records: Sequence[RoundRecord]) -> None:
    """Bring the experiment's table, picture and best checkpoint up to date."""
    best = experiment.folder_of(_last_kept(records).iteration) / BEST_NAME
    require_weights(best, REPEAT)
    copy_file(best, experiment.folder / BEST_NAME)
    write_rounds(experiment.folder, records)


@contextmanager
def _log_into(path: Path) -> Iterator[None]:
    """Write what this package logs, at the level that the application has set, at the end of a file as well."""
    handler = logging.FileHandler(path, encoding="utf-8")
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", datefmt="%Y-%m-%d %H:%M:%S"))
    logger = logging.getLogger("relion_attn_picker")
    logger.addHandler(handler)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        handler.close()


def _write_validations(path: Path, report: Callable[[Progress], None]) -> Callable[[Progress], None]:
    """Return ``report`` with one more effect: the figures of every validation go to the end of a file."""

    def write_and_report(progress: Progress) -> None:
        if progress.scores is not None:
            figures = list_figures(progress.scores)
            told = ", ".join(f"{name} {value:.4f}" for name, value in figures.items())
            with path.open("a", encoding="utf-8") as file:
                file.write(f"step {progress.step}/{progress.steps}, loss {progress.loss:.5f}, {told}\n")
        report(progress)

    return write_and_report
