"""EMAN box files: one a micrograph, a row ``x y width height`` for each particle, where x, y is the box's first pixel.

The centre of a box of n pixels is its pixel n // 2, counted from 0: RELION (preprocessing.cpp, ``readCoordinates``:
x + width / 2 in whole numbers) and Topaz (utils/conversions.py) both read it so. The geometric centre, (n - 1) / 2,
would lie half a pixel beside it. Rows of pixels are counted as they lie in the file of the image: EMAN calls the
corner the lower left one because it draws row 0 below, and no flip follows from that for MRC files. For TIFF images
EMAN2 counts from the other end (Topaz, ``--invert-y``): that is for the user to say.

RELION and Topaz read whole numbers only, so whole numbers are written; fractions, which crYOLO writes, are read.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from relion_attn_picker.io.number_rows import check_boxes, check_finite, parse_rows, read_text
from relion_attn_picker.point_set import DoubleArray, MicrographPoints
from relion_attn_picker.replacing import replace_file


def corner_to_centre(corner_yx: DoubleArray, box_hw: DoubleArray) -> DoubleArray:
    """Return the centres, pixel n // 2 of each box; all ``(n, 2)``, pixels."""
    return corner_yx + box_hw // 2


def read_box(path: Path, name: str) -> MicrographPoints:
    """Read the box file of the micrograph ``name``.

    A fifth column, EMAN1's kind of box or Scipion's score, is passed over.

    Raises
    ------
    InputError
        If the file is absent, has something else than numbers, or a box without extent.
    """
    rows = parse_rows(path, read_text(path), least=4)
    corner_yx, box_hw = rows[:, [1, 0]], rows[:, [3, 2]]
    check_finite(path, corner_yx)
    check_boxes(path, box_hw)
    return MicrographPoints(name, corner_to_centre(corner_yx, box_hw), None, box_hw)


def write_box(path: Path, yx: DoubleArray, box_hw: DoubleArray) -> None:
    """Write the boxes of one micrograph, rounded to whole pixels; ``yx`` centres and ``box_hw``, both ``(n, 2)``."""
    box = np.rint(box_hw)
    corner = np.rint(yx) - box // 2
    rows = np.concatenate([corner[:, ::-1], box[:, ::-1]], axis=1).astype(np.int64).tolist()
    text = "".join(f"{x}\t{y}\t{width}\t{height}\n" for x, y, width, height in rows)
    replace_file(path, text, through_links=True)
