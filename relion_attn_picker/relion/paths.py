"""Where RELION looks for the coordinates of a micrograph: one rule, the same in all versions."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from relion_attn_picker.errors import InputError

JOB_PART = re.compile(r"(?:^|/)job\d{3}[^/]*/")
MAX_SLASHES = 20


def name_inside_job(micrograph_name: str) -> str:
    """Return what of a micrograph's name goes into a job's own paths.

    That is what follows the first path component that begins with ``job`` and three digits; without one, the whole
    name (RELION 3.1 to 5.0, filename.cpp, ``decomposePipelineFileName``).

    Raises
    ------
    InputError
        If the name has more than 20 slashes, which RELION refuses, or would leave the job's folder.
    """
    if micrograph_name.count("/") > MAX_SLASHES:
        raise InputError(
            f"The micrograph name {micrograph_name} has more than {MAX_SLASHES} slashes: RELION refuses it."
        )
    found = JOB_PART.search(micrograph_name)
    name = micrograph_name[found.end() :] if found else micrograph_name
    if ".." in PurePosixPath(name).parts:
        raise InputError(
            f"The micrograph name {micrograph_name} would be written outside the job folder: use names without '..'."
        )
    return name


def coordinate_name(micrograph_name: str, pickname: str) -> str:
    """Return the coordinate file's name relative to the job folder: cut at the last dot, ``_pickname.star`` added.

    Raises
    ------
    InputError
        As ``name_inside_job``.
    """
    name = name_inside_job(micrograph_name)
    folder, slash, file = name.rpartition("/")
    stem = file.rpartition(".")[0] or file
    return f"{folder}{slash}{stem}_{pickname}.star"
