"""Where the released weights are, and which file a user's choice means."""

from __future__ import annotations

from pathlib import Path

from relion_attn_picker.errors import InputError
from relion_attn_picker.evaluation.calibration import ScoreModel
from relion_attn_picker.io.checkpoint import read_header

RELEASED = Path(__file__).parent.parent / "weights"
DEFAULT_VARIANT = "attention"
BEST_NAME = "best.safetensors"
"""What a training calls its best weights."""


def find_weights(variant: str | None, path: Path | None) -> Path:
    """Return the file of weights for a variant, a path (of a file, or of a training's folder), or both.

    Raises
    ------
    CheckpointError
        If the file cannot be read.
    InputError
        If the file at ``path`` holds another variant than ``variant``, or a folder has no weights.
    """
    if path is None:
        path = RELEASED / f"{variant or DEFAULT_VARIANT}.safetensors"
    path = weights_in(path)
    architecture = read_header(path).spec.architecture
    if variant is not None and architecture != variant:
        raise InputError(
            f"{path} holds the network {architecture!r}, but --variant says {variant!r}: leave out one of the two."
        )
    return path


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


def find_score_model(path: Path) -> ScoreModel | None:
    """Return the model of the scores of the weights at ``path``, or ``None`` where none was made."""
    return None
