"""CryoSPARC's ``.cs`` files: tables whose columns are named ``slot/field``, one row an item, ``uid`` its key.

A ``.cs`` file is a structured array in NumPy's own format (Harris et al. 2020, Nature 585; NEP 1) under another
suffix. ``write_cs`` writes the bytes that cryosparc-tools 4.7.1 and 5.0.3 write. The second, streamed format of
cryosparc-tools (magic ``CSDAT``) is read where it is not compressed.

What this module does not do: it knows no column but ``uid``; ``cryosparc_exposures`` and ``cryosparc_picks`` do.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.errors import InputError
from relion_attn_picker.replacing import replacing

Table = NDArray[np.void]
Columns = Mapping[str, NDArray[Any]]

UID = "uid"
NUMPY_MAGIC = b"\x93NUMPY"
STREAM_MAGIC = b"\x95CSDAT"
LONGEST_HEADER = 10_000_000
"""Bytes. NumPy's own limit of 10,000 is for files of strangers; some 200 columns exceed it."""


def read_cs(path: Path) -> Table:
    """Read a ``.cs`` file.

    Returns
    -------
    Table
        One-dimensional structured array; texts are bytes (``S``) as in the file.

    Raises
    ------
    InputError
        If the file is absent, damaged, no table of CryoSPARC, a compressed stream, or has a uid twice.
    """
    if not path.is_file():
        raise InputError(f"There is no file {path}: check the path.")
    try:
        with path.open("rb") as file:
            magic = file.read(len(NUMPY_MAGIC))
            file.seek(0)
            table = _read_stream(path, file) if magic == STREAM_MAGIC else _read_numpy(path, file, magic)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror or error}).") from error
    check_uids(table[UID], str(path))
    return table


def _read_numpy(path: Path, file: BinaryIO, magic: bytes) -> Table:
    if magic != NUMPY_MAGIC:
        raise InputError(f"{path} is not a .cs file of CryoSPARC: give one, or the .csg file of a job's output.")
    try:
        table = np.load(file, allow_pickle=False, max_header_size=LONGEST_HEADER)
    except (ValueError, EOFError, SyntaxError) as error:
        raise InputError(f"{path} is damaged or no .cs file of CryoSPARC ({error}): export it again.") from error
    if table.dtype.names is None or UID not in table.dtype.names or table.ndim != 1:
        raise InputError(f"{path} holds an array of {table.dtype}: expected a table with a column {UID}.")
    return np.asarray(table)


def _read_stream(path: Path, file: BinaryIO) -> Table:
    """Read the streamed format: magic, header as JSON, each column after its length, then the heap of all texts."""
    file.seek(len(STREAM_MAGIC))
    try:
        header = json.loads(file.read(_read_length(file)))
        fields = [(name, str(kind), *map(tuple, shape)) for name, kind, *shape in header["dtype"]]
        n_rows, is_compressed = int(header["length"]), bool(header.get("compressed_fields"))
    except (ValueError, KeyError, TypeError) as error:
        raise InputError(f"{path} is a damaged CSDAT stream of CryoSPARC: export it again.") from error
    if is_compressed and n_rows:
        raise InputError(
            f"{path} is a compressed CSDAT stream: write it as a plain .cs file, in Python with cryosparc-tools: "
            f"from cryosparc.dataset import Dataset; Dataset.load({str(path)!r}).save('plain.cs')"
        )
    raw = {name: file.read(_read_length(file)) for name, *_ in fields} if n_rows else {}
    heap = file.read()
    try:
        columns = {
            name: _decode_column(raw.get(name, b""), n_rows, heap, kind, *shape) for name, kind, *shape in fields
        }
    except (ValueError, IndexError, TypeError) as error:
        raise InputError(f"{path} is a CSDAT stream that was cut short: export it again.") from error
    return make_table(columns)


def _read_length(file: BinaryIO) -> int:
    return int.from_bytes(file.read(4), "little")


def _decode_column(raw: bytes, n_rows: int, heap: bytes, kind: str, shape: tuple[int, ...] = ()) -> NDArray[Any]:
    is_text = np.dtype(kind).kind == "O"
    values = np.frombuffer(raw, "<u8" if is_text else kind).reshape(n_rows, *shape)
    if not is_text:
        return values
    starts, rows = np.unique(values, return_inverse=True)
    texts = [heap[start : heap.index(b"\0", start)] for start in starts.tolist()]
    return np.array(texts, dtype="S")[rows] if texts else np.zeros(n_rows, dtype="S1")


def check_uids(uids: NDArray[Any], where: str) -> None:
    """Raise ``InputError`` if a uid occurs twice in ``where``: rows could not be told apart."""
    ordered = np.sort(uids)
    twice = ordered[1:][ordered[1:] == ordered[:-1]]
    if len(twice):
        raise InputError(f"{where} has the uid {twice[0]} twice: expected each once; export the result again.")


def make_table(columns: Columns) -> Table:
    """Return one table of columns of the same length; texts get the width that cryosparc-tools gives them."""
    prepared = {name: _fix_text(np.asarray(values)) for name, values in columns.items()}
    dtype = [(name, values.dtype, values.shape[1:]) for name, values in prepared.items()]
    table = np.zeros(len(next(iter(prepared.values()))), dtype=dtype)
    for name, values in prepared.items():
        table[name] = values
    return table


def _fix_text(values: NDArray[Any]) -> NDArray[Any]:
    """Return texts as bytes one wider than the longest, other columns as they are."""
    if values.dtype.kind in "OU":
        values = np.array([str(text).encode() for text in values.ravel()], dtype="S").reshape(values.shape)
    if values.dtype.kind != "S":
        return values
    longest = int(np.char.str_len(values).max()) if values.size else 0
    return values.astype(f"S{longest + 1}", copy=False)


def write_cs(path: Path, table: Table) -> None:
    """Write a ``.cs`` file, byte for byte as cryosparc-tools does, by a temporary file and a rename.

    Parameters
    ----------
    path
        File to write; its folder exists.
    table
        One-dimensional structured array with a column ``uid``; texts may be ``S``, ``U`` or Python strings.

    Raises
    ------
    ValueError
        If it is no such array.
    InputError
        If a uid occurs twice.
    """
    if table.dtype.names is None or UID not in table.dtype.names or table.ndim != 1:
        raise ValueError(f"The table is {table.dtype} of shape {table.shape}: expected rows with a column {UID}.")
    check_uids(table[UID], str(path))
    if not _is_as_written(table):
        table = make_table(as_columns(table))
    with replacing(path) as partial, partial.open("wb") as file:  # a name instead of a file would get .npy appended
        np.save(file, table, allow_pickle=False)


def _is_as_written(table: Table) -> bool:
    """Tell whether a table needs no change of its text columns: a copy of millions of rows is spared."""
    columns = as_columns(table)
    return all(values.dtype.kind not in "OSU" or _fix_text(values) is values for values in columns.values())


def as_columns(table: Table) -> dict[str, NDArray[Any]]:
    """Return the columns of a table by name, as views."""
    return {name: table[name] for name in table.dtype.names or ()}


def join_columns(tables: Sequence[Columns]) -> dict[str, NDArray[Any]]:
    """Join tables by uid, in the order of the first; rows that one of them lacks are left out.

    A column that several tables have is taken from the first. Uids are unique within each table.
    """
    uids = tables[0][UID]
    for other in tables[1:]:
        uids = uids[np.isin(uids, other[UID])]
    joined: dict[str, NDArray[Any]] = {}
    for columns in tables:
        order = np.argsort(columns[UID])
        rows = order[np.searchsorted(columns[UID], uids, sorter=order)] if len(uids) else order[:0]
        joined = {name: values[rows] for name, values in columns.items() if name not in joined} | joined
    return joined


def as_texts(values: NDArray[Any]) -> list[str]:
    """Return a column of texts as Python strings."""
    return [text.decode(errors="replace") if isinstance(text, bytes) else str(text) for text in values.tolist()]
