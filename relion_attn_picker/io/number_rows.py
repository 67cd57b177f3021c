"""Rows of numbers in a text file, as the coordinate files of several programs have them; told where they are not.

Separators are blanks, tabs, commas or semicolons, but no comma within a number; ``#`` begins a comment; CR+LF and a
byte order mark are no matter.
"""

from __future__ import annotations

import io
import re
from pathlib import Path

import numpy as np

from relion_attn_picker.errors import InputError
from relion_attn_picker.point_set import DoubleArray

HAS_DATA = re.compile(r"^[ \t]*[^#\s]", re.MULTILINE)


OTHER_SEPARATOR = r"(?:;|[^\s,;#][ \t]+(?=[^\s,;#]))"
DECIMAL_COMMA = re.compile(
    rf"^[^#\n]*?(?:\d,(?=\d)[^#\n]*?{OTHER_SEPARATOR}|{OTHER_SEPARATOR}[^#\n]*?\d,\d)", re.MULTILINE
)
"""A line with a comma between two digits and another separator."""


def read_text(path: Path) -> str:
    """Return the text of a file.

    Raises
    ------
    InputError
        If it is absent, or no UTF-8 text.
    """
    if not path.is_file():
        raise InputError(f"There is no file of coordinates at {path}: check the path.")
    try:
        return path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(f"{path} is no text file ({error.reason} at byte {error.start}).") from error


def parse_rows(path: Path, text: str, least: int, first_line: int = 1) -> DoubleArray:
    """Return all rows of numbers, shape ``(n, k)``; the words nan, None, - and <NA> count as not a number.

    Parameters
    ----------
    path
        Where the text comes from, for messages.
    text
        The rows; blank lines and comments are passed over.
    least
        Fewest columns of a row.
    first_line
        Number in the file of the text's first line, for messages.

    Raises
    ------
    InputError
        If a row has a word that is no number, a decimal comma, or too few or not as many columns as the first.
    """
    _refuse_decimal_commas(path, text, first_line)
    plain = text.replace(",", " ").replace(";", " ")
    if not HAS_DATA.search(plain):
        return np.empty((0, least))
    try:
        rows = np.loadtxt(io.StringIO(plain), dtype=np.float64, comments="#", ndmin=2)
    except ValueError:
        rows = _parse_slowly(path, plain, first_line)
    if rows.size == 0:
        return np.empty((0, least))
    if rows.shape[1] < least:
        raise InputError(f"{path} has rows of {rows.shape[1]} numbers: expected at least {least}.")
    return rows


def _refuse_decimal_commas(path: Path, text: str, first_line: int) -> None:
    """Refuse commas between digits where something else separates the numbers: they would make two of each."""
    joined = text.replace(", ", ",") if "," in text else ""
    if not any(separator in joined for separator in " \t;"):
        return  # told fast, for files of millions of rows
    if found := DECIMAL_COMMA.search(text):
        raise InputError(
            f"{path}, line {first_line + text.count(chr(10), 0, found.start())}: commas between digits beside other "
            "separators: write 1.5 for 1,5, or one kind of separator."
        )


def _parse_slowly(path: Path, text: str, first_line: int) -> DoubleArray:
    """Parse line by line, to allow for words that mean not a number, or to tell which line is wrong."""
    rows: list[list[float]] = []
    for number, line in enumerate(text.splitlines(), start=first_line):
        words = line.partition("#")[0].split()
        if not words:
            continue
        if rows and len(words) != len(rows[0]):
            raise InputError(f"{path}, line {number}: {len(words)} columns, but {len(rows[0])} in the first row.")
        rows.append([_as_number(path, number, word) for word in words])
    return np.array(rows, dtype=np.float64).reshape(len(rows), -1)


def _as_number(path: Path, line: int, word: str) -> float:
    if word in ("<NA>", "None", "-"):
        return float("nan")
    try:
        return float(word)
    except ValueError:
        raise InputError(f"{path}, line {line}: {word!r} is not a number.") from None


def check_finite(path: Path, yx: DoubleArray) -> None:
    """Refuse coordinates that are not finite.

    Raises
    ------
    InputError
        With the number of the first such row.
    """
    bad = np.flatnonzero(~np.isfinite(yx).all(axis=1))
    if bad.size:
        raise InputError(
            f"{path} has {bad.size} rows whose numbers are not finite, the first is row {bad[0] + 1}: "
            "mend or remove them."
        )


def check_boxes(path: Path, box_hw: DoubleArray) -> None:
    """Refuse boxes, height and width ``(n, 2)``, without extent.

    Raises
    ------
    InputError
        With the number of the first such row.
    """
    bad = np.flatnonzero(~(box_hw > 0).all(axis=1))
    if bad.size:
        raise InputError(f"{path}: the box in row {bad[0] + 1} has no width or height: expected x y width height.")
