"""Plain tables of ``x y`` and perhaps a score: one a micrograph, centres in pixels counted from 0.

A first line that is not numbers is a header; if it names columns x and y, these are read, and one of ``SCORES``.
Without a header the first two columns are x and y, and a third is the score.
"""

from __future__ import annotations

from pathlib import Path

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.number_rows import check_finite, parse_rows, read_text
from relion_attn_picker.point_set import DoubleArray, MicrographPoints
from relion_attn_picker.replacing import replace_file

SCORES = ("score", "confidence", "probability", "fom")
"""What programs call the column of scores; the first that is there is read."""

DIGITS = 6
"""Digits behind the point, as in RELION's files."""


def read_table(path: Path, name: str) -> MicrographPoints:
    """Read the table of the micrograph ``name``.

    Raises
    ------
    InputError
        If the file is absent, or has a row without two numbers, or a coordinate that is not finite.
    """
    text = read_text(path)
    header, body = _split_header(text)
    rows = parse_rows(path, body, least=2, first_line=1 if header is None else 2)
    columns = header or ["x", "y", "score"][: rows.shape[1]]
    if "x" not in columns or "y" not in columns:
        raise InputError(f"{path}: its header names {', '.join(columns)}: expected x and y, and perhaps score.")
    if len(rows) and header is not None and rows.shape[1] != len(columns):
        raise InputError(f"{path} has {rows.shape[1]} columns, but {len(columns)} in its header: mend the header.")
    yx = rows[:, [columns.index("y"), columns.index("x")]] if len(rows) else rows[:, :2]
    check_finite(path, yx)
    named = [columns.index(each) for each in SCORES if each in columns]
    score = rows[:, named[0]] if len(rows) and named else None
    return MicrographPoints(name, yx, score)


def _split_header(text: str) -> tuple[list[str] | None, str]:
    first, _, rest = text.partition("\n")
    words = first.lstrip("#").replace(",", " ").replace(";", " ").lower().split()
    if not words or _is_number(words[0]):
        return None, text
    if first.lstrip().startswith("#") and not {"x", "y"} <= set(words):
        return None, text  # a comment
    return (["", *words] if first[:1] in (",", ";") else words), rest  # pandas does not name the numbers of rows


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def write_table(path: Path, yx: DoubleArray, score: DoubleArray | None) -> None:
    """Write one micrograph: a header, then a row a point, separated by blanks."""
    if score is None:
        rows = "".join(f"{x:.{DIGITS}f} {y:.{DIGITS}f}\n" for y, x in yx.tolist())
    else:
        scored = zip(yx.tolist(), score.tolist(), strict=True)
        rows = "".join(f"{x:.{DIGITS}f} {y:.{DIGITS}f} {value!r}\n" for (y, x), value in scored)
    replace_file(path, f"# x y{'' if score is None else ' score'}\n{rows}", through_links=True)
