"""One External job's folder: its markers, its RELION version, its output nodes, its coordinate files' places."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from relion_attn_picker.errors import InputError
from relion_attn_picker.options import check_output_name
from relion_attn_picker.relion import labels
from relion_attn_picker.relion.paths import coordinate_name
from relion_attn_picker.relion.star import write_table


class Outcome(Enum):
    """How a job ended: its marker file and its exit code."""

    SUCCESS = (labels.EXIT_SUCCESS, 0)
    FAILURE = (labels.EXIT_FAILURE, 1)
    ABORTED = (labels.EXIT_ABORTED, 2)

    @property
    def marker(self) -> str:
        """Name of the marker file."""
        return self.value[0]

    @property
    def exit_code(self) -> int:
        """Exit code of the process."""
        return self.value[1]


def coordinate_paths(folder: str, micrograph_names: Sequence[str]) -> list[Path]:
    """Return the path of each micrograph's coordinate file in a job's folder, which need not exist.

    Raises
    ------
    InputError
        If a path would leave the folder, or two micrographs share one.
    """
    owners: dict[Path, str] = {}
    for micrograph_name in micrograph_names:
        path = Path(folder.rstrip("/") + "/" + coordinate_name(micrograph_name, labels.PICKNAME))
        if path in owners:
            raise InputError(
                f"The micrographs {owners[path]} and {micrograph_name} would get the same coordinate file, "
                f"{path}: rename one of them, or pick them in two jobs."
            )
        owners[path] = micrograph_name
    return list(owners)


@dataclass(frozen=True)
class JobDirectory:
    """The folder of one job; make it with ``open``.

    Parameters
    ----------
    name
        The folder as RELION names it, with one slash at the end: names of output nodes begin with it.
    flavour
        The RELION version that started the job.
    """

    name: str
    flavour: labels.Flavour

    @classmethod
    def open(cls, name: str) -> JobDirectory:
        """Make the folder if it is absent; markers are left alone, for another process may be at work in it.

        Raises
        ------
        InputError
            If the name is blank, or the folder cannot be made or written to.
        """
        check_output_name(name, "The name of the job's folder")
        name = name.rstrip("/") + "/"
        path = Path(name)
        try:
            path.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise InputError(
                f"The job folder {name} cannot be made or written to ({error.strerror}): check the path and its rights."
            ) from error
        if not os.access(path, os.W_OK | os.X_OK):
            raise InputError(f"The job folder {name} cannot be written to: check its rights.")
        return cls(name, labels.FLAVOURS[_find_flavour(path / "job.star")])

    @property
    def path(self) -> Path:
        """The folder."""
        return Path(self.name)

    def remove_markers(self) -> None:
        """Remove the markers of an earlier run, its request to abort too; only who holds the folder may do so.

        Raises
        ------
        InputError
            If one cannot be removed.
        """
        try:
            for marker in (*(outcome.marker for outcome in Outcome), labels.ABORT_NOW):
                (self.path / marker).unlink(missing_ok=True)
        except OSError as error:
            raise InputError(
                f"The markers in the job folder {self.name} cannot be removed ({error.strerror}): check its rights."
            ) from error

    def refuse_tomography(self) -> None:
        """Raise ``InputError`` if RELION started this job in its tomography mode."""
        if _read_job_star(self.path / "job.star").get(labels.JOB_IS_TOMO) == "1":
            raise InputError("This job was started in RELION's tomography mode: attnpick picks on micrographs.")

    def coordinate_paths(self, micrograph_names: Sequence[str]) -> list[Path]:
        """Return the path of each micrograph's coordinate file.

        Raises
        ------
        InputError
            If a path would leave the folder, or two micrographs share one.
        """
        return coordinate_paths(self.name, micrograph_names)

    def output_name(self, path: Path) -> str:
        """Return a path inside the folder as RELION names it: the folder's name verbatim, then the rest."""
        return self.name + str(path.relative_to(self.path))

    def abort_requested(self) -> bool:
        """Tell whether the user pressed Abort in RELION."""
        return (self.path / labels.ABORT_NOW).exists()

    def write_output_nodes(self, *, of_training: bool = False) -> None:
        """Write the table of output nodes in the words of the job's RELION version."""
        listed = self.flavour.training if of_training else self.flavour.rows
        rows = [(self.name + str(row[0]), *row[1:]) for row in listed]
        columns = dict(zip(self.flavour.columns, zip(*rows, strict=True), strict=True))
        write_table(
            self.path / labels.OUTPUT_NODES, labels.OUTPUT_NODES_BLOCK, columns, version=self.flavour.star_version
        )

    def finish(self, outcome: Outcome) -> None:
        """Leave the one marker of ``outcome``; nothing may be written to the folder after this."""
        for other in Outcome:
            if other is not outcome:
                (self.path / other.marker).unlink(missing_ok=True)
        if outcome is Outcome.ABORTED:
            (self.path / labels.ABORT_NOW).unlink(missing_ok=True)
        (self.path / outcome.marker).touch()


def _read_job_star(path: Path) -> dict[str, str]:
    """Return the single values of RELION's job.star and its version comment; empty without the file.

    Read line by line: the file is RELION's own, and this must work before anything heavy is imported.
    """
    values: dict[str, str] = {}
    if not path.is_file():
        return values
    for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
        words = line.split()
        if len(words) == 2 and words[0].startswith("_"):
            values[words[0][1:]] = words[1]
        elif words[:2] == ["#", "version"] and len(words) == 3:
            values.setdefault("version", words[2])
    return values


def _find_flavour(path: Path) -> str:
    """Return which RELION wrote a job.star: 3.1 numbers its job types, 4.0 and 5.0 differ in the version comment."""
    values = _read_job_star(path)
    if labels.JOB_TYPE_LABEL in values:
        return "5.0" if values.get("version", "") >= "50001" else "4.0"
    return "3.1" if labels.JOB_TYPE_NUMBER in values else "unknown"
