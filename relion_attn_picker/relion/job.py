"""The folder of one RELION External job: its markers, its output nodes, and where a micrograph's files go.

All paths are relative to the working folder, which is RELION's project folder. What this module does not do: it picks
nothing and knows no options.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path, PurePosixPath

from relion_attn_picker.errors import InputError
from relion_attn_picker.relion import labels
from relion_attn_picker.relion.file_names import coordinate_file_name
from relion_attn_picker.relion.star_format import write_table

_VERSION = re.compile(r"^# version (\d+)", re.MULTILINE)
_JOB_TYPE_LABEL = re.compile(r"^_rlnJobTypeLabel\s", re.MULTILINE)
_JOB_TYPE_NUMBER = re.compile(r"^_rlnJobType\s", re.MULTILINE)
_TOMOGRAPHY_JOB = re.compile(r"^_rlnJobIsTomo\s+1\s*$", re.MULTILINE)
FIRST_VERSION_5 = 50001


class Outcome(Enum):
    """How a job ended: the name of its marker and the exit code that goes with it."""

    SUCCESS = (labels.EXIT_SUCCESS, 0)
    FAILURE = (labels.EXIT_FAILURE, 1)
    ABORTED = (labels.EXIT_ABORTED, 2)

    @property
    def marker(self) -> str:
        """Name of the empty file that tells RELION."""
        return self.value[0]

    @property
    def exit_code(self) -> int:
        """What the process returns, for pipeliners that do not read markers."""
        return self.value[1]


@dataclass(frozen=True)
class JobDirectory:
    """One job folder; make it by ``open``.

    Parameters
    ----------
    name
        The folder as RELION gave it, with exactly one slash at the end: names of nodes must begin with it.
    flavour
        Of the RELION that started the job: a key of ``labels.NODE_TABLES``.
    """

    name: str
    flavour: str

    @property
    def path(self) -> Path:
        """The folder."""
        return Path(self.name)

    @classmethod
    def open(cls, path: Path | str) -> JobDirectory:
        """Make the folder if needed, remove markers of an earlier run, and see which RELION started the job.

        Raises
        ------
        InputError
            If the folder cannot be made or written to, or the job is one of tomography; that job gets its failure
            marker here.
        """
        text = str(path)
        if not text:
            raise InputError("The job's folder has an empty name: expected for example External/job004/.")
        name = text.rstrip("/") + "/"
        _make_writable(Path(name))
        _remove_markers(Path(name))
        job_star = _read_job_star(Path(name))
        job = cls(name, detect_flavour(job_star))
        if _TOMOGRAPHY_JOB.search(job_star):
            job.finish(Outcome.FAILURE)
            raise InputError(
                f"{name}{labels.JOB_STAR} says that this is a tomography job: expected one of single-particle "
                "analysis; make the External job in an SPA project."
            )
        return job

    def relative_output_path(self, micrograph_name: str, suffix: str) -> PurePosixPath:
        """Return where a file made from a micrograph goes, relative to the job folder: name + ``suffix`` by RELION's rule.

        Raises
        ------
        InputError
            If RELION could not handle the name, or the file would lie outside the folder.
        """
        return PurePosixPath(coordinate_file_name(micrograph_name, suffix))

    def coordinate_path(self, micrograph_name: str) -> Path:
        """Return the path of a micrograph's coordinate file.

        Raises
        ------
        InputError
            If RELION could not handle the name, or the file would lie outside the folder or replace the job's own list.
        """
        relative = self.relative_output_path(micrograph_name, labels.COORDINATE_SUFFIX)
        if str(relative) == labels.COORDS_SUFFIX:
            raise InputError(
                f"The coordinate file of micrograph {micrograph_name} would replace the job's own {relative}: rename "
                "the micrograph."
            )
        return self.path / relative

    def coordinate_paths(self, micrograph_names: Sequence[str]) -> list[Path]:
        """Return the paths of the coordinate files of all micrographs, in their order.

        Raises
        ------
        InputError
            As ``coordinate_path``, and if two micrographs would have the same file.
        """
        owners: dict[Path, str] = {}
        for name in micrograph_names:
            path = self.coordinate_path(name)
            if owners.setdefault(path, name) != name:
                raise InputError(
                    f"The micrographs {owners[path]} and {name} would both have the coordinate file {path}: pick them "
                    "in separate jobs, or rename one."
                )
        return [self.coordinate_path(name) for name in micrograph_names]

    def output_name(self, path: Path) -> str:
        """Return the name, as RELION knows it, of a file in the job folder."""
        return self.name + path.relative_to(self.path).as_posix()

    def abort_requested(self) -> bool:
        """Return whether the user or a scheduler asked the job to stop; nobody else will stop it."""
        return (self.path / labels.ABORT_NOW).exists()

    def write_output_nodes(self) -> None:
        """Tell RELION the job's results: coordinates and logfile, in the words of its flavour."""
        table = labels.NODE_TABLES[self.flavour]
        columns: dict[str, Sequence[object]] = {labels.NODE_NAME: [self.name + file for file in table.rows]}
        for label, words in zip(table.labels, zip(*table.rows.values(), strict=True), strict=True):
            columns[label] = words
        write_table(self.path / labels.OUTPUT_NODES, "output_nodes", columns, table.version)

    def finish(self, outcome: Outcome) -> None:
        """Leave exactly one marker. It must be the last file of the job: RELION reads the nodes when it sees it.

        An earlier outcome is replaced, an abort request is taken away. The marker is empty and the others are removed
        before it is made, so that it finds its place even on a full disk.

        Raises
        ------
        InputError
            If the marker cannot be made, for example because the folder was deleted.
        """
        _remove_markers(self.path)
        try:
            (self.path / outcome.marker).touch()
        except OSError as error:
            raise InputError(
                f"The marker {self.name}{outcome.marker} cannot be written ({error.strerror}): RELION will show the "
                "job as running; mark it by hand."
            ) from None


def detect_flavour(job_star: str) -> str:
    """Return the flavour of RELION by the text of its ``job.star``.

    3.1 numbers the type of a job; 4.0 and 5.0 name it, under different versions (observed: 3.1.3, 4.0.2, 5.0).
    """
    version = _VERSION.search(job_star)
    if _JOB_TYPE_LABEL.search(job_star) and version:
        return "5.0" if int(version[1]) >= FIRST_VERSION_5 else "4.0"
    return "3.1" if _JOB_TYPE_NUMBER.search(job_star) else labels.UNKNOWN_FLAVOUR


def _make_writable(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise InputError(f"The job folder {folder} cannot be made: {error.strerror}; choose another folder.") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise InputError(f"The job folder {folder} cannot be written to: check its permissions.")


def _remove_markers(folder: Path) -> None:
    for marker in labels.MARKERS:
        try:
            (folder / marker).unlink(missing_ok=True)
        except OSError as error:
            raise InputError(f"The marker {folder / marker} cannot be removed: {error.strerror}.") from None


def _read_job_star(folder: Path) -> str:
    """Return the text of ``job.star``, empty if there is none: the job was then started by hand."""
    try:
        return (folder / labels.JOB_STAR).read_text(encoding="utf-8", errors="replace")
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise InputError(f"{folder / labels.JOB_STAR} cannot be read: {error.strerror}.") from None
