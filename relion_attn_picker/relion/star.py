"""STAR files: reading tables with starfile, writing them exactly as RELION does.

RELION's parser has traps: a header-only table must be followed by a blank line or it yields a phantom row, free
comments can be taken for blocks, and names with blanks need double quotes. ``write_table`` avoids them all.
starfile's parser has four: it takes a row that begins with ``data_`` for a block, a ``#`` within a word for a comment,
turns apostrophes into double quotes, and after a damaged file remembers its lines. ``read_tables`` works round them.
"""

from __future__ import annotations

import linecache
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from relion_attn_picker.errors import InputError
from relion_attn_picker.relion.labels import TEXT_LABELS
from relion_attn_picker.replacing import replace_file

if TYPE_CHECKING:
    from pandas import DataFrame

VERSION = "30001"
MISREAD_WORD = re.compile(r"^[ \t]*(?P<block>data_\S+)(?=[ \t]+[^\s#])|(?<!\S)(?P<comment>[^\s#_'\"][^\s#]*#\S*)", re.M)
WORD = re.compile(r"(?<!\S)(?:'(?P<quoted>.*?)'(?!\S)|\"[^\"]*\"|\S+)")
APOSTROPHE = "\ue000"
"""Stands, while starfile reads, for an apostrophe that quotes nothing; no program writes this private character."""

NO_UTF_8 = re.compile("[\ud800-\udfff]")
"""What Python makes of bytes of a file's name that are no UTF-8 (PEP 383)."""

NEEDS_QUOTES = re.compile(r"\s|#|^$|^['_$\[\];]|^(?:data_|loop_|save_|stop_|global_)", re.IGNORECASE)
"""Texts that are no plain word of a STAR file (Hall, 1991; CIF 1.1 syntax, International Tables G, 2.2.7.1)."""


def read_tables(path: Path) -> dict[str, DataFrame]:
    """Return the tables of a STAR file by block name; a block of single values becomes a table of one row.

    Raises
    ------
    InputError
        If the file is absent, is no STAR file, or has a row with too many or too few words.
    """
    import pandas as pd

    if path.is_dir():
        raise InputError(f"{path} is a folder: give a STAR file.")
    if not path.is_file():
        raise InputError(f"There is no STAR file at {path}: check the path, and the folder the job runs in.")
    try:
        blocks = _parse_blocks(path)
    except Exception as error:  # starfile and pandas raise many kinds for damaged files
        first_line = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise InputError(f"{path} cannot be read as a STAR file ({first_line}): mend or write it again.") from error
    if not blocks:
        raise InputError(f"{path} holds no STAR table: expected a file that RELION wrote.")
    tables = {
        name: table if isinstance(table, pd.DataFrame) else pd.DataFrame([table or {}])
        for name, table in blocks.items()
    }
    for table in tables.values():
        for label in table.columns.intersection(TEXT_LABELS):
            table[label] = table[label].map(
                lambda word: word.replace(APOSTROPHE, "'") if isinstance(word, str) else word
            )
    return tables


def _parse_blocks(path: Path) -> dict[str, Any]:
    """Return starfile's blocks; if it would misread a word, of a copy of the file with that word in quotes."""
    text = path.read_text(encoding="utf-8")
    if "'" not in text and not MISREAD_WORD.search(text):
        return _read_with_starfile(path)
    lines = (_quote_misread_words(_stand_in_for_apostrophes(line)) for line in text.split("\n"))
    with TemporaryDirectory() as folder:
        quoted = Path(folder) / "quoted.star"
        quoted.write_text("\n".join(lines) + "\n", encoding="utf-8")
        return _read_with_starfile(quoted)


def _stand_in_for_apostrophes(line: str) -> str:
    """Replace the apostrophes within words and within quoted texts; those that quote a text stay."""
    if "'" not in line or line.lstrip().startswith("#"):
        return line
    return WORD.sub(_stand_in_within, line)


def _stand_in_within(word: re.Match[str]) -> str:
    if word["quoted"] is None:
        return word[0].replace("'", APOSTROPHE)
    return "'" + word["quoted"].replace("'", APOSTROPHE) + "'"


def _read_with_starfile(path: Path) -> dict[str, Any]:
    import starfile

    linecache.clearcache()
    blocks: dict[str, Any] = starfile.read(path, always_dict=True, parse_as_string=list(TEXT_LABELS))
    return blocks


def _quote_misread_words(line: str) -> str:
    if '"' in line or line.lstrip().startswith("#"):
        return line
    return MISREAD_WORD.sub(lambda found: f'"{found["block"] or found["comment"]}"', line)


def write_table(path: Path, block: str, columns: Mapping[str, Sequence[object]], version: str = VERSION) -> None:
    """Write one table to ``path``, by a temporary file and a rename.

    Parameters
    ----------
    path
        File to write.
    block
        Name of the block, ``""`` for RELION's unnamed one.
    columns
        Label (without its underscore) → values, all of the same length.
    version
        RELION's version comment.

    Raises
    ------
    InputError
        If a text cannot be written into a STAR file.
    """
    replace_file(path, format_table(block, columns, version))


def format_table(block: str, columns: Mapping[str, Sequence[object]], version: str = VERSION) -> str:
    """Return one table as the text of a STAR block; parameters as in ``write_table``."""
    header = [f"_{label} #{number} \n" for number, label in enumerate(columns, start=1)]
    rows = zip(*(_format_column(column) for column in columns.values()), strict=True)
    body = "".join(" ".join(row) + " \n" for row in rows)
    return f"\n# version {version}\n\ndata_{block}\n\nloop_ \n{''.join(header)}{body} \n"


def _format_column(column: Sequence[object]) -> list[str]:
    """Return the words of a column; a text is looked at once: names of micrographs stand there a hundred times."""
    texts = {value: format_value(value) for value in {each for each in column if isinstance(each, str)}}
    return [texts[value] if isinstance(value, str) else format_value(value) for value in column]


def format_value(value: object) -> str:
    """Return one value as a word of a STAR row; text that is no plain word is put into double quotes.

    Raises
    ------
    InputError
        If a text holds a line break or a double quote, which RELION could not read back, or bytes that are no UTF-8.
    """
    if isinstance(value, float):
        return f"{value:.6f}"
    text = str(value)
    if '"' in text or len(text.splitlines()) > 1 or NO_UTF_8.search(text):
        raise InputError(
            f"{text!r} cannot be written into a STAR file: rename it without quotes, line breaks and bytes that are no "
            "UTF-8."
        )
    return f'"{text}"' if NEEDS_QUOTES.search(text) else text
