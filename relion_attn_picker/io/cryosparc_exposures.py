"""Micrographs as CryoSPARC lists them: columns of the slots ``micrograph_blob``, ``mscope_params`` and ``ctf``.

Only ``micrograph_blob`` is required; of the others, what is there is read. ``micrograph_blob/shape`` is (rows,
columns), as an array's. Angles are radians there and degrees here.
"""

from __future__ import annotations

import logging
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.cryosparc import UID, Columns, as_texts
from relion_attn_picker.io.cryosparc_group import OWN_FOLDER, Result
from relion_attn_picker.micrograph import CtfParameters, OpticsGroup

log = logging.getLogger(__name__)

PATH = "micrograph_blob/path"
SHAPE = "micrograph_blob/shape"
PIXEL_SIZE = "micrograph_blob/psize_A"
TOTAL_DOSE = "mscope_params/total_dose_e_per_A2"
EXPOSURE_GROUP = ("mscope_params/exp_group_id", "ctf/exp_group_id")
VOLTAGE = ("mscope_params/accel_kv", "ctf/accel_kv")
SPHERICAL_ABERRATION = ("mscope_params/cs_mm", "ctf/cs_mm")
AMPLITUDE_CONTRAST = ("ctf/amp_contrast",)
CTF = ("ctf/df1_A", "ctf/df2_A", "ctf/df_angle_rad", "ctf/phase_shift_rad")

EXPOSURE_SLOTS = ("micrograph_blob", "mscope_params")
"""What a live job asks for: every exposure has them from its import and motion correction on."""


@dataclass(frozen=True)
class Exposure:
    """One micrograph of CryoSPARC.

    Parameters
    ----------
    uid
        CryoSPARC's key.
    path
        As stored, without the mark of an exported copy: relative to the project folder, or to the copy's.
    shape
        ``(h, w)``.
    group
        Number of its exposure group.
    optics
        Its pixel size and, where known, its microscope.
    ctf
        Its defocus, where known.
    total_dose
        e/Å², where known.
    """

    uid: int
    path: str
    shape: tuple[int, int]
    group: int
    optics: OpticsGroup
    ctf: CtfParameters | None = None
    total_dose: float | None = None


@dataclass(frozen=True)
class Exposures:
    """All micrographs of one output.

    Parameters
    ----------
    items
        In the order of the file; uids and paths are unique.
    folder
        Of the file: paths of an exported copy are relative to it.
    is_exported
        Whether the paths are those of an exported copy.
    version
        Of CryoSPARC.
    """

    items: tuple[Exposure, ...]
    folder: Path
    is_exported: bool
    version: str


def read_exposures(result: Result) -> Exposures:
    """Return the micrographs of an output of CryoSPARC.

    Raises
    ------
    InputError
        If there are none, or a column is missing or not what CryoSPARC writes.
    """
    columns = result.columns
    _check_columns(columns)
    paths = as_texts(columns[PATH])
    _check_unique(paths)
    items = tuple(
        Exposure(uid, path.removeprefix(OWN_FOLDER), (height, width), group, optics, ctf, dose)
        for uid, path, (height, width), group, optics, ctf, dose in zip(
            columns[UID].tolist(),
            paths,
            columns[SHAPE].tolist(),
            _first_column(columns, EXPOSURE_GROUP, 0).tolist(),
            _read_optics(columns),
            _read_ctfs(columns),
            _as_known(columns.get(TOTAL_DOSE), len(paths)),
            strict=True,
        )
    )
    return Exposures(items, result.folder, any(path.startswith(OWN_FOLDER) for path in paths), result.version)


def _check_columns(columns: Columns) -> None:
    for name in (PATH, SHAPE, PIXEL_SIZE):
        if name not in columns:
            slots = sorted({column.split("/")[0] for column in columns} - {UID})
            raise InputError(
                f"The exposures have no column {name}, only the slots {', '.join(slots) or 'none'}: give the .csg of "
                "the job's output, or also its passthrough file (J12_passthrough_exposures.cs or the like)."
            )
    if not len(columns[UID]):
        raise InputError("The file lists no exposures: give the output of a job that has some.")
    shape = columns[SHAPE]
    if shape.ndim != 2 or shape.shape[1] != 2:
        raise InputError(f"{SHAPE} has the shape {shape.shape}: expected two numbers a row, rows and columns.")
    for row in np.flatnonzero((shape < 1).any(axis=1))[:1]:
        raise InputError(f"Row {row + 1}: {SHAPE} is {shape[row].tolist()}: expected rows and columns, both above 0.")
    sizes = columns[PIXEL_SIZE]
    for row in np.flatnonzero(~(np.isfinite(sizes) & (sizes > 0)))[:1]:
        raise InputError(f"Row {row + 1}: {PIXEL_SIZE} is {sizes[row]}: expected Å per pixel, more than 0.")


def _check_unique(paths: list[str]) -> None:
    seen: set[str] = set()
    for row, path in enumerate(paths, start=1):
        if not path or path == OWN_FOLDER:
            raise InputError(f"Row {row} has no {PATH}: leave exposures without a micrograph out (Curate Exposures).")
        if path in seen:
            raise InputError(f"The exposures list {path} twice: expected each once; export them again.")
        seen.add(path)


def _first_column(columns: Columns, names: tuple[str, ...], otherwise: float) -> NDArray[Any]:
    """Return the first of these columns that is there, or a constant."""
    for name in names:
        if name in columns:
            return columns[name]
    if names is EXPOSURE_GROUP:
        log.warning("The exposures have neither %s nor %s: exposure group %d is taken.", *names, otherwise)
    return np.full(len(columns[UID]), otherwise)


def _read_optics(columns: Columns) -> list[OpticsGroup]:
    """Return each micrograph's optics; one group for each exposure group and microscope."""
    known = (VOLTAGE, SPHERICAL_ABERRATION, AMPLITUDE_CONTRAST)
    values = [_as_known(_first_column(columns, names, math.nan), len(columns[UID])) for names in known]
    sizes = [round(size, 6) for size in columns[PIXEL_SIZE].tolist()]
    numbers = next((columns[name].tolist() for name in EXPOSURE_GROUP if name in columns), [0] * len(sizes))
    groups: dict[tuple[object, ...], OpticsGroup] = {}
    result = []
    for number, size, *microscope in zip(numbers, sizes, *values, strict=True):
        index = len(groups) + 1
        key = (number, size, *microscope)
        group = groups.get(key) or OpticsGroup(index, f"opticsGroup{index}", size, *microscope)
        result.append(groups.setdefault(key, group))
    return result


def _as_known(values: NDArray[Any] | None, count: int) -> list[float | None]:
    """Return numbers, ``None`` for those that CryoSPARC leaves at zero or that are not there."""
    if values is None:
        return [None] * count
    return [round(value, 6) if math.isfinite(value) and value > 0 else None for value in values.tolist()]


def _read_ctfs(columns: Columns) -> list[CtfParameters | None]:
    if any(name not in columns for name in CTF[:3]):
        return [None] * len(columns[UID])
    first, second, angle = (columns[name].astype(float) for name in CTF[:3])
    shift = columns[CTF[3]].astype(float) if CTF[3] in columns else np.zeros(len(first))
    rows = zip(first, second, np.degrees(angle).round(4), np.degrees(shift).round(4), strict=True)
    return [CtfParameters(*map(float, row)) if row[0] > 0 and np.isfinite(row).all() else None for row in rows]
