"""Micrographs STAR files of RELION 3.0 (no optics block), 3.1, 4.0 and 5.0."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from relion_attn_picker.errors import InputError
from relion_attn_picker.micrograph import CtfParameters, Micrograph, OpticsGroup
from relion_attn_picker.relion import labels
from relion_attn_picker.relion.star import format_table, read_tables
from relion_attn_picker.replacing import replace_file

if TYPE_CHECKING:
    from pandas import DataFrame

log = logging.getLogger(__name__)


def read_micrographs(path: Path, pixel_size: float | None = None) -> list[Micrograph]:
    """Return the micrographs of a STAR file, in its order, names exactly as listed.

    Parameters
    ----------
    path
        STAR file of RELION 3.0, 3.1, 4.0 or 5.0.
    pixel_size
        Å per pixel of all micrographs, instead of what the file says.

    Raises
    ------
    InputError
        If the file cannot be read, lists no micrographs, lists something else (movies, particles, tilt series), has
        no pixel size, or names an optics group that it does not define.
    """
    tables = read_tables(path)
    _refuse_tomography(path, tables)
    table = _find_micrographs(path, tables)
    names = _read_names(path, table)
    if labels.OPTICS_BLOCK in tables:
        groups = _read_optics(path, tables[labels.OPTICS_BLOCK], pixel_size)
        optics = _assign_optics(path, table, groups)
    else:
        optics = _read_old_optics(path, table, pixel_size)
    ctfs = _read_ctfs(table)
    return [Micrograph(*row) for row in zip(names, optics, ctfs, strict=True)]


def _refuse_tomography(path: Path, tables: dict[str, DataFrame]) -> None:
    has_label = any(str(label).startswith(labels.TOMO_PREFIX) for table in tables.values() for label in table.columns)
    if has_label or labels.TOMO_BLOCK in tables:
        raise InputError(f"{path} lists tilt series (tomography): expected single-particle micrographs.")


def _find_micrographs(path: Path, tables: dict[str, DataFrame]) -> DataFrame:
    """Return the table of micrographs: the block of that name, or the only block of a 3.0 file."""
    candidates = [name for name in tables if name != labels.OPTICS_BLOCK]
    if not candidates:
        raise InputError(f"{path} has an optics table but no table of micrographs: give a micrographs STAR file.")
    name = labels.MICROGRAPHS_BLOCK if labels.MICROGRAPHS_BLOCK in candidates else candidates[0]
    table = tables[name]
    for label, what in ((labels.IMAGE_NAME, "particles"), (labels.MOVIE_NAME, "movies")):
        if label in table.columns and (name != labels.MICROGRAPHS_BLOCK):
            raise InputError(f"{path} lists {what}: give the STAR file of the micrographs.")
    if labels.MICROGRAPH_NAME not in table.columns:
        raise InputError(
            f"{path}: its table{_called(name)} has no column {labels.MICROGRAPH_NAME}: give a micrographs STAR."
        )
    if labels.COORDINATE_X in table.columns or labels.MICROGRAPH_COORDINATES in table.columns:
        raise InputError(f"{path} lists coordinates, not micrographs: give the STAR file of the micrographs.")
    if table.empty:
        raise InputError(f"{path} lists no micrographs: its table{_called(name)} is empty.")
    return table


def _called(name: str) -> str:
    """Return a table's name in quotes, if it has one."""
    return f" {name!r}" if name else ""


def _read_names(path: Path, table: DataFrame) -> list[str]:
    names: list[str] = table[labels.MICROGRAPH_NAME].tolist()
    for row, name in enumerate(names, start=1):
        if not isinstance(name, str) or not name.strip():
            raise InputError(
                f"{path}: row {row} has no readable {labels.MICROGRAPH_NAME}; quote names with blanks or #."
            )
    if len(set(names)) < len(names):
        seen: set[str] = set()
        twice = next(name for name in names if name in seen or seen.add(name))  # type: ignore[func-returns-value]
        raise InputError(f"{path} lists the micrograph {twice} twice: each may occur once.")
    return names


def _read_optics(path: Path, table: DataFrame, pixel_size: float | None) -> dict[int, OpticsGroup]:
    """Return the optics groups by number; the pixel size is that of the micrographs, not of their movies."""
    label = labels.MICROGRAPH_PIXEL_SIZE
    if pixel_size is None and label not in table.columns and labels.IMAGE_PIXEL_SIZE in table.columns:
        label = labels.IMAGE_PIXEL_SIZE
        _warn_of_other_label(path, label)
    if pixel_size is None and label not in table.columns:
        raise InputError(
            f"{path}: its optics table has no {labels.MICROGRAPH_PIXEL_SIZE}: give --pixel_size in Å per pixel."
        )
    if labels.OPTICS_GROUP not in table.columns:
        raise InputError(f"{path}: its optics table has no column {labels.OPTICS_GROUP}.")
    groups: dict[int, OpticsGroup] = {}
    for row in table.to_dict("records"):
        index = _as_group_number(path, row[labels.OPTICS_GROUP])
        if index in groups:
            raise InputError(f"{path}: its optics table defines group {index} twice.")
        groups[index] = OpticsGroup(
            index,
            str(row.get(labels.OPTICS_GROUP_NAME, f"opticsGroup{index}")),
            _as_pixel_size(path, index, row[label]) if pixel_size is None else pixel_size,
            _as_optional(row.get(labels.VOLTAGE)),
            _as_optional(row.get(labels.SPHERICAL_ABERRATION)),
            _as_optional(row.get(labels.AMPLITUDE_CONTRAST)),
        )
    return groups


@cache
def _warn_of_other_label(path: Path, label: str) -> None:
    """Warn, once for a list: one that grows is read again and again."""
    log.warning("%s has no %s; %s is taken.", path, labels.MICROGRAPH_PIXEL_SIZE, label)


def _as_group_number(path: Path, value: object) -> int:
    """Return a whole number; one word among the numbers of a column makes texts of them all."""
    number = _as_optional(value)
    if number is None or not number.is_integer():
        raise InputError(f"{path} has the optics group {value!r}: expected a whole number.")
    return int(number)


def _as_pixel_size(path: Path, index: int, value: object) -> float:
    number = _as_optional(value)
    if number is None or not 0 < number < float("inf"):
        raise InputError(f"{path}: optics group {index} has pixel size {value}: expected Å per pixel, more than 0.")
    return number


def _as_optional(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        return None
    return None if np.isnan(number) else number


def _assign_optics(path: Path, table: DataFrame, groups: dict[int, OpticsGroup]) -> list[OpticsGroup]:
    if labels.OPTICS_GROUP not in table.columns:
        if len(groups) == 1:
            return list(groups.values()) * len(table)
        raise InputError(f"{path}: its micrographs have no {labels.OPTICS_GROUP}, but there are {len(groups)} groups.")
    numbers = [_as_group_number(path, value) for value in table[labels.OPTICS_GROUP].tolist()]
    undefined = sorted(set(numbers) - groups.keys())
    if undefined:
        raise InputError(
            f"{path}: micrographs belong to optics group {undefined[0]}, which its optics table does not define "
            f"(it has {', '.join(map(str, sorted(groups)))})."
        )
    return [groups[number] for number in numbers]


def _read_old_optics(path: Path, table: DataFrame, pixel_size: float | None) -> list[OpticsGroup]:
    """Return the optics of a 3.0 file, one group for each distinct row of microscope parameters.

    Pixel size (Å) = 10,000 × detector pixel size (µm) / magnification, as RELION's star_converter computes it.
    """
    columns = (
        labels.DETECTOR_PIXEL_SIZE,
        labels.MAGNIFICATION,
        labels.VOLTAGE,
        labels.SPHERICAL_ABERRATION,
        labels.AMPLITUDE_CONTRAST,
    )
    has_pixel_size = {labels.DETECTOR_PIXEL_SIZE, labels.MAGNIFICATION} <= set(table.columns)
    if pixel_size is None and not has_pixel_size:
        raise InputError(
            f"{path} has no pixel size (neither an optics table nor {labels.DETECTOR_PIXEL_SIZE} and "
            f"{labels.MAGNIFICATION}): give --pixel_size in Å per pixel."
        )
    groups: dict[tuple[float | None, ...], OpticsGroup] = {}
    result = []
    for row in table.reindex(columns=columns).to_dict("records"):
        values = tuple(_as_optional(row.get(label)) for label in columns)
        if values not in groups:
            index = len(groups) + 1
            size = pixel_size
            if size is None:
                size = _pixel_size_from_magnification(path, index, values[0], values[1])
            groups[values] = OpticsGroup(index, f"opticsGroup{index}", size, *values[2:])
        result.append(groups[values])
    return result


def _pixel_size_from_magnification(
    path: Path, index: int, detector: float | None, magnification: float | None
) -> float:
    if not detector or not magnification:
        raise InputError(
            f"{path}: optics group {index} has no detector pixel size or magnification: give --pixel_size."
        )
    return 10_000 * detector / magnification


def _read_ctfs(table: DataFrame) -> list[CtfParameters | None]:
    if not {labels.DEFOCUS_U, labels.DEFOCUS_V, labels.DEFOCUS_ANGLE} <= set(table.columns):
        return [None] * len(table)
    shift = table[labels.PHASE_SHIFT].tolist() if labels.PHASE_SHIFT in table.columns else [0.0] * len(table)
    rows = zip(
        *(table[label].tolist() for label in (labels.DEFOCUS_U, labels.DEFOCUS_V, labels.DEFOCUS_ANGLE)),
        shift,
        strict=True,
    )
    return [_as_ctf(*(_as_optional(value) for value in row)) for row in rows]


def _as_ctf(
    defocus_u: float | None, defocus_v: float | None, angle: float | None, shift: float | None
) -> CtfParameters | None:
    """Return ``None`` where the defocus is unknown: a wrong one would be worse."""
    if defocus_u is None or defocus_v is None:
        return None
    return CtfParameters(defocus_u, defocus_v, angle or 0.0, shift or 0.0)


USUAL_VOLTAGE, USUAL_ABERRATION, USUAL_CONTRAST = 300.0, 2.7, 0.1
"""kV, mm and fraction where a group does not tell: RELION refuses an optics table without these columns."""


def write_micrographs(
    path: Path, micrographs: Sequence[Micrograph], total_doses: Sequence[float | None] | None = None
) -> None:
    """Write a micrographs STAR file of RELION 3.1 (read by 4.0 and 5.0 too), by a temporary file and a rename.

    CTF columns are written if every micrograph has them, and so is the column of ``total_doses`` (e/Å²).

    Raises
    ------
    InputError
        If one number stands for two optics groups, or a name cannot be written into a STAR file.
    """
    groups = list(dict.fromkeys(micrograph.optics for micrograph in micrographs))
    if len({group.index for group in groups}) < len(groups):
        raise InputError(f"{path} would have two different optics groups of one number: number them differently.")
    optics: dict[str, Sequence[object]] = {
        labels.OPTICS_GROUP_NAME: [group.name for group in groups],
        labels.OPTICS_GROUP: [group.index for group in groups],
        labels.MICROGRAPH_PIXEL_SIZE: [float(group.pixel_size) for group in groups],
        labels.ORIGINAL_PIXEL_SIZE: [float(group.pixel_size) for group in groups],
        labels.VOLTAGE: [_or_usual(group.voltage, USUAL_VOLTAGE) for group in groups],
        labels.SPHERICAL_ABERRATION: [_or_usual(group.spherical_aberration, USUAL_ABERRATION) for group in groups],
        labels.AMPLITUDE_CONTRAST: [_or_usual(group.amplitude_contrast, USUAL_CONTRAST) for group in groups],
    }
    rows: dict[str, Sequence[object]] = {
        labels.MICROGRAPH_NAME: [micrograph.name for micrograph in micrographs],
        labels.OPTICS_GROUP: [micrograph.optics.index for micrograph in micrographs],
    }
    ctfs = [micrograph.ctf for micrograph in micrographs if micrograph.ctf is not None]
    if ctfs and len(ctfs) == len(micrographs):
        rows[labels.DEFOCUS_U] = [float(ctf.defocus_u) for ctf in ctfs]
        rows[labels.DEFOCUS_V] = [float(ctf.defocus_v) for ctf in ctfs]
        rows[labels.DEFOCUS_ANGLE] = [float(ctf.defocus_angle) for ctf in ctfs]
        rows[labels.PHASE_SHIFT] = [float(ctf.phase_shift) for ctf in ctfs]
    doses = [float(dose) for dose in total_doses or () if dose is not None]
    if doses and len(doses) == len(micrographs):
        rows[labels.TOTAL_DOSE] = doses
    replace_file(path, format_table(labels.OPTICS_BLOCK, optics) + format_table(labels.MICROGRAPHS_BLOCK, rows))


def _or_usual(value: float | None, usual: float) -> float:
    return usual if value is None else float(value)
