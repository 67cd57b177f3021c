"""The formats of coordinates that are read and written, one table row each.

A format is a way to read a path into a point set and one to write it, with what it can keep and what it needs to be
told. A new format is a new row; only what cannot be told by a suffix (``_guess_file``) is known elsewhere.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.cbox import read_cbox, write_cbox
from relion_attn_picker.io.cryosparc_exposures import Exposures
from relion_attn_picker.io.cryosparc_points import read_cryosparc_points, write_cryosparc_points
from relion_attn_picker.io.eman_box import read_box, write_box
from relion_attn_picker.io.folder_lock import hold_folder
from relion_attn_picker.io.image_stem import image_stem
from relion_attn_picker.io.number_rows import read_text
from relion_attn_picker.io.output_folder import make_folder
from relion_attn_picker.io.table import read_table, write_table
from relion_attn_picker.io.topaz import is_topaz_header, read_topaz, write_topaz
from relion_attn_picker.jobs.saved_options import refuse_picking_job
from relion_attn_picker.point_set import DoubleArray, MicrographPoints, PointSet, gather
from relion_attn_picker.relion.job_files import STAR_DIGITS
from relion_attn_picker.relion.point_sets import read_star_points, write_star_job, write_star_particles
from relion_attn_picker.replacing import refuse_other_files

STEM_RULE: Final = "stem"


@dataclass(frozen=True)
class WritingContext:
    """What a writer may need beside the points.

    ``box_size`` is in pixels, for points that come without a box; ``micrographs_star`` is the list they belong to;
    ``exposures`` are CryoSPARC's micrographs, whose paths the points' names then are.
    """

    box_size: int | None = None
    micrographs_star: str | None = None
    exposures: Exposures | None = None


@dataclass(frozen=True)
class CoordinateFormat:
    """One format.

    Parameters
    ----------
    what
        In a few words, for who reads the table below.
    suffixes
        Of its files; the first one is written.
    read
        Path (a file, or a folder of files of one micrograph each) → points.
    write
        Path, points, context → nothing.
    full_names
        Whether it names micrographs with folder and extension, as RELION does; otherwise by their stems, or by paths
        of another program. Files of one micrograph each have stems all the same (``PointSet.has_stems``).
    match
        The rule of ``name_matching`` that its names usually need; stems need ``STEM_RULE``.
    keeps_scores, keeps_fractions, keeps_boxes, keeps_empty
        Whether scores, fractions of a pixel, box sizes and micrographs without points survive.
    whole_by_default
        Whether fractions, although the format has them, are of no use to the program that reads it.
    score_digits
        Digits behind the point that scores keep; ``None``: all.
    needs
        What its writer must be told: ``box_size`` where points have none, ``exposures``.
    """

    what: str
    suffixes: tuple[str, ...]
    read: Callable[[Path], PointSet]
    write: Callable[[Path, PointSet, WritingContext], None]
    full_names: bool = False
    match: str = STEM_RULE
    keeps_scores: bool = True
    keeps_fractions: bool = True
    keeps_boxes: bool = False
    keeps_empty: bool = True
    whole_by_default: bool = False
    score_digits: int | None = None
    needs: frozenset[str] = frozenset()


def _read_files(suffixes: tuple[str, ...], read: Callable[[Path, str], MicrographPoints]) -> Callable[[Path], PointSet]:
    """Return a reader of one file, or of all files below a folder, each named after its micrograph."""

    def read_all(path: Path) -> PointSet:
        if not path.is_dir():
            return gather([read(path, path.stem)])
        files = sorted(file for file in path.rglob("*") if file.suffix in suffixes)
        if not files:
            raise InputError(f"The folder {path} holds no {' or '.join(suffixes)} file.")
        return gather([read(file, file.relative_to(path).with_suffix("").as_posix()) for file in files])

    return read_all


def _write_files(
    suffix: str, write: Callable[[Path, MicrographPoints, WritingContext], None]
) -> Callable[[Path, PointSet, WritingContext], None]:
    """Return a writer of one file a micrograph into a folder, or of one file if the path has the suffix."""

    def write_all(path: Path, points: PointSet, context: WritingContext) -> None:
        if path.suffix == suffix:
            if len(points.names) != 1:
                raise InputError(f"{path} can hold one micrograph, not {len(points.names)}: give a folder instead.")
            write(path, next(points.micrographs()), context)
            return
        stems: dict[str, str] = {}
        for name in points.names:
            stem = image_stem(name)
            if stem in stems:
                raise InputError(f"{stems[stem]} and {name} would both become {stem}{suffix}: convert them apart.")
            stems[stem] = name
        _check_folder(path, f"or one that ends in {suffix} for one micrograph")
        refuse_other_files(path, [path / f"{stem}{suffix}" for stem in stems], f"*{suffix}")
        make_folder(path)
        for stem, each in zip(stems, points.micrographs(), strict=True):
            write(path / f"{stem}{suffix}", each, context)

    return write_all


def _check_folder(path: Path, otherwise: str) -> None:
    """Refuse a folder, to be made for files of one micrograph each, whose name is that of a file."""
    if path.suffix in KNOWN_SUFFIXES and not path.is_dir():
        raise InputError(
            f"{path} is to be a folder, and has the name of a file: give a name without {path.suffix}, {otherwise}."
        )


def _write_one(write: Callable[[Path, PointSet], None]) -> Callable[[Path, PointSet, WritingContext], None]:
    """Return a writer of one file for all micrographs."""

    def write_all(path: Path, points: PointSet, _: WritingContext) -> None:
        if path.is_dir():
            raise InputError(f"{path} is a folder, and is to be one file for all micrographs: give another name.")
        write(path, points)

    return write_all


def _write_job(path: Path, points: PointSet, context: WritingContext) -> None:
    _check_folder(path, "or --to star for one file")
    refuse_picking_job(path)
    with hold_folder(path) if path.is_dir() else nullcontext():  # one that is there may be a job's that is at work
        write_star_job(path, points, context.micrographs_star)


def _write_cryosparc(path: Path, points: PointSet, context: WritingContext) -> None:
    if context.exposures is None:
        raise ValueError("WritingContext.exposures is None: expected CryoSPARC's micrographs.")
    write_cryosparc_points(path, points, context.exposures)


def _boxes_of(points: MicrographPoints, context: WritingContext) -> DoubleArray:
    """Return height and width of each point's box, ``(n, 2)``: its own, or the one that the user gave."""
    given = np.nan if context.box_size is None else float(context.box_size)
    if points.box_hw is None:
        return np.full((len(points.yx), 2), given)
    return np.where(np.isfinite(points.box_hw), points.box_hw, given)


FORMATS: Final[dict[str, CoordinateFormat]] = {
    "relion": CoordinateFormat(
        "a job folder of RELION 3.0 to 5.0 with a STAR file a micrograph and the lists",
        (".star",),
        read_star_points,
        _write_job,
        full_names=True,
        match="exact",
        whole_by_default=True,
        score_digits=STAR_DIGITS,
    ),
    "star": CoordinateFormat(
        "one STAR file for all micrographs, as RELION's particles.star",
        (".star",),
        read_star_points,
        _write_one(write_star_particles),
        full_names=True,
        match="exact",
        keeps_empty=False,
        score_digits=STAR_DIGITS,
    ),
    "cs": CoordinateFormat(
        "picks or particles of CryoSPARC, .cs with its .csg",
        (".cs", ".csg"),
        read_cryosparc_points,
        _write_cryosparc,
        match="stem-no-uid",
        keeps_empty=False,
        needs=frozenset({"exposures"}),
    ),
    "box": CoordinateFormat(
        "EMAN box files, one a micrograph",
        (".box",),
        _read_files((".box",), read_box),
        _write_files(".box", lambda path, each, context: write_box(path, each.yx, _boxes_of(each, context))),
        keeps_scores=False,
        keeps_fractions=False,
        keeps_boxes=True,
        needs=frozenset({"box_size"}),
    ),
    "cbox": CoordinateFormat(
        "crYOLO cbox files, one a micrograph",
        (".cbox",),
        _read_files((".cbox",), read_cbox),
        _write_files(
            ".cbox", lambda path, each, context: write_cbox(path, each.yx, each.score, _boxes_of(each, context))
        ),
        keeps_boxes=True,
        needs=frozenset({"box_size"}),
    ),
    "topaz": CoordinateFormat(
        "one table of Topaz for all micrographs, .txt (tabs) or .csv (commas)",
        (".txt", ".csv", ".tab"),
        read_topaz,
        _write_one(write_topaz),
        keeps_fractions=False,
        keeps_empty=False,
    ),
    "table": CoordinateFormat(
        "plain tables of x y and perhaps a score, one a micrograph",
        (".txt", ".csv", ".tab", ".coords"),
        _read_files((".txt", ".csv", ".tab", ".coords"), read_table),
        _write_files(".txt", lambda path, each, _: write_table(path, each.yx, each.score)),
    ),
}
"""Name, as ``--from`` and ``--to`` take it, and format."""


def find_format(name: str) -> CoordinateFormat:
    """Return the format of this name.

    Raises
    ------
    InputError
        With all names, if there is none.
    """
    if name not in FORMATS:
        raise InputError(f"There is no format {name!r}: choose from {', '.join(FORMATS)}.")
    return FORMATS[name]


def guess_format(path: Path) -> str:
    """Return the name of the format that an existing path has, by its suffix and, for tables, its first line.

    Raises
    ------
    InputError
        If the path is absent, or what it is cannot be told.
    """
    if not path.exists():
        raise InputError(f"There are no coordinates at {path}: check the path.")
    if path.is_file():
        return _guess_file(path)
    files = list(path.rglob("*"))
    kinds = {_guess_file(file) for file in files if file.suffix in KNOWN_SUFFIXES - SHARED_SUFFIXES}
    if len(kinds) > 1:
        raise InputError(f"The folder {path} holds files of {' and '.join(sorted(kinds))}: give --from, or one folder.")
    if kinds:
        return "relion" if kinds == {"star"} else kinds.pop()
    if any(file.suffix in SHARED_SUFFIXES for file in files):
        return "table"
    raise InputError(f"The folder {path} holds no file of coordinates: expected {', '.join(sorted(KNOWN_SUFFIXES))}.")


def _guess_file(path: Path) -> str:
    matching = [name for name, each in FORMATS.items() if path.suffix in each.suffixes]
    if path.suffix == ".star":
        return "star"
    if "topaz" in matching or not path.suffix:
        head = read_text(path).partition("\n")[0]
        return "topaz" if is_topaz_header(head) or "region_shape_attributes" in head else "table"
    if len(matching) != 1:
        raise InputError(f"{path} has no suffix of a known format: give --from {', '.join(FORMATS)}.")
    return matching[0]


def guess_target_format(path: Path) -> str:
    """Return the name of the format that a path to be written shall have, by its suffix.

    Raises
    ------
    InputError
        If several have it, or none.
    """
    matching = [name for name, each in FORMATS.items() if path.suffix and path.suffix in each.suffixes]
    matching = ["star"] if path.suffix == ".star" else matching
    if len(matching) != 1:
        raise InputError(f"The format of {path} cannot be told from its name: give --to {', '.join(FORMATS)}.")
    return matching[0]


KNOWN_SUFFIXES: Final = frozenset(suffix for each in FORMATS.values() for suffix in each.suffixes)

SHARED_SUFFIXES: Final = frozenset(FORMATS["topaz"].suffixes)
"""Of tables, which are coordinates where there are no others: notes and lists of other kinds lie in folders too."""
