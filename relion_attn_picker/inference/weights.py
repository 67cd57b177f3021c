"""Where the released weights are, and which file a user's choice means."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from relion_attn_picker.errors import CheckpointError, InputError
from relion_attn_picker.evaluation.score_model import ScoreModel
from relion_attn_picker.inference.hybrid_folder import check_hybrid, is_hybrid, read_hybrid
from relion_attn_picker.io.calibration_file import CALIBRATION_NAME, find_score_records
from relion_attn_picker.io.checkpoint import read_header
from relion_attn_picker.model_spec import BEST_NAME
from relion_attn_picker.options import ATTENTION, HYBRID, VARIANTS

log = logging.getLogger(__name__)

RELEASED = Path(__file__).parent.parent / "weights"
DEFAULT_VARIANT = ATTENTION


def find_weights(variant: str | None, path: Path | None) -> Path:
    """Return the weights for a variant, a path (of a file, or of a training's or a hybrid's folder), or both.

    A hybrid's folder may be named by one of its files, because the windows of some programs let one choose files only.

    Returns
    -------
    Path
        A checkpoint, or the folder of a hybrid.

    Raises
    ------
    CheckpointError
        If a file cannot be read, or the hybrid cannot be used.
    InputError
        If the file at ``path`` holds another variant than ``variant``, or a folder has no weights.
    """
    if path is not None and str(path) in VARIANTS and not path.exists():
        if variant not in (None, str(path)):
            raise InputError(f"--weights {path} is the released {path}, and --variant is {variant}: give one of them.")
        variant, path = str(path), None
    folder = RELEASED if path is None else path.parent if path.is_file() else path
    is_meant = path is not None and (path.name == CALIBRATION_NAME or is_hybrid(path))
    if variant == HYBRID or (variant is None and is_meant):
        check_hybrid(folder)
        return folder
    if path is None:
        path = RELEASED / f"{variant or DEFAULT_VARIANT}.safetensors"
    path = weights_in(path)
    architecture = read_header(path).spec.architecture
    if variant is not None and architecture != variant:
        raise InputError(
            f"{path} holds the network {architecture!r}, but --variant says {variant!r}: leave out one of the two."
        )
    return path


def describe_weights(path: Path) -> str:
    """Return what the weights at ``path``, as ``find_weights`` gives them, are called in a job's lines."""
    return read_hybrid(path).description if is_hybrid(path) else path.name


def weights_in(path: Path) -> Path:
    """Return the best weights of a training's folder, or the path itself if it is no folder.

    Raises
    ------
    InputError
        If the folder has none.
    """
    if not path.is_dir():
        return path
    if not (path / BEST_NAME).is_file():
        raise InputError(f"The folder {path} holds no {BEST_NAME}: give the folder of a finished training, or a file.")
    return path / BEST_NAME


@dataclass(frozen=True)
class ScoreModels:
    """What scores of some weights look like: their ``own``, and those that are ``corrected`` by likeness.

    ``corrected`` is ``None`` where no labelled set had particles enough to learn it from.
    """

    own: ScoreModel
    corrected: ScoreModel | None = None


def find_score_models(path: Path) -> ScoreModels | None:
    """Return the models of the scores of the weights at ``path``, or ``None`` where none was made.

    Parameters
    ----------
    path
        As ``find_weights`` gives it; the calibration lies beside a checkpoint, and counts if it was made for it.

    Raises
    ------
    CheckpointError
        If the calibration is damaged or of another version.
    """
    calibration_path = (path if path.is_dir() else path.parent) / CALIBRATION_NAME
    if not calibration_path.is_file():
        return None
    records = find_score_records(calibration_path, None if path.is_dir() else path)
    if records is None:
        log.warning("%s was made for other weights than %s: its scores stay uncalibrated.", calibration_path, path)
        return None
    try:
        own, corrected = records
        return ScoreModels(ScoreModel.from_dict(own), None if corrected is None else ScoreModel.from_dict(corrected))
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{calibration_path} is damaged ({error}): get the file again, or calibrate again with attnpick calibrate."
        ) from error
