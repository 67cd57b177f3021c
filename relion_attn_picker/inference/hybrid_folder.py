"""The folder of a hybrid: two checkpoints, and the calibration that says how they become one picker."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from relion_attn_picker.errors import CheckpointError, InputError
from relion_attn_picker.inference.combination import STRATEGIES, Combination
from relion_attn_picker.io.calibration_file import CALIBRATION_NAME, read_calibration
from relion_attn_picker.io.checkpoint import read_header
from relion_attn_picker.model_spec import CheckpointHeader
from relion_attn_picker.options import ATTENTION, NETWORKS, STANDARD


@dataclass(frozen=True)
class Hybrid:
    """What a hybrid's folder holds; fields as in ``io.calibration_file.HybridCalibration``."""

    checkpoints: Mapping[str, Path]
    combination: Combination
    threshold: float
    falls_back_to: str | None
    reason: str

    @property
    def description(self) -> str:
        """What picks, in words for the user."""
        if self.falls_back_to is not None:
            return f"the hybrid, which is the {self.falls_back_to} network alone here: {self.reason}"
        strategy = self.combination.strategy
        settings = [f"{name} {getattr(self.combination, name):g}" for name in STRATEGIES[strategy].parameters]
        return f"the hybrid ({', '.join([strategy, *settings])})"


def is_hybrid(path: Path) -> bool:
    """Tell whether ``path`` is the folder of a hybrid."""
    return path.is_dir() and all(checkpoint.is_file() for checkpoint in hybrid_checkpoints(path).values())


def hybrid_checkpoints(folder: Path) -> dict[str, Path]:
    """Return name of a member → where its checkpoint is, or would be."""
    return {name: folder / f"{name}.safetensors" for name in NETWORKS}


def hybrid_files(folder: Path) -> list[Path]:
    """Return the files that the picks of a hybrid depend on."""
    return [*hybrid_checkpoints(folder).values(), folder / CALIBRATION_NAME]


def check_hybrid(folder: Path) -> None:
    """Refuse what is no folder of a hybrid, before any weights are read.

    Raises
    ------
    InputError
        If it is no folder, or a checkpoint is missing in it.
    CheckpointError
        As ``read_hybrid``.
    """
    missing = [path.name for path in hybrid_checkpoints(folder).values() if not path.is_file()]
    if missing:
        raise InputError(
            f"{folder} is not the folder of a hybrid, it has no {missing[0]}: give the folder that attnpick calibrate "
            "wrote, with attention.safetensors, standard.safetensors and calibration.json."
        )
    read_hybrid(folder)


def read_hybrid(folder: Path) -> Hybrid:
    """Read how the two networks in a folder become one picker.

    Raises
    ------
    CheckpointError
        If the calibration is missing, damaged or made for other checkpoints, a checkpoint holds another network than
        its name says, or the two expect images of different scale or normalisation.
    """
    checkpoints, path = hybrid_checkpoints(folder), folder / CALIBRATION_NAME
    refuse_unequal_pair(checkpoints)
    found = read_calibration(path, checkpoints).hybrid
    try:
        combination = Combination.from_dict(dict(found.combination))
    except (ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{path} is damaged ({error}): get the file again, or calibrate again with attnpick calibrate."
        ) from error
    return Hybrid(checkpoints, combination, found.threshold, found.falls_back_to, found.reason)


def refuse_unequal_pair(checkpoints: Mapping[str, Path]) -> None:
    """Refuse checkpoints that cannot make a hybrid; only their headers are read.

    Raises
    ------
    CheckpointError
        If one holds another network than expected, or they expect images of different scale or normalisation.
    """
    headers = {name: read_header(path) for name, path in checkpoints.items()}
    for name, header in headers.items():
        if header.spec.architecture != name:
            raise CheckpointError(
                f"{checkpoints[name]} holds the network {header.spec.architecture!r}: expected {name!r} there; "
                "a hybrid needs one network of each kind."
            )
    refuse_different_scales(headers[ATTENTION], headers[STANDARD])


def refuse_different_scales(attention: CheckpointHeader, standard: CheckpointHeader) -> None:
    """Refuse two networks that cannot look at the same prepared image.

    Raises
    ------
    CheckpointError
        If they were trained with another particle diameter in pixels, or another normalisation.
    """
    for what, ours, theirs in (
        ("particles of {:g} pixels", attention.particle_diameter_px, standard.particle_diameter_px),
        ("images normalised with {}", attention.normalization, standard.normalization),
    ):
        if ours != theirs:
            raise CheckpointError(
                f"The attention network expects {what.format(ours)}, the standard network {what.format(theirs)}: a "
                "hybrid needs two that were trained alike; train one of them again."
            )
