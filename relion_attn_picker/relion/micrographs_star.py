"""Micrographs STAR files of RELION 3.0 (one unnamed block) and 3.1, 4.0, 5.0 (optics and micrographs).

What this module does not do: it opens no image.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence
from pathlib import Path

from relion_attn_picker.errors import InputError
from relion_attn_picker.micrograph import CtfParameters, Micrograph, OpticsGroup
from relion_attn_picker.relion import labels
from relion_attn_picker.relion.star_format import StarTable, read_tables

log = logging.getLogger(__name__)

GROUPING_LABELS = (
    labels.AMPLITUDE_CONTRAST,
    labels.BEAM_TILT_X,
    labels.BEAM_TILT_Y,
    labels.SPHERICAL_ABERRATION,
    labels.VOLTAGE,
    labels.DETECTOR_PIXEL_SIZE,
    labels.MAGNIFICATION,
)
"""Micrographs of RELION 3.0 that agree in these share an optics group (RELION 3.1.3, jaz/io/star_converter.cpp)."""

WANTED = frozenset(
    {
        *GROUPING_LABELS,
        labels.MICROGRAPH_NAME,
        labels.OPTICS_GROUP,
        labels.OPTICS_GROUP_NAME,
        labels.MICROGRAPH_PIXEL_SIZE,
        labels.IMAGE_PIXEL_SIZE,
        labels.DEFOCUS_U,
        labels.DEFOCUS_V,
        labels.DEFOCUS_ANGLE,
        labels.PHASE_SHIFT,
    }
)

OTHER_CONTENTS = {
    labels.MICROGRAPH_COORDINATES: "a list of coordinate files",
    labels.IMAGE_NAME: "a list of particles",
    labels.COORDINATE_X: "a list of coordinates",
    labels.MICROGRAPH_MOVIE_NAME: "a list of movies",
}
"""Label → what a table without micrographs is, by the first label that it has. Motion-corrected micrographs may list
their movies too: that label counts only in the absence of a micrograph's name."""


def read_micrographs(path: Path, pixel_size: float | None = None) -> list[Micrograph]:
    """Read the list of micrographs.

    Parameters
    ----------
    path
        STAR file of RELION 3.0, 3.1, 4.0 or 5.0.
    pixel_size
        Å per pixel of all micrographs, in place of what the file says; needed if it says nothing.

    Returns
    -------
    list of Micrograph
        At least one, in the order of the file, names to the letter.

    Raises
    ------
    InputError
        If the file is not a list of micrographs of single-particle analysis, is empty, contradicts itself, or no pixel
        size is known.
    """
    tables = read_tables(path, WANTED)
    table = find_micrographs_table(tables)
    names = read_names(table)
    optics_table = next((table for table in tables if table.block == "optics"), None)
    if optics_table is not None:
        groups = _listed_groups(table, _read_optics(optics_table, pixel_size))
    elif pixel_size is not None and labels.OPTICS_GROUP in table.labels:
        groups = [OpticsGroup(1, "opticsGroup1", pixel_size)] * len(names)
    else:
        groups = _convert_optics(table, pixel_size)
    ctfs = _read_ctf(table)
    return [Micrograph(name, optics, ctf) for name, optics, ctf in zip(names, groups, ctfs, strict=True)]


def find_micrographs_table(tables: Sequence[StarTable]) -> StarTable:
    """Return the one table of micrographs.

    Raises
    ------
    InputError
        If there is none or more than one, or the file is from tomography or lists something else.
    """
    path = tables[0].path
    reject_tomography(tables)
    blocks = [table.block for table in tables]
    if blocks.count("optics") > 1:
        raise InputError(f"{path} has the block 'data_optics' more than once: expected one.")
    contents = [table for table in tables if table.block != "optics"]
    if not contents:
        raise InputError(
            f"{path} has no micrographs: its only block is 'data_optics'; expected 'data_micrographs' too."
        )
    found = [table for table in contents if table.block == "micrographs"] or contents[:1]
    if len(found) > 1:
        raise InputError(f"{path} has the block 'data_micrographs' more than once: expected one.")
    _reject_other_contents(found[0])
    return found[0]


def reject_tomography(tables: Sequence[StarTable]) -> None:
    """Raise ``InputError`` for a file of RELION 5's tomography (marks: RELION 5.0, jaz/tomography/tomogram_set.cpp)."""
    for table in tables:
        if table.block == "global" or any(label.startswith(labels.TOMOGRAPHY_PREFIX) for label in table.labels):
            raise InputError(
                f"{table.path} is from tomography (block 'data_{table.block}'): expected the micrographs of "
                "single-particle analysis; tilt series cannot be picked here."
            )


def _reject_other_contents(table: StarTable) -> None:
    named = labels.MICROGRAPH_NAME in table.labels
    for label, content in OTHER_CONTENTS.items():
        if label in table.labels and not (named and label == labels.MICROGRAPH_MOVIE_NAME):
            raise InputError(
                f"{table.path} is {content} (column {label}), not of micrographs: give the micrographs STAR file, for "
                "example CtfFind/job003/micrographs_ctf.star."
            )
    if not table.labels:
        raise InputError(f"{table.place}, has no table: expected a list of micrographs.")
    if not named:
        raise InputError(
            f"{table.place}, is no list of micrographs: it has no column {labels.MICROGRAPH_NAME} "
            f"(its columns: {', '.join(table.labels)})."
        )


def read_names(table: StarTable) -> Sequence[str]:
    """Return the names of a micrographs table.

    Raises
    ------
    InputError
        If there are none, one is empty, or one occurs twice.
    """
    names = table.words(labels.MICROGRAPH_NAME)
    if not names:
        raise InputError(f"{table.place}, lists no micrographs: check the job that made it.")
    if "" in names:
        raise InputError(f"{table.place}, row {names.index('') + 1}: the micrograph's name is empty.")
    if (repeated := table.first_repeated(labels.MICROGRAPH_NAME)) is not None:
        raise InputError(f"{table.place}, lists the micrograph {repeated} more than once: remove the repeated rows.")
    return names


def _read_optics(table: StarTable, pixel_size: float | None) -> dict[str, OpticsGroup]:
    """Return optics groups by the word that numbers them."""
    indices = table.words(labels.OPTICS_GROUP)
    if (repeated := table.first_repeated(labels.OPTICS_GROUP)) is not None:
        raise InputError(f"{table.place}, defines the optics group {repeated} more than once: expected each once.")
    sizes = _pixel_sizes(table, pixel_size)
    has_names = labels.OPTICS_GROUP_NAME in table.labels
    names = table.words(labels.OPTICS_GROUP_NAME) if has_names else [f"opticsGroup{index}" for index in indices]
    return {
        index: OpticsGroup(_group_number(table, index), name, size, *physics)
        for index, name, size, physics in zip(indices, names, sizes, _read_physics(table), strict=True)
    }


def _group_number(table: StarTable, word: str) -> int:
    if not (word.isascii() and word.isdigit()):
        raise InputError(f"{table.place}: {labels.OPTICS_GROUP} is '{word}', expected a whole number.")
    return int(word)


def _pixel_sizes(table: StarTable, pixel_size: float | None) -> list[float]:
    if pixel_size is not None:
        return [pixel_size] * table.n_rows
    label = labels.MICROGRAPH_PIXEL_SIZE
    if label not in table.labels:
        label = labels.IMAGE_PIXEL_SIZE  # as RELION does: 3.1.3, jaz/obs_model.cpp:129
        if label not in table.labels:
            raise _no_pixel_size(table, f"no column {labels.MICROGRAPH_PIXEL_SIZE}")
        log.warning(
            "%s, has no %s: %s is taken for the micrographs' pixel size.",
            table.place,
            labels.MICROGRAPH_PIXEL_SIZE,
            label,
        )
    sizes = [float(size) for size in table.numbers(label)]
    for row, size in enumerate(sizes, start=1):
        _check_pixel_size(table, row, label, size)
    return sizes


def _no_pixel_size(table: StarTable, reason: str) -> InputError:
    return InputError(f"{table.place}, gives no pixel size ({reason}): give it with --angpix, in Å per pixel.")


def _check_pixel_size(table: StarTable, row: int, what: str, size: float) -> None:
    if not 0 < size < math.inf:
        raise InputError(
            f"{table.place}, row {row}: {what} is {size:g}, expected a positive number of Å per pixel; correct it or "
            "give the pixel size with --angpix."
        )


def _read_physics(table: StarTable) -> list[tuple[float | None, float | None, float | None]]:
    """Return voltage, spherical aberration and amplitude contrast of each row, where known."""
    voltage, aberration, contrast = (
        [float(value) for value in table.numbers(label)] if label in table.labels else [None] * table.n_rows
        for label in (labels.VOLTAGE, labels.SPHERICAL_ABERRATION, labels.AMPLITUDE_CONTRAST)
    )
    return list(zip(voltage, aberration, contrast, strict=True))


def _listed_groups(table: StarTable, groups: dict[str, OpticsGroup]) -> list[OpticsGroup]:
    """Return the optics group of each micrograph."""
    listed = table.words(labels.OPTICS_GROUP)
    for row, index in enumerate(listed, start=1):
        if index not in groups:
            raise InputError(
                f"{table.place}, row {row}: optics group {index} is not defined in block 'data_optics' "
                f"(it defines {', '.join(groups) or 'none'})."
            )
    return [groups[index] for index in listed]


def _convert_optics(table: StarTable, pixel_size: float | None) -> list[OpticsGroup]:
    """Make optics groups for a table of RELION 3.0, one for each distinct set of ``GROUPING_LABELS``.

    Pixel size (Å) = 10000 × detector pixel (µm) / magnification: RELION 3.1.3, jaz/io/star_converter.cpp.
    """
    needed = (labels.DETECTOR_PIXEL_SIZE, labels.MAGNIFICATION)
    missing = [label for label in needed if label not in table.labels]
    if pixel_size is None and missing:
        raise _no_pixel_size(table, f"no block 'data_optics' and no column {' or '.join(missing)}")
    present = [label for label in GROUPING_LABELS if label in table.labels]
    keys = list(zip(*(table.words(label) for label in present), strict=True)) or [()] * table.n_rows
    sizes = [pixel_size] * table.n_rows if pixel_size is not None else _converted_pixel_sizes(table)
    physics = _read_physics(table)
    groups: dict[tuple[str, ...], OpticsGroup] = {}
    for row, key in enumerate(keys):
        if key not in groups:
            number = len(groups) + 1
            groups[key] = OpticsGroup(number, f"opticsGroup{number}", sizes[row], *physics[row])
    return [groups[key] for key in keys]


def _converted_pixel_sizes(table: StarTable) -> list[float]:
    detector, magnification = table.numbers(labels.DETECTOR_PIXEL_SIZE), table.numbers(labels.MAGNIFICATION)
    sizes = []
    for row, (pixel, factor) in enumerate(zip(detector, magnification, strict=True), start=1):
        size = float(10000 * pixel / factor) if factor else math.inf
        _check_pixel_size(table, row, f"10000 {labels.DETECTOR_PIXEL_SIZE} / {labels.MAGNIFICATION}", size)
        sizes.append(size)
    return sizes


def _read_ctf(table: StarTable) -> list[CtfParameters | None]:
    needed = (labels.DEFOCUS_U, labels.DEFOCUS_V, labels.DEFOCUS_ANGLE)
    if any(label not in table.labels for label in needed):
        return [None] * table.n_rows
    present = [*needed, labels.PHASE_SHIFT] if labels.PHASE_SHIFT in table.labels else needed
    columns = [table.numbers(label).tolist() for label in present]
    return [CtfParameters(*row) for row in zip(*columns, strict=True)]
