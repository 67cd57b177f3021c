"""The files of a picking job that RELION reads: coordinates, their index, the summary."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.picks import FloatArray
from relion_attn_picker.relion import labels
from relion_attn_picker.relion.star import VERSION, format_value, read_tables, write_table
from relion_attn_picker.replacing import replace_file, replacing

STAR_DIGITS = 6
"""Digits behind the point of the numbers in coordinate files, as RELION writes them."""


def write_picks(path: Path, yx: NDArray[Any], score: NDArray[Any] | None, image_shape: tuple[int, int]) -> None:
    """Write one micrograph's coordinate file in the five columns of RELION's own picker, the coordinates if no scores.

    Coordinates are rounded to whole pixels, because RELION truncates them, and kept inside the image, because one box
    completely outside ends the whole Extract job. Class number and angle are the zeros that RELION's Laplacian picker
    writes. Without picks the file has a header only.

    Parameters
    ----------
    path
        File to write, by a temporary file and a rename.
    yx
        Centres, ``(n, 2)``, pixels of the micrograph.
    score
        ``(n,)``, written as figure of merit; ``None`` for coordinates alone.
    image_shape
        ``(h, w)`` of the micrograph.
    """
    last = np.array(image_shape) - 1
    write_coordinates(path, np.clip(np.rint(yx), 0, last), score)


def write_coordinates(path: Path, yx: NDArray[Any], score: NDArray[Any] | None) -> None:
    """Write one micrograph's coordinate file with six digits behind the point, in pixels of the micrograph, as given.

    With scores it has the five columns of RELION's own picker, without them the coordinates alone.
    """
    columns = [labels.COORDINATE_X, labels.COORDINATE_Y]
    if score is None:
        rows = "".join(f"{x:12.6f} {y:12.6f} \n" for y, x in yx.tolist())
    else:
        columns += [labels.FIGURE_OF_MERIT, labels.CLASS_NUMBER, labels.ANGLE_PSI]
        rows = "".join(
            f"{x:12.6f} {y:12.6f} {fom:12.6f} {0:12d} {0.0:12.6f} \n"
            for (y, x), fom in zip(yx.tolist(), score.tolist(), strict=True)
        )
    header = "".join(f"_{label} #{number} \n" for number, label in enumerate(columns, start=1))
    replace_file(path, f"\n# version {VERSION}\n\ndata_\n\nloop_ \n{header}{rows} \n")


def write_coordinate_index(path: Path, micrograph_names: Sequence[str], coordinate_names: Sequence[str]) -> None:
    """Write the list of micrographs with their coordinate files that RELION 4.0 and 5.0 read."""
    write_table(
        path,
        labels.COORDINATES_BLOCK,
        {labels.MICROGRAPH_NAME: micrograph_names, labels.MICROGRAPH_COORDINATES: coordinate_names},
    )


def write_coords_suffix(path: Path, micrographs_star: str) -> None:
    """Write the file that RELION 3.1 reads instead of a list: one line with the micrographs' STAR file."""
    replace_file(path, micrographs_star + "\n")


def write_summary(
    path: Path, micrograph_names: Sequence[str], mean_scores: Sequence[float], counts: Sequence[int]
) -> None:
    """Write RELION's summary: mean figure of merit and number of picks of each micrograph that has any."""
    write_table(
        path,
        "",
        {
            labels.MICROGRAPH_NAME: micrograph_names,
            labels.FIGURE_OF_MERIT: mean_scores,
            labels.GROUP_PARTICLES: counts,
        },
    )


def write_failures(path: Path, micrograph_names: Sequence[str], reasons: Sequence[str]) -> None:
    """Write the micrographs that could not be picked, with the reason; quotes become grave accents."""
    told = [" ".join(reason.replace('"', "`").replace("'", "`").split()) for reason in reasons]
    write_table(path, "failed_micrographs", {labels.FAILED_NAME: micrograph_names, labels.REASON: told})


def read_failures(path: Path) -> dict[str, str]:
    """Return the micrographs that ``write_failures`` listed, with the reason of each; none without the file."""
    if not path.is_file():
        return {}
    table = next(iter(read_tables(path).values()))
    return dict(zip(map(str, table[labels.FAILED_NAME]), map(str, table[labels.REASON]), strict=True))


@dataclass(frozen=True)
class RejectedPoints:
    """Rejected candidates of one micrograph: centres ``(n, 2)`` in its pixels, scores ``(n,)``, a word why for each."""

    micrograph: str
    yx: NDArray[Any]
    score: NDArray[Any]
    reasons: Sequence[str]


def write_rejected(path: Path, rejected: Sequence[RejectedPoints]) -> None:
    """Write the candidates that would be picks but for a reason to reject them, best first in each micrograph."""
    yx = np.concatenate([np.zeros((0, 2)), *(points.yx for points in rejected)]).astype(float)
    score = np.concatenate([np.zeros(0), *(points.score for points in rejected)]).astype(float)
    columns = {
        labels.MICROGRAPH_NAME: [points.micrograph for points in rejected for _ in points.reasons],
        labels.COORDINATE_X: yx[:, 1].tolist(),
        labels.COORDINATE_Y: yx[:, 0].tolist(),
        labels.FIGURE_OF_MERIT: score.tolist(),
        labels.REASON: [reason for points in rejected for reason in points.reasons],
    }
    write_table(path, "rejected_candidates", columns)


def write_truth(path: Path, yx: FloatArray) -> None:
    """Write the true centres of one micrograph, ``(n, 2)`` in its pixels, with their fractions."""
    write_coordinates(path, yx, None)


def write_particles(
    path: Path, points: Iterable[tuple[str, NDArray[Any], NDArray[Any] | None]], *, has_scores: bool
) -> None:
    """Write the coordinates of many micrographs into one table of particles, micrograph by micrograph.

    Parameters
    ----------
    path
        File to write, by a temporary file and a rename.
    points
        For each micrograph its name, ``(n, 2)`` in its pixels, and ``(n,)`` scores if ``has_scores``.
    has_scores
        Whether there is a column of figures of merit.

    Raises
    ------
    InputError
        If a name cannot be written into a STAR file.
    """
    columns = [labels.MICROGRAPH_NAME, labels.COORDINATE_X, labels.COORDINATE_Y]
    columns += [labels.FIGURE_OF_MERIT] if has_scores else []
    header = "".join(f"_{label} #{number} \n" for number, label in enumerate(columns, start=1))
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        file.write(f"\n# version {VERSION}\n\ndata_{labels.PARTICLES_BLOCK}\n\nloop_ \n{header}")
        for name, yx, score in points:
            word = format_value(name)
            values = [yx[:, 1].tolist(), yx[:, 0].tolist(), *([] if score is None else [score.tolist()])]
            rows = zip(*values, strict=True)
            file.write("".join(f"{word} {' '.join([f'{value:12.6f}' for value in row])} \n" for row in rows))
        file.write(" \n")
