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
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from relion_attn_picker import __version__
from relion_attn_picker.errors import InputError
from relion_attn_picker.inference.predictor import load_predictor
from relion_attn_picker.io.checkpoint import read_checkpoint, read_header, write_training_state
from relion_attn_picker.io.hdf5 import CropFile
from relion_attn_picker.job_settings import file_digest
from relion_attn_picker.micrograph_list import find_project_dir
from relion_attn_picker.model_spec import ModelSpec, Normalization
from relion_attn_picker.models.builders import build_model
from relion_attn_picker.options import CropOptions, InferenceOptions, SelfTrainingOptions, TrainOptions
from relion_attn_picker.pseudo_labels import (
    PseudoLabelSummary,
    UnlabelledPool,
    make_pseudo_labels,
    open_pool,
    open_pseudo_labels,
    refuse_labelled_micrographs,
)
from relion_attn_picker.relion.coordinates import open_coordinates
from relion_attn_picker.relion.micrographs import read_micrographs
from relion_attn_picker.relion.star import replace_file
from relion_attn_picker.report.curves import draw_training_curves
from relion_attn_picker.report.self_training import RoundRecord, write_rounds
from relion_attn_picker.training.crops import LabelledSource, write_crops
from relion_attn_picker.training.fit import Progress, fit, read_curves
from relion_attn_picker.training.self_training import choose_thresholds, held_out_figures, judge_student
from relion_attn_picker.training.validation import ValidationSet, prepare_validation_set, validate
from relion_attn_picker.training_job import TrainingData, read_labelled_source, run_training, split_source

log = logging.getLogger(__name__)

BEST_NAME = "best.safetensors"
RECORD_NAME = "round.json"
CLAIM_NAME = "self_training.json"
LOG_NAME = "log.txt"

StartReport = Callable[[], Callable[[Progress], None]]
"""Called at the beginning of each training; what it returns is called after every step."""


@dataclass(frozen=True)
class UnlabelledData:
    """A micrographs STAR file without labels, and the diameter (Å) of the particle that shall be found there."""

    micrographs_star: Path
    particle_diameter: float


@dataclass(frozen=True, kw_only=True)
class SelfTrainingRequest:
    """What a self-training is made of.

    Parameters
    ----------
    labelled
        Sets with true labels: to train on, and to judge every round on the micrographs held out.
    unlabelled
        Sets on which the teacher picks.
    crops, train
        Of every training, the supervised one too; round n adds n to both seeds.
    options
        See ``SelfTrainingOptions``.
    inference
        Device and threads.
    simulated
        Simulated micrographs to add to every training.
    teacher
        A checkpoint to begin with instead of a supervised round.
    """

    labelled: Sequence[TrainingData]
    unlabelled: Sequence[UnlabelledData]
    crops: CropOptions
    train: TrainOptions
    options: SelfTrainingOptions
    inference: InferenceOptions
    simulated: LabelledSource | None = None
    teacher: Path | None = None


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
        cannot be used with these options, or the folder belongs to another experiment.
    """
    experiment = _prepare(folder, request, start_report)
    records: list[RoundRecord] = []
    for iteration in range(request.options.rounds + 1):
        own = experiment.folder_of(iteration)
        if (own / RECORD_NAME).exists():
            log.info("Round %d was finished before.", iteration)
            records.append(RoundRecord(**json.loads((own / RECORD_NAME).read_text())))
            _publish(experiment, records)
        else:
            records.append(_run_round(experiment, own, records))
            _publish(experiment, records)
            show(records)
        if iteration and not records[-1].n_positive:
            break
    return records


@dataclass(frozen=True)
class _Experiment:
    """What all rounds share."""

    folder: Path
    request: SelfTrainingRequest
    pools: Sequence[UnlabelledPool]
    held_out: Sequence[ValidationSet]
    start_report: StartReport

    def folder_of(self, iteration: int) -> Path:
        return self.folder / f"iteration_{iteration}_{'self_training' if iteration else 'supervised'}"

    def evaluate(self, checkpoint: Path) -> dict[str, float]:
        """Return the figures of a checkpoint on the micrographs held out, the same for every round."""
        return held_out_figures(validate(load_predictor(checkpoint, self.request.inference), self.held_out))


def _prepare(folder: Path, request: SelfTrainingRequest, start_report: StartReport) -> _Experiment:
    """Check everything that can be checked before the first hour of computing, and claim the folder."""
    if not request.unlabelled:
        raise InputError("There are no unlabelled micrographs: give --unlabelled with a micrographs STAR file.")
    pools = [open_pool(each.micrographs_star, each.particle_diameter) for each in request.unlabelled]
    refuse_labelled_micrographs(pools, [path for data in request.labelled for path in _labelled_paths(data)])
    if request.teacher is not None:
        _check_teacher(request.teacher, request)
    held_out = [
        prepare_validation_set(source, request.crops.particle_diameter_px, Normalization())
        for data in request.labelled
        if (source := split_source(read_labelled_source(data), data.hold_out)[1]).micrographs
    ]
    if not held_out:
        raise InputError("No micrograph is held out to judge the rounds: give --hold_out 1 or more for one set.")
    _claim_folder(folder, request)
    return _Experiment(folder, request, pools, held_out, start_report)


def _labelled_paths(data: TrainingData) -> list[Path]:
    micrographs = read_micrographs(data.micrographs_star)
    project_dir = find_project_dir(data.micrographs_star, micrographs[0].name)
    coordinates = open_coordinates(data.coordinates, project_dir)
    return [project_dir / each.name for each in micrographs if coordinates.read(each.name) is not None]


def _check_teacher(path: Path, request: SelfTrainingRequest) -> None:
    """Refuse a teacher that works at another scale, or whose weights do not fit the student that starts from them."""
    header = read_header(path)
    if header.particle_diameter_px != request.crops.particle_diameter_px:
        raise InputError(
            f"{path} works at {header.particle_diameter_px:g} network pixels per particle, its students would at "
            f"{request.crops.particle_diameter_px:g}: give --diameter_px {header.particle_diameter_px:g}."
        )
    if header.normalization != Normalization():
        raise InputError(f"{path} normalises images otherwise than this program trains: train a teacher with it.")
    student = ModelSpec(request.train.architecture, request.train.base_features)
    if request.options.start == "teacher" and header.spec != student:
        raise InputError(
            f"{path} is the network {header.spec.architecture} with {header.spec.base_features} base features, its "
            f"students would be {student.architecture} with {student.base_features}: give --variant and "
            "--base_features as the teacher has them, or --start fresh."
        )


def _claim_folder(folder: Path, request: SelfTrainingRequest) -> None:
    """Write what the experiment is, or refuse a folder that holds another one."""
    record = {
        "labelled": [{**asdict(data), **_resolve_paths(data)} for data in request.labelled],
        "unlabelled": [{**asdict(data), **_resolve_paths(data)} for data in request.unlabelled],
        "crops": asdict(request.crops),
        "train": asdict(request.train),
        "options": {name: value for name, value in asdict(request.options).items() if name != "rounds"},
        "simulated": request.simulated
        and {"micrographs": len(request.simulated.micrographs), "description": request.simulated.description},
        "teacher": request.teacher and file_digest(request.teacher),
    }
    path = folder / CLAIM_NAME
    if not path.exists():
        folder.mkdir(parents=True, exist_ok=True)
        replace_file(path, json.dumps({"version": __version__, **record}, indent=1, default=str) + "\n")
        return
    present = json.loads(path.read_text())
    for name, value in json.loads(json.dumps(record, default=str)).items():
        if present.get(name) != value:
            raise InputError(
                f"{folder} holds a self-training with other {name}{_tell_difference(present.get(name), value)} (see "
                f"{CLAIM_NAME}): give another folder, or the same options to go on."
            )


def _resolve_paths(data: TrainingData | UnlabelledData) -> dict[str, str]:
    """Return the data's paths, the same from whatever folder they are given."""
    return {name: str(value.resolve()) for name, value in vars(data).items() if isinstance(value, Path)}


def _tell_difference(present: Any, given: Any) -> str:
    """Return the first option that differs, as a clause; nothing where the values are no options."""
    if not isinstance(present, dict) or not isinstance(given, dict):
        return ""
    name = next(name for name in {**present, **given} if present.get(name) != given.get(name))
    return f": {name} was {present.get(name)}, not {given.get(name)}"


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
        _copy_file(request.teacher, own / BEST_NAME)
        remark = f"the teacher that was given, {request.teacher.name}"
    else:
        report = _write_validations(own / LOG_NAME, experiment.start_report())
        run_training(own, request.labelled, request.crops, request.train, request.inference, report, request.simulated)
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
    predictor = load_predictor(checkpoint, request.inference)
    folders = [own / "pseudo_labels" / f"{n}_{pool.name}" for n, pool in enumerate(experiment.pools, start=1)]
    counts = [
        make_pseudo_labels(folder, pool, predictor, thresholds, request.options.pictures)
        for folder, pool in zip(folders, experiment.pools, strict=True)
    ]
    record = _describe_labels(iteration, teacher.iteration, counts, thresholds.positive, thresholds.negative)
    if not record.n_positive:
        return record
    sources = [
        open_pseudo_labels(folder, pool)
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

    Its seeds are the request's plus ``iteration``: a round after one that was not kept is another attempt. It starts
    from the weights of the checkpoint ``start_from``, or from random ones.
    """
    request = experiment.request
    train = replace(request.train, seed=request.train.seed + iteration)
    if not (folder / "crops.h5").exists():
        labelled = [split_source(read_labelled_source(data), data.hold_out)[0] for data in request.labelled]
        sources = [*labelled, *pseudo_labels, *([] if request.simulated is None else [request.simulated])]
        options = replace(request.crops, seed=request.crops.seed + iteration)
        log.info("Cutting %d crops ...", options.crops_per_source * len(sources))
        write_crops(folder / "crops.h5", sources, options, Normalization())
    if start_from is not None and not (folder / "state.pt").exists():
        _begin_from(start_from, folder / "state.pt", train)
    crops = CropFile(folder / "crops.h5")
    try:
        best = fit(folder, crops, experiment.held_out, train, request.inference, report)
    finally:
        crops.close()
    draw_training_curves(folder / "curves.png", read_curves(folder))
    return best


def _begin_from(checkpoint_path: Path, state_path: Path, options: TrainOptions) -> None:
    """Write the state of a training that has done no step yet and whose network has the weights of a checkpoint."""
    checkpoint = read_checkpoint(checkpoint_path)
    model = build_model(checkpoint.header.spec)
    checkpoint.load_into(model, checkpoint_path)
    optimizer = torch.optim.AdamW(model.parameters(), lr=options.learning_rate, weight_decay=options.weight_decay)
    state = {"model": model.state_dict(), "optimizer": optimizer.state_dict(), "rows": [], "finished": False}
    write_training_state(state_path, {**state, "step": 0, "best_score": -1.0, "validations_since_best": 0})


def _publish(experiment: _Experiment, records: Sequence[RoundRecord]) -> None:
    """Bring the experiment's table, picture and best checkpoint up to date."""
    _copy_file(experiment.folder_of(_last_kept(records).iteration) / BEST_NAME, experiment.folder / BEST_NAME)
    write_rounds(experiment.folder, records)


def _copy_file(source: Path, target: Path) -> None:
    """Copy a file, by a temporary one and a rename."""
    partial = target.with_name(target.name + ".partial")
    shutil.copyfile(source, partial)
    partial.replace(target)


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
            figures = held_out_figures(progress.scores)
            told = ", ".join(f"{name} {value:.4f}" for name, value in figures.items())
            with path.open("a", encoding="utf-8") as file:
                file.write(f"step {progress.step}/{progress.steps}, loss {progress.loss:.5f}, {told}\n")
        report(progress)

    return write_and_report
