"""From a micrograph's name to the names of files made from it, by RELION's own rule."""

from __future__ import annotations

import re
from pathlib import PurePosixPath

from relion_attn_picker.errors import InputError

MAX_SLASHES = 20
"""RELION stops at deeper paths: 3.1.3, filename.cpp, ``decomposePipelineFileName``."""

_JOB_PART = (re.compile(r"(?<!^)/job[0-9]{3}[^/]*(?:/|$)"), re.compile(r"^job[0-9]{3}[^/]*(?:/|$)"))
"""A path component that begins with ``job`` and three digits; one at the very start of the name counts last (observed
with RELION 3.1.3: ``job001/job002/x.mrc`` gives ``x``, ``/job001/x.mrc`` has no such part)."""


def strip_job_part(micrograph_name: str) -> str:
    """Return what follows the first job folder in a name, or the whole name: ``CtfFind/job003/raw/a.mrc`` → ``raw/a.mrc``.

    Source: RELION 3.1.3 filename.cpp:537, 4.0.2 :597, 5.0 :614.
    """
    for pattern in _JOB_PART:
        if match := pattern.search(micrograph_name):
            return micrograph_name[match.end() :]
    return micrograph_name


def coordinate_file_name(micrograph_name: str, suffix: str) -> str:
    """Return the name of a micrograph's file relative to a job folder: without job part and extension, plus ``suffix``.

    The extension is what follows the last dot, wherever it is, as in RELION (``FileName::withoutExtension``). A leading
    slash is left out: RELION appends the name to the folder with it, which names the same file.

    Raises
    ------
    InputError
        If RELION could not handle the name, or the file would lie outside the folder.
    """
    if micrograph_name.count("/") > MAX_SLASHES:
        raise InputError(
            f"The micrograph {micrograph_name} lies more than {MAX_SLASHES} folders deep, which RELION refuses: "
            "move it or link to it."
        )
    stripped = strip_job_part(micrograph_name).lstrip("/")
    if not stripped or stripped.endswith("/"):
        raise InputError(
            f"The micrograph {micrograph_name!r} leaves no file name after its job folder: RELION takes a part that "
            "begins with 'job' and three digits for a job; rename the file."
        )
    if ".." in PurePosixPath(stripped).parts or "\0" in stripped:
        raise InputError(
            f"The micrograph {micrograph_name!r} would be written outside the job folder: expected a name without "
            "'..'; import the micrographs by a path inside the project."
        )
    stem, dot, _ = stripped.rpartition(".")
    return (stem if dot else stripped) + suffix
