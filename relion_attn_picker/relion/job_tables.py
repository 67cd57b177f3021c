"""The STAR files that a picking job leaves: picks of each micrograph, and lists of the job as a whole."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from relion_attn_picker.errors import InputError
from relion_attn_picker.picks import FloatArray
from relion_attn_picker.relion import labels
from relion_attn_picker.relion.star_format import replace_text, write_table


def write_picks(path: Path, yx: FloatArray, score: FloatArray, image_shape: tuple[int, int]) -> None:
    """Write the coordinate file of one micrograph, in the five columns of RELION's own pickers.

    Coordinates are rounded, because Extract cuts their fractions off (299.5 → 299), and put inside the image, because
    one box that lies wholly outside stops the whole Extract job. More columns would be harmful: an optics group or a
    defocus makes Extract fail. Class and angle are the dummies of RELION's LoG picker. (RELION 3.1-5.0,
    preprocessing.cpp and autopicker.cpp.)

    Parameters
    ----------
    path
        ``..._autopick.star``; its folder must exist.
    yx, score
        ``(n, 2)`` in pixels of the micrograph and ``(n,)``; ``n`` may be 0.
    image_shape
        ``(h, w)`` of the micrograph.

    Raises
    ------
    ValueError
        If a coordinate or a score is not finite.
    """
    if not (np.isfinite(yx).all() and np.isfinite(score).all()):
        raise ValueError(f"Picks for {path} are not finite.")
    whole = np.clip(np.floor(np.asarray(yx, dtype=np.float64) + 0.5), 0, np.array(image_shape) - 1)
    columns: dict[str, Sequence[object]] = {
        labels.COORDINATE_X: whole[:, 1].tolist(),
        labels.COORDINATE_Y: whole[:, 0].tolist(),
        labels.SCORE: [float(value) for value in score],
        labels.CLASS_NUMBER: [0] * len(whole),
        labels.ANGLE_PSI: [0.0] * len(whole),
    }
    write_table(path, "", columns)


def write_coordinate_index(path: Path, micrograph_names: Sequence[str], coordinate_files: Sequence[str]) -> None:
    """Write ``autopick.star``, the list of coordinate files (relative to the project) for RELION 4 and 5."""
    columns = {labels.MICROGRAPH_NAME: micrograph_names, labels.MICROGRAPH_COORDINATES: coordinate_files}
    write_table(path, labels.COORDINATE_FILES, columns)


def write_coords_suffix(path: Path, micrographs_star: str) -> None:
    """Write ``coords_suffix_autopick.star``: one line, the micrographs STAR file as it was given (RELION 3.1).

    Raises
    ------
    InputError
        If the path has a line break.
    """
    if "\n" in micrographs_star or "\r" in micrographs_star:
        raise InputError(f"The path {micrographs_star!r} has a line break: rename the file.")
    replace_text(path, micrographs_star + "\n")


def write_summary(
    path: Path, micrograph_names: Sequence[str], mean_scores: Sequence[float], n_picks: Sequence[int]
) -> None:
    """Write ``summary.star``: mean score and number of picks of the micrographs that have any (as RELION does)."""
    rows = [row for row in zip(micrograph_names, mean_scores, n_picks, strict=True) if row[2] > 0]
    columns = {
        labels.MICROGRAPH_NAME: [name for name, _, _ in rows],
        labels.SCORE: [float(score) for _, score, _ in rows],
        labels.GROUP_NR_PARTICLES: [int(count) for _, _, count in rows],
    }
    write_table(path, "", columns)


def write_failures(path: Path, micrograph_names: Sequence[str], reasons: Sequence[str]) -> None:
    """Write ``failed_micrographs.star``: the micrographs that could not be picked, each with its reason.

    Quotation marks in a reason are written as typographic ones and line breaks as blanks: a word of STAR can hold
    neither, and not every reader knows that an apostrophe inside a word is no quote.
    """
    columns = {
        labels.MICROGRAPH_NAME: micrograph_names,
        labels.FAILURE_REASON: [_quotable(reason) for reason in reasons],
    }
    write_table(path, "failed_micrographs", columns)


def _quotable(text: str) -> str:
    return " ".join(text.replace("'", "’").replace('"', "”").split())
