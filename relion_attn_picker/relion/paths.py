"""Where RELION looks for the coordinates of a micrograph: one rule, the same in all versions."""

from __future__ import annotations

import re
from pathlib import Path, PurePosixPath

from relion_attn_picker.errors import InputError

JOB_PART = re.compile(r"./job\d{3}[^/]*(?:/|$)")
JOB_AT_START = re.compile(r"job\d{3}[^/]*(?:/|$)")
MAX_SLASHES = 20


def name_inside_job(micrograph_name: str) -> str:
    """Return what of a micrograph's name goes into a job's own paths.

    That is what follows the first path component that begins with ``job`` and three digits; without one, the whole
    name (RELION 3.1 to 5.0, filename.cpp, ``decomposePipelineFileName``). As RELION 3.1.3 does it: the name's own first
    component counts only if no later one does, never behind a leading slash, and the last component counts too.

    Raises
    ------
    InputError
        If the name has more than 20 slashes, which RELION refuses, or would leave the job's folder.
    """
    if micrograph_name.count("/") > MAX_SLASHES:
        raise InputError(
            f"The micrograph name {micrograph_name} has more than {MAX_SLASHES} slashes: RELION refuses it."
        )
    found = JOB_PART.search(micrograph_name) or JOB_AT_START.match(micrograph_name)
    name = micrograph_name[found.end() :] if found else micrograph_name
    if ".." in PurePosixPath(name).parts:
        raise InputError(
            f"The micrograph name {micrograph_name} would be written outside the job folder: use names without '..'."
        )
    return name


def job_name(folder: Path) -> str:
    """Return a job's folder as RELION itself calls it: relative to the project, the current folder, not by an alias.

    An alias is a link beside the job, which the user can rename or remove in RELION; names in lists must outlive it.
    A folder that lies elsewhere keeps the name given.
    """
    place, project = folder.resolve(), Path.cwd().resolve()
    return place.relative_to(project).as_posix() if place.is_relative_to(project) else str(folder)


def coordinate_name(micrograph_name: str, pickname: str) -> str:
    """Return the coordinate file's name relative to the job folder: cut at the last dot, ``_pickname.star`` added.

    RELION cuts at the last dot of the whole path, even where that lies in a folder's name.

    Raises
    ------
    InputError
        As ``name_inside_job``.
    """
    name = name_inside_job(micrograph_name)
    stem = name.rpartition(".")[0] if "." in name else name
    return f"{stem}_{pickname}.star"
