"""The STAR format as RELION writes and reads it: tables of words, without their meaning.

Why not a general STAR reader: a micrograph's name is RELION's key and must come through to the letter, but the package
``starfile`` (0.5.13) turns the name ``a'b.mrc`` into ``a"b.mrc``, the name ``nan`` into a number, cuts ``a#b.mrc`` at
the ``#``, and after one broken file returns the broken file's lines for the next one of the same path. A wrong line is
told here by its number.

The grammar follows RELION 3.1-5.0 (metadata_table.cpp, strings.cpp ``nextTokenInSTAR``): quotes only at the start of a
word, ``#`` inside a word is no comment, a blank line ends a table. Besides, line ends of all systems are read.
"""

from __future__ import annotations

import os
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TextIO

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.errors import InputError
from relion_attn_picker.relion.labels import STAR_VERSION

_WORD = re.compile(
    r"""(?P<comment>\#.*)|"(?P<double>.*?)"(?=\s|$)|'(?P<single>.*?)'(?=\s|$)|(?P<plain>\S+)""", re.ASCII | re.VERBOSE
)
_NEEDS_QUOTES = re.compile(r"""^$|[\s#']|^(?:[_$;\[\]]|data_|loop_|save_|global_|stop_)""")


@dataclass(frozen=True)
class StarTable:
    """One block of a STAR file; a block of single values is a table of one row.

    Parameters
    ----------
    path
        The file, for messages.
    block
        What follows ``data_``; often empty.
    labels
        Of all columns, without the underscore.
    values
        Label → its words, row by row, for the columns that were asked for.
    n_rows
        Number of rows.
    """

    path: Path
    block: str
    labels: tuple[str, ...]
    values: Mapping[str, Sequence[str]]
    n_rows: int

    @property
    def place(self) -> str:
        """File and block, for messages."""
        return f"{self.path}, block 'data_{self.block}'"

    def words(self, label: str) -> Sequence[str]:
        """Return a column as it is written.

        Raises
        ------
        InputError
            If the table has no such column.
        """
        if label not in self.values:
            found = ", ".join(self.labels) or "none"
            raise InputError(f"{self.place}, has no column {label} (its columns: {found}).")
        return self.values[label]

    def numbers(self, label: str) -> NDArray[np.float64]:
        """Return a column of numbers, shape ``(n_rows,)``; ``nan`` and ``inf`` are numbers here.

        Raises
        ------
        InputError
            If the table has no such column, or a word in it is not a number.
        """
        words = self.words(label)
        try:
            return np.array([float(word) for word in words], dtype=np.float64)
        except ValueError:
            row, word = next((row, word) for row, word in enumerate(words, start=1) if not _is_number(word))
            raise InputError(f"{self.place}, row {row}: {label} is '{word}', expected a number.") from None

    def first_repeated(self, label: str) -> str | None:
        """Return the first word that a column has twice, if any."""
        seen: set[str] = set()
        return next((word for word in self.words(label) if word in seen or seen.add(word)), None)  # type: ignore[func-returns-value]


def _is_number(word: str) -> bool:
    try:
        float(word)
    except ValueError:
        return False
    return True


def read_tables(path: Path, wanted: Collection[str]) -> list[StarTable]:
    """Read all tables of a STAR file, in their order.

    Parameters
    ----------
    path
        The file.
    wanted
        Labels of the columns to keep; the words of others are not kept in memory.

    Raises
    ------
    InputError
        If there is no such file, it cannot be read, is not a STAR file, or a line is malformed.
    """
    parser = _Parser(path, wanted)
    try:
        with path.open(encoding="utf-8-sig", errors="surrogateescape") as lines:
            for number, line in enumerate(lines, start=1):
                parser.add_line(number, line)
    except FileNotFoundError:
        raise InputError(f"There is no file {path}: check the path; it is relative to the project folder.") from None
    except OSError as error:
        raise InputError(f"{path} cannot be read: {error.strerror}; expected a STAR file.") from None
    tables = parser.finish()
    if not tables:
        raise InputError(f"{path} is not a STAR file: it has no line that begins with 'data_'.")
    return tables


def split_words(line: str) -> list[str]:
    """Split a line into words; quotes are taken off, a comment is left out."""
    if line.isascii() and not any(mark in line for mark in "\"'#"):
        return line.split()
    words = []
    for match in _WORD.finditer(line):
        if match.lastgroup == "comment":
            break
        words.append(match[match.lastgroup or 0])
    return words


@dataclass
class _Block:
    """A block while it is read: ``looped`` after ``loop_``, ``ended`` by the blank line after its rows."""

    name: str
    looped: bool = False
    ended: bool = False
    labels: list[str] = field(default_factory=list)
    columns: list[tuple[int, list[str]]] = field(default_factory=list)
    n_rows: int = 0


class _Parser:
    """Takes a file's lines one by one, so that a long file is never in memory as a whole."""

    def __init__(self, path: Path, wanted: Collection[str]) -> None:
        self._path = path
        self._wanted = wanted
        self._blocks: list[_Block] = []

    def add_line(self, number: int, line: str) -> None:
        words = split_words(line)
        block = self._blocks[-1] if self._blocks else None
        if not words:
            self._end_rows(line, block)
        elif line.lstrip().startswith("data_") and not self._is_row(words, block):
            self._blocks.append(_Block(words[0][len("data_") :]))
        elif block is None:
            raise InputError(
                f"{self._path}, line {number}, is not STAR: expected a line that begins with 'data_' before any other."
            )
        elif words == ["loop_"] and not block.labels:
            block.looped = True
        elif words[0].startswith("_") and not block.n_rows and block.looped:
            self._add_label(block, words[0])
        elif words[0].startswith("_") and not block.looped:
            self._check_count(number, words, 2)
            self._add_label(block, words[0])
            self._add_words(block, words[1:], len(block.labels) - 1)
        else:
            self._add_row(number, block, words)

    def _is_row(self, words: Sequence[str], block: _Block | None) -> bool:
        """Tell a micrograph named ``data_1.mrc`` from the start of a block."""
        return block is not None and block.looped and not block.ended and len(words) == len(block.labels)

    def _end_rows(self, line: str, block: _Block | None) -> None:
        if block is not None and block.looped and block.n_rows and not line.strip():
            block.ended = True

    def _add_label(self, block: _Block, word: str) -> None:
        label = word[1:]
        if label in self._wanted:
            block.columns.append((len(block.labels), []))
        block.labels.append(label)

    def _add_row(self, number: int, block: _Block, words: Sequence[str]) -> None:
        if not block.looped or not block.labels:
            raise InputError(
                f"{self._path}, line {number}, is not STAR: expected 'loop_' or a label that begins with '_'."
            )
        if block.ended:
            raise InputError(
                f"{self._path}, line {number}: words after the blank line that ended the table 'data_{block.name}'; "
                "remove the blank line."
            )
        self._check_count(number, words, len(block.labels))
        self._add_words(block, words, 0)
        block.n_rows += 1

    def _add_words(self, block: _Block, words: Sequence[str], first: int) -> None:
        for position, column in block.columns:
            if position >= first:
                column.append(words[position - first])

    def _check_count(self, number: int, words: Sequence[str], expected: int) -> None:
        if len(words) != expected:
            raise InputError(
                f"{self._path}, line {number}, has {len(words)} words: expected {expected}, one for each column; words "
                "with blanks must stand in double quotes."
            )

    def finish(self) -> list[StarTable]:
        return [
            StarTable(
                self._path,
                block.name,
                tuple(block.labels),
                {block.labels[position]: words for position, words in block.columns},
                block.n_rows if block.looped else min(1, len(block.labels)),
            )
            for block in self._blocks
        ]


def write_table(path: Path, block: str, columns: Mapping[str, Sequence[object]], version: int = STAR_VERSION) -> None:
    """Write one table as RELION writes it, whole or not at all.

    The last line holds one blank: a table without rows whose file does not end in a newline becomes a phantom particle
    in RELION 3.1 and 5.0.

    Parameters
    ----------
    path
        The file; its folder must exist.
    block
        What follows ``data_``.
    columns
        Label without underscore → its values, all of one length. Text is quoted where needed, floats get six decimals.
    version
        Of the comment line, the only comment: RELION finds ``data_`` and ``loop_`` anywhere in a line.

    Raises
    ------
    InputError
        If a text has a line break or a double quote, which STAR cannot hold in one word.
    OSError
        If the file cannot be written.
    """
    rows = zip(*(_format_column(path, label, values) for label, values in columns.items()), strict=True)
    header = ["", f"# version {version}", "", f"data_{block}", "", "loop_ "]
    labels = [f"_{label} #{number} " for number, label in enumerate(columns, start=1)]
    lines = [*header, *labels, *(" ".join(row) + " " for row in rows), " "]
    replace_text(path, "\n".join(lines) + "\n")


def _format_column(path: Path, label: str, values: Sequence[object]) -> list[str]:
    return [_format_value(path, label, value) for value in values]


def _format_value(path: Path, label: str, value: object) -> str:
    """Format as RELION does: numbers right-aligned in 12 columns."""
    if isinstance(value, (float, np.floating)):
        return f"{value:12.6f}"
    if isinstance(value, (int, np.integer)):
        return f"{value:12d}"
    text = str(value)
    if any(mark in text for mark in '"\n\r'):
        raise InputError(
            f"{label} {text!r} cannot be written to {path}: a name in a STAR file must have no double quote and no "
            "line break; rename it."
        )
    return f'"{text}"' if _NEEDS_QUOTES.search(text) else text


def replace_text(path: Path, text: str) -> None:
    """Write a text file by renaming, so that no reader ever sees half of it."""
    with _unfinished(path) as file:
        file.write(text)


@contextmanager
def _unfinished(path: Path) -> Iterator[TextIO]:
    """Open a file beside ``path`` that takes its place at the end, or is removed if anything fails."""
    beside = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
    try:
        with beside.open("w", encoding="utf-8", errors="surrogateescape", newline="\n") as file:
            yield file
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)
