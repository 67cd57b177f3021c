"""``calibration.json``: what labelled micrographs taught about a pair of checkpoints, in a file beside them.

The file names its checkpoints by their SHA-256, because another training's scores mean something else. What this module
does not do: it knows neither strategies nor score models; it carries their records as JSON has them.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from relion_attn_picker.errors import CheckpointError
from relion_attn_picker.io.digest import file_digest
from relion_attn_picker.json_values import to_json_values
from relion_attn_picker.options import NETWORKS
from relion_attn_picker.replacing import replace_file

CALIBRATION_NAME: Final = "calibration.json"

FORMAT_VERSION: Final = 3
"""Version of the file that this program writes and reads."""

Record = Mapping[str, Any]


@dataclass(frozen=True)
class MemberCalibration:
    """What is known of one network: the SHA-256 of its checkpoint, and the records of its score models.

    ``corrected_model`` is that of scores corrected by likeness, ``None`` if the labelled sets were too small for it.
    """

    sha256: str
    score_model: Record
    corrected_model: Record | None = None


@dataclass(frozen=True)
class HybridCalibration:
    """What is known of both networks together.

    Parameters
    ----------
    combination
        The record of how two answers become one.
    threshold
        The operating point.
    falls_back_to
        The name of the member that is taken alone, because no strategy is better; ``None`` for a true hybrid.
    reason
        Why, in words for the user.
    score_model, corrected_model
        The records of the score models of what is taken, as in ``MemberCalibration``.
    table
        One row of figures a strategy, as measured when the calibration was made.
    """

    combination: Record
    threshold: float
    falls_back_to: str | None
    reason: str
    score_model: Record
    corrected_model: Record | None = None
    table: Sequence[Record] = field(default_factory=list)


@dataclass(frozen=True)
class CalibrationFile:
    """All of a calibration; ``made_with`` is for people, nothing is computed from it."""

    members: Mapping[str, MemberCalibration]
    hybrid: HybridCalibration
    made_with: Record = field(default_factory=dict)


def write_calibration(path: Path, calibration: CalibrationFile) -> None:
    """Write a calibration, by a temporary file and a rename; figures that are not finite become null."""
    record = to_json_values({"format_version": FORMAT_VERSION, **asdict(calibration)})
    replace_file(path, json.dumps(record, indent=1, allow_nan=False) + "\n")


def read_calibration(path: Path, checkpoints: Mapping[str, Path]) -> CalibrationFile:
    """Read a calibration that belongs to these checkpoints.

    Parameters
    ----------
    path
        The file.
    checkpoints
        Name of a member → its checkpoint; members that are not named here are not looked at.

    Raises
    ------
    CheckpointError
        If there is no such file, it is damaged or of another format version, or it was made for other checkpoints.
    """
    if not path.is_file():
        raise CheckpointError(
            f"There is no calibration at {path}: make it from labelled micrographs with attnpick calibrate."
        )
    calibration = _parse(path)
    for name, checkpoint in checkpoints.items():
        if calibration.members[name].sha256 != file_digest(checkpoint):
            raise CheckpointError(
                f"{path} was made for another checkpoint than {checkpoint}: calibrate again with attnpick calibrate, "
                "or put the file back that it belongs to."
            )
    return calibration


def find_score_records(path: Path, checkpoint: Path | None) -> tuple[Record, Record | None] | None:
    """Return the records of the score models of a checkpoint, or of the hybrid (``None``); ``None`` if not known here.

    The first is that of the scores themselves, the second that of scores corrected by likeness, if there is one.

    Raises
    ------
    CheckpointError
        If the file is damaged or of another format version.
    """
    calibration = _parse(path)
    if checkpoint is None:
        return calibration.hybrid.score_model, calibration.hybrid.corrected_model
    digest = file_digest(checkpoint)
    known = (each for each in calibration.members.values() if each.sha256 == digest)
    return next(((each.score_model, each.corrected_model) for each in known), None)


def _parse(path: Path) -> CalibrationFile:
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        _check_version(path, record["format_version"])
        members = {name: MemberCalibration(**each) for name, each in record["members"].items()}
        hybrid = HybridCalibration(**record["hybrid"])
        if not 0 < hybrid.threshold < 1 or hybrid.falls_back_to not in (None, *members):
            raise ValueError(f"threshold {hybrid.threshold}, falls back to {hybrid.falls_back_to}")
        for name in NETWORKS:
            members[name]
        return CalibrationFile(members, hybrid, dict(record["made_with"]))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(
            f"{path} is damaged ({error}): get the file again, or calibrate again with attnpick calibrate."
        ) from error


def _check_version(path: Path, version: object) -> None:
    if version == FORMAT_VERSION:
        return
    is_newer = isinstance(version, int) and version > FORMAT_VERSION
    advice = "install a newer attnpick" if is_newer else "calibrate again with attnpick calibrate"
    raise CheckpointError(f"{path} has calibration format {version}, this program reads {FORMAT_VERSION}: {advice}.")
