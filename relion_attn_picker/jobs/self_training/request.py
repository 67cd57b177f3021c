"""What a self-training is made of, and what is refused before the first hour of computing.

What this module does not do: it runs nothing; ``jobs.self_training.job`` does.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from relion_attn_picker import __version__
from relion_attn_picker.errors import InputError
from relion_attn_picker.io.checkpoint import read_header
from relion_attn_picker.io.digest import file_digest
from relion_attn_picker.io.output_folder import make_folder
from relion_attn_picker.jobs.micrograph_list import find_project_dir
from relion_attn_picker.jobs.self_training.pseudo_labels import UnlabelledPool, open_pool, refuse_labelled_micrographs
from relion_attn_picker.jobs.self_training.round_files import read_record
from relion_attn_picker.jobs.training.labelled_data import TrainingData
from relion_attn_picker.jobs.training.request import TrainingRequest
from relion_attn_picker.model_spec import BEST_NAME, ModelSpec, Normalization
from relion_attn_picker.relion.coordinates import open_coordinates
from relion_attn_picker.relion.micrographs import read_micrographs
from relion_attn_picker.replacing import replace_file
from relion_attn_picker.training.claim import describe_difference
from relion_attn_picker.training.crops import LabelledSource
from relion_attn_picker.training_options import SelfTrainingOptions

CLAIM_NAME = "self_training.json"
LABELS = "labels"
"""What earlier versions did not write."""


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
    training
        The supervised one. Its ``data`` have the true labels: to train on, and to judge every round on the micrographs
        held out; round n adds n to both seeds.
    unlabelled
        Sets on which the teacher picks.
    options
        See ``SelfTrainingOptions``.
    teacher
        A checkpoint to begin with instead of a supervised round.
    """

    training: TrainingRequest
    unlabelled: Sequence[UnlabelledData]
    options: SelfTrainingOptions
    teacher: Path | None = None


def open_pools(request: SelfTrainingRequest) -> list[UnlabelledPool]:
    """Open the unlabelled sets, and see that no labelled micrograph is among them.

    Raises
    ------
    InputError
        If there is none, one cannot be used, or a labelled micrograph is among them.
    """
    if not request.unlabelled:
        raise InputError("There are no unlabelled micrographs: give --unlabelled with a micrographs STAR file.")
    pools = [open_pool(each.micrographs_star, each.particle_diameter) for each in request.unlabelled]
    refuse_labelled_micrographs(pools, [path for data in request.training.data for path in _labelled_paths(data)])
    return pools


def _labelled_paths(data: TrainingData) -> list[Path]:
    micrographs = read_micrographs(data.micrographs_star)
    project_dir = find_project_dir(data.micrographs_star, [each.name for each in micrographs])
    coordinates = open_coordinates(data.coordinates, project_dir)
    return [project_dir / each.name for each in micrographs if coordinates.read(each.name) is not None]


def check_teacher(path: Path, request: SelfTrainingRequest) -> None:
    """Refuse a teacher that works at another scale, or whose weights do not fit the student that starts from them.

    Raises
    ------
    CheckpointError
        If the file cannot be read.
    InputError
        If it is such a teacher.
    """
    header = read_header(path)
    if header.particle_diameter_px != request.training.crops.particle_diameter_px:
        raise InputError(
            f"{path} works at {header.particle_diameter_px:g} network pixels per particle, its students would at "
            f"{request.training.crops.particle_diameter_px:g}: give --diameter_px {header.particle_diameter_px:g}."
        )
    if header.normalization != Normalization():
        raise InputError(f"{path} normalises images otherwise than this program trains: train a teacher with it.")
    student = ModelSpec(request.training.train.architecture, request.training.train.base_features)
    if request.options.start == "teacher" and header.spec != student:
        raise InputError(
            f"{path} is the network {header.spec.architecture} with {header.spec.base_features} base features, its "
            f"students would be {student.architecture} with {student.base_features}: give --variant and "
            "--base_features as the teacher has them, or --start fresh."
        )


def claim_folder(folder: Path, request: SelfTrainingRequest, label_digests: Sequence[str]) -> None:
    """Write what the experiment is, or refuse a folder that holds another one.

    Rounds can only be compared while they are judged by the same true labels; ``label_digests`` tell those of each set.

    Raises
    ------
    InputError
        If it holds another one, or a training, or its file is damaged; more rounds of the same one are no difference,
        nor are device and threads.
    """
    fields = request.training.fields
    record = {
        "labelled": [{**asdict(data), **_resolve_paths(data)} for data in request.training.data],
        "unlabelled": [{**asdict(data), **_resolve_paths(data)} for data in request.unlabelled],
        "crops": asdict(request.training.crops),
        "train": asdict(request.training.train),
        "options": {name: value for name, value in asdict(request.options).items() if name != "rounds"},
        "simulated": next((_describe_source(each) for each in request.training.sources), None),
        "fields": fields and {"description": fields.description, "weight": fields.weight},
        "teacher": request.teacher and file_digest(request.teacher),
        LABELS: list(label_digests),
    }
    path = folder / CLAIM_NAME
    if not path.exists():
        if (folder / BEST_NAME).exists():
            raise InputError(
                f"{folder} holds {BEST_NAME}, but no {CLAIM_NAME} of a self-training that would have left it: give "
                "another folder, so that nothing is overwritten."
            )
        make_folder(folder)
        replace_file(path, json.dumps({"version": __version__, **record}, indent=1, default=str) + "\n")
        return
    present = {LABELS: list(label_digests), **read_record(path, dict, "remove the folder to start afresh")}
    for name, value in json.loads(json.dumps(record, default=str)).items():
        if present.get(name) != value:
            raise InputError(
                f"{folder} holds a self-training with other {name}{describe_difference(present.get(name), value)} (see "
                f"{CLAIM_NAME}): give another folder, or the same options to go on."
            )


def _describe_source(source: LabelledSource) -> dict[str, Any]:
    return {"micrographs": len(source.micrographs), "description": source.description}


def _resolve_paths(data: TrainingData | UnlabelledData) -> dict[str, str]:
    """Return the data's paths, the same from whatever folder they are given."""
    return {name: str(value.resolve()) for name, value in vars(data).items() if isinstance(value, Path)}
