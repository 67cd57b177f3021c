"""Topaz's table of particles: one file for all micrographs, ``image_name x_coord y_coord`` and perhaps ``score``.

Separated by tabs in .txt and .tab, by commas in .csv. ``image_name`` has neither folder nor extension, coordinates are
centres in whole pixels (Topaz rounds them; utils/files.py, utils/conversions.py) of the images that Topaz saw. Those
are often downscaled by Fourier cropping (utils/image.py), which keeps pixel 0 where it is, so that one factor without
any offset brings coordinates back. Scores are log odds and may be negative; they are kept as they are.
"""

from __future__ import annotations

import io
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.image_stem import image_stem
from relion_attn_picker.io.number_rows import check_finite, read_text
from relion_attn_picker.point_set import DoubleArray, PointSet, group
from relion_attn_picker.replacing import replacing

if TYPE_CHECKING:
    from pandas import DataFrame

NAME, X, Y, SCORE = "image_name", "x_coord", "y_coord", "score"


def is_topaz_header(line: str) -> bool:
    """Tell whether a file's first line is the head of such a table."""
    return {NAME, X, Y} <= {word.strip().strip('"') for word in line.replace("\t", ",").split(",")}


def read_topaz(path: Path) -> PointSet:
    """Read a table of particles.

    Raises
    ------
    InputError
        If the file is absent, lacks a column, has longer rows than its header, a row without a name, or a coordinate
        that is no finite number.
    """
    import pandas as pd

    text = read_text(path)
    head = text.partition("\n")[0]
    if head.startswith("filename,") and "region_shape_attributes" in head:
        raise InputError(f"{path} is a table of the VGG Image Annotator: let topaz convert it into a .txt first.")
    if not is_topaz_header(head):
        raise InputError(f"{path} begins with {head[:60]!r}: expected the columns {NAME}, {X}, {Y} of Topaz.")
    try:
        table = pd.read_csv(
            io.StringIO(text),
            sep="\t" if "\t" in head else ",",
            dtype={NAME: str},
            keep_default_na=False,
            skipinitialspace=True,
            float_precision="round_trip",
        )
    except (ValueError, pd.errors.ParserError) as error:
        raise InputError(f"{path} cannot be read as a table of Topaz ({str(error).splitlines()[0]}).") from error
    if not isinstance(table.index, pd.RangeIndex):  # pandas took the first column for the names of the rows
        raise InputError(f"{path} has rows with more words than its header {head!r}: mend the header.")
    table.columns = table.columns.str.strip()
    unnamed = np.flatnonzero(table[NAME] == "")
    if unnamed.size:
        raise InputError(f"{path} has {unnamed.size} rows without an {NAME}, the first is row {unnamed[0] + 1}.")
    yx = np.stack([_as_numbers(path, table, Y), _as_numbers(path, table, X)], axis=1)
    check_finite(path, yx)
    score = _as_numbers(path, table, SCORE) if SCORE in table.columns else None
    owner, names = pd.factorize(table[NAME])
    return group(names.tolist(), owner, yx, score)


def _as_numbers(path: Path, table: DataFrame, column: str) -> DoubleArray:
    try:
        return table[column].to_numpy(dtype=np.float64)  # type: ignore[no-any-return]
    except ValueError as error:
        raise InputError(f"{path} has a {column} that is not a number ({error}).") from error


def write_topaz(path: Path, points: PointSet) -> None:
    """Write all points into one file, centres rounded to whole pixels, scores with all digits.

    Micrographs without a point cannot be told in this format.

    Raises
    ------
    InputError
        If two micrographs would get the same ``image_name``, or one has a tab, a comma or a quote in it.
    """
    short = image_names(points.names)
    separator = "," if path.suffix == ".csv" else "\t"
    head = separator.join([NAME, X, Y] + ([] if points.score is None else [SCORE]))
    with replacing(path) as partial, partial.open("w", encoding="utf-8", newline="\n") as file:
        file.write(head + "\n")
        for name, each in zip(short, points.micrographs(), strict=True):
            xy = np.rint(each.yx[:, ::-1]).astype(np.int64).tolist()
            if each.score is None:
                file.write("".join(f"{name}{separator}{x}{separator}{y}\n" for x, y in xy))
                continue
            scored = zip(xy, each.score.tolist(), strict=True)
            file.write("".join(f"{name}{separator}{x}{separator}{y}{separator}{score!r}\n" for (x, y), score in scored))


def image_names(names: tuple[str, ...]) -> list[str]:
    """Return what Topaz calls these micrographs: the file's name without folder and extension."""
    short = [image_stem(name) for name in names]
    seen: dict[str, str] = {}
    for name, stem in zip(names, short, strict=True):
        if stem in seen:
            raise InputError(f"{seen[stem]} and {name} are both {stem!r} to Topaz: rename one of them.")
        if set(stem) & set('\t,"\n'):
            raise InputError(f"The name {name} has a tab, a comma or a quote in it: rename the micrograph.")
        seen[stem] = name
    return short
