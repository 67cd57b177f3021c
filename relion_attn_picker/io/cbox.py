"""crYOLO's cbox files: one a micrograph, boxes with a confidence, in two versions.

Since crYOLO 1.8 a STAR-like file (``_cbox_format_version`` 1.0): blocks ``global``, ``cryolo`` with the boxes and
``cryolo_include`` with the slices of a tomogram; what is unknown is ``<NA>``. Before, rows of numbers: x, y, width,
height, confidence, estimated width and height. x, y is the box's corner with row 0 of the file as its first row, and
the centre is x + width / 2, whatever the width (crYOLO's CoordsIO.py: ``write_star_file``, ``write_cbox_file``,
``read_cbox_boxfile_old``; the same in napari-boxmanager). Tomograms and filaments are refused: they are no points.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.number_rows import check_boxes, check_finite, parse_rows, read_text
from relion_attn_picker.point_set import DoubleArray, MicrographPoints
from relion_attn_picker.replacing import replace_file

BLOCK = re.compile(r"^data_(\S*)[ \t]*$", re.MULTILINE)
COLUMNS = (
    *("CoordinateX", "CoordinateY", "CoordinateZ", "Width", "Height", "Depth", "EstWidth", "EstHeight"),
    *("Confidence", "NumBoxes", "Angle"),
)
NEEDED = ("CoordinateX", "CoordinateY", "Width", "Height")
UNKNOWN = "<NA>"


def read_cbox(path: Path, name: str) -> MicrographPoints:
    """Read the cbox file, of either version, of the micrograph ``name``; a file without confidences has no scores.

    Raises
    ------
    InputError
        If the file is absent, damaged, or holds a tomogram's or filaments' boxes.
    """
    text = read_text(path)
    if not BLOCK.search(text):
        rows = parse_rows(path, text, least=5)
        return _as_points(path, name, {label: rows[:, column] for column, label in enumerate((*NEEDED, "Confidence"))})
    return _as_points(path, name, _read_block(path, text))


def _read_block(path: Path, text: str) -> dict[str, DoubleArray]:
    """Return the columns of the block ``cryolo`` by name, without their underscores."""
    parts = BLOCK.split(text)
    blocks = dict(zip(parts[1::2], parts[2::2], strict=True))
    if "cryolo" not in blocks:
        raise InputError(f"{path} has no block data_cryolo: expected a cbox file of crYOLO.")
    lines = blocks["cryolo"].splitlines()
    labels = [line.split()[0].lstrip("_") for line in lines if line.startswith("_")]
    missing = [label for label in NEEDED if label not in labels]
    if missing:
        raise InputError(f"{path}: its block data_cryolo has no column _{missing[0]}.")
    if "filamentid" in labels:
        raise InputError(f"{path} holds filaments: only the boxes of single particles are read.")
    start = max(number for number, line in enumerate(lines) if line.startswith("_")) + 1
    before = text[: text.index(blocks["cryolo"])].count("\n")
    body = "\n".join(lines[start:]).replace(UNKNOWN, "nan")
    rows = parse_rows(path, body, least=len(labels), first_line=before + start + 1)
    return {label: rows[:, column] for column, label in enumerate(labels)}


def _as_points(path: Path, name: str, columns: dict[str, DoubleArray]) -> MicrographPoints:
    if np.isfinite(columns.get("CoordinateZ", np.empty(0))).any():
        raise InputError(f"{path} holds the boxes of a tomogram: only micrographs are read.")
    box_hw = np.stack([columns["Height"], columns["Width"]], axis=1)
    corner = np.stack([columns["CoordinateY"], columns["CoordinateX"]], axis=1)
    check_finite(path, corner)
    check_finite(path, box_hw)
    check_boxes(path, box_hw)
    score = columns.get("Confidence")
    known = score is not None and (not score.size or bool(np.isfinite(score).any()))
    return MicrographPoints(name, corner + box_hw / 2, score if known else None, box_hw)


def write_cbox(path: Path, yx: DoubleArray, score: DoubleArray | None, box_hw: DoubleArray) -> None:
    """Write one micrograph in the version of crYOLO 1.8 and later, all digits kept; without scores, confidence <NA>."""
    confidence = [UNKNOWN] * len(yx) if score is None else [_format(value) for value in score.tolist()]
    corner = yx - box_hw / 2
    header = "".join(f"_{label} #{number}\n" for number, label in enumerate(COLUMNS, start=1))
    rows = "".join(
        f"{x!r} {y!r} {UNKNOWN} {width!r} {height!r} {UNKNOWN} {width!r} {height!r} {trust} {UNKNOWN} {UNKNOWN}\n"
        for (y, x), (height, width), trust in zip(corner.tolist(), box_hw.tolist(), confidence, strict=True)
    )
    text = (
        f"\ndata_global\n\n_cbox_format_version 1.0\n\ndata_cryolo\n\nloop_\n{header}{rows}"
        "\ndata_cryolo_include\n\nloop_\n_slice_index #1\n"
    )
    replace_file(path, text, through_links=True)


def _format(value: float) -> str:
    return repr(value) if np.isfinite(value) else UNKNOWN
