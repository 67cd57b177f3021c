"""From what a user types (a STAR file, MRC files, patterns) to a list of micrographs and the folder they lie in."""

from __future__ import annotations

import glob
import logging
import os
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from relion_attn_picker.errors import InputError
from relion_attn_picker.imaging.prepare import check_diameter
from relion_attn_picker.io.mrc import read_header
from relion_attn_picker.micrograph import Micrograph, OpticsGroup
from relion_attn_picker.relion.micrographs import read_micrographs, write_micrographs

log = logging.getLogger(__name__)

OWN_LIST = "micrographs.star"
"""Name of the list that is written for MRC files."""

MOST_ENLARGED: Final = 2.0
"""Times their own width that micrographs may get for the network without a word; binned ones get 1.2 to 1.5 times."""

NAMES_LOOKED_FOR: Final = 100
"""Micrographs of a list, until one of them is found somewhere."""

COMPARED_BYTES = 4096
"""Of each block that two files of one name are compared by: three times the header of an MRC file, then pixels."""

DERIVED_ENDINGS = ("_noDW", "_DW", "_PS", "_EVN", "_ODD", "_doseweighted")
"""What RELION, MotionCor2 and CryoSPARC add to the name of a micrograph for other images of the same movie."""


@dataclass(frozen=True)
class ListedMicrographs:
    """``micrographs`` with names relative to ``project_dir``; ``star_path`` is the list's own path, if it has one."""

    micrographs: Sequence[Micrograph]
    project_dir: Path
    star_path: str


def list_micrographs(inputs: Sequence[str], pixel_size: float | None, out: Path) -> ListedMicrographs:
    """Return the micrographs of one STAR file, or of MRC files and shell patterns.

    For MRC files a list is written as RELION would have it: names relative to the current folder, absolute for files
    outside it.

    Parameters
    ----------
    inputs
        One path of a STAR file, or paths and patterns of MRC files.
    pixel_size
        Å per pixel, for files without it; MRC files have it in their headers if their writer was careful.
    out
        Folder for the list of MRC files.

    Raises
    ------
    InputError
        If nothing is found, STAR and MRC files are mixed, a pixel size is missing, or MRC files lie in ``out``.
    """
    if len(inputs) == 1 and inputs[0].endswith(".star"):
        path = Path(inputs[0])
        micrographs = read_micrographs(path, pixel_size)
        return ListedMicrographs(micrographs, find_project_dir(path, [each.name for each in micrographs]), inputs[0])
    if any(text.endswith(".star") for text in inputs):
        raise InputError("A STAR file stands beside other inputs: give one STAR file, or MRC files only.")
    micrographs = list_images(expand(inputs), pixel_size)
    refuse_folder_of_micrographs(out, micrographs, Path())
    write_micrographs(out / OWN_LIST, micrographs)
    return ListedMicrographs(micrographs, Path(), str(out / OWN_LIST))


def refuse_folder_of_micrographs(folder: Path, micrographs: Sequence[Micrograph], project_dir: Path) -> None:
    """Refuse to put a job's files into a folder where micrographs lie.

    Raises
    ------
    InputError
        If one lies directly there.
    """
    if folder.resolve() in {place.resolve() for place in {(project_dir / each.name).parent for each in micrographs}}:
        raise InputError(f"{folder} holds the micrographs themselves: give the job a folder of its own.")


def find_project_dir(star_path: Path, names: list[str]) -> Path:
    """Return the folder that the names in a STAR file are relative to.

    The current folder, as in RELION; if the first micrograph is not there, the first of the STAR file's own folder and
    its parents that has it; if none has, the next micrograph is looked for, for the first may have been removed, and
    at last it is the current folder again. Where the current folder and the STAR file's own side have different files
    of one name, a warning tells which is taken.
    """
    folders = (star_path.parent, *star_path.absolute().parents)
    for name in names[:NAMES_LOOKED_FOR]:
        other = next((folder for folder in folders if (folder / name).exists()), None)
        if (Path() / name).exists():
            if other is not None:
                _warn_if_different(star_path, names, Path.cwd(), Path(os.path.abspath(other)))  # noqa: PTH100
            return Path()
        if other is not None:
            return other
    return Path()


def require_one(folder: Path, names: Sequence[str], advice: str) -> None:
    """Refuse a folder that has none of the first micrographs; that one alone is gone does not matter.

    Parameters
    ----------
    folder
        What the names should be relative to.
    names
        Of the micrographs; as many as ``NAMES_LOOKED_FOR`` are looked for.
    advice
        What to do about it, for the end of the sentence.

    Raises
    ------
    InputError
        If none is there.
    """
    first = names[:NAMES_LOOKED_FOR]
    if not any((folder / name).is_file() for name in first):
        raise InputError(f"None of the first {len(first)} micrographs is there (first: {folder / first[0]}): {advice}")


def _warn_if_different(star_path: Path, names: list[str], taken: Path, other: Path) -> None:
    """Warn, once for a list, of the first name whose files in two folders are not the same."""
    if taken.samefile(other):
        return
    name = next((name for name in names if _are_different(taken / name, other / name)), None)
    if name is not None:
        _warn_of_two(star_path, name, taken, other)


@cache
def _warn_of_two(star_path: Path, name: str, taken: Path, other: Path) -> None:
    log.warning(
        "%s of %s is there twice, and the files differ: that of the current folder %s is taken, not that of %s; "
        "to take the latter, run there, or list whole paths.",
        name,
        star_path,
        taken,
        other,
    )


def _are_different(one: Path, other: Path) -> bool:
    """Tell whether both files are there and differ: in size, or in a block at the beginning, the middle or the end.

    Two images of one size differ in every block, by their noise; to read all of both would take minutes for a session.
    """
    if not all(path.is_file() and os.access(path, os.R_OK) for path in (one, other)) or one.samefile(other):
        return False
    status = one.stat(), other.stat()
    return status[0].st_size != status[1].st_size or not _have_same_blocks(
        one, other, status[0].st_size, (status[0].st_mtime_ns, status[1].st_mtime_ns)
    )


@cache
def _have_same_blocks(one: Path, other: Path, n_bytes: int, changed: tuple[int, int]) -> bool:
    """Compare three blocks of two files of ``n_bytes``, once for those ``changed`` at the same times."""
    starts = (0, n_bytes // 2, max(0, n_bytes - COMPARED_BYTES))
    with one.open("rb") as first, other.open("rb") as second:
        for start in starts:
            first.seek(start)
            second.seek(start)
            if first.read(COMPARED_BYTES) != second.read(COMPARED_BYTES):
                return False
    return True


def expand(inputs: Sequence[str]) -> list[str]:
    """Return the names of the files that paths and patterns stand for, each once, in order."""
    names: dict[str, None] = {}
    for text in inputs:
        found = [text] if Path(text).exists() else sorted(glob.glob(text, recursive=True))  # noqa: PTH207
        if not found:
            raise InputError(
                f"There is no file {text}: give a STAR file, MRC files, or a pattern such as 'mics/*.mrc'."
            )
        names.update((name_for_list(Path(path)), None) for path in found)
    return list(names)


def name_for_list(path: Path) -> str:
    """Return a path relative to the current folder, absolute if it is outside; symbolic links stay as they are."""
    if path.is_dir():
        raise InputError(f"{path} is a folder: give a pattern of MRC files, such as '{path}/*.mrc'.")
    absolute = Path(os.path.abspath(path))  # noqa: PTH100  (takes '..' away without following links)
    return str(absolute.relative_to(Path.cwd()) if absolute.is_relative_to(Path.cwd()) else absolute)


def _warn_of_derived(names: Sequence[str]) -> None:
    """Warn if a pattern took several images of one movie: each particle would be picked once in each of them."""
    listed = set(names)
    for name in names:
        stem, extension = os.path.splitext(name)  # noqa: PTH122  (names stay as they are written)
        for ending in DERIVED_ENDINGS:
            plain = stem.removesuffix(ending) + extension
            if plain != name and plain in listed:
                _warn_of_pair(plain, name)
                return


@cache
def _warn_of_pair(plain: str, derived: str) -> None:
    log.warning(
        "%s stands beside %s, and there may be more such pairs: images of one movie, with and without dose weighting, "
        "or power spectra, are all picked, and so each particle more than once; give a pattern that takes one of each, "
        "or a micrographs STAR file.",
        derived,
        plain,
    )


def list_images(
    names: Sequence[str], pixel_size: float | None, known: dict[str, float] | None = None
) -> list[Micrograph]:
    """Return the micrographs of these files, in one optics group for each pixel size.

    Pixel sizes that were read are kept in ``known`` (name → Å per pixel), and are not read again. A damaged file stays
    listed, in the first group: the job then tells what is wrong with it, and picks the others.

    Raises
    ------
    InputError
        If no header can be read, or one has no pixel size and none is given.
    """
    _warn_of_derived(names)
    known = {} if known is None else known
    damaged: list[InputError] = []
    for name in names:
        try:
            size = known.get(name, pixel_size) or read_header(Path(name)).pixel_size
        except InputError as error:
            damaged.append(error)
            continue
        if size is None:
            raise InputError(f"{name} has no pixel size in its header: give --pixel_size in Å per pixel.")
        known[name] = round(size, 4)
    sizes = dict.fromkeys(known[name] for name in names if name in known)
    if damaged and not sizes:
        raise damaged[0]
    groups = {size: OpticsGroup(index, f"opticsGroup{index}", size) for index, size in enumerate(sizes, start=1)}
    return [Micrograph(name, groups[known.get(name, next(iter(sizes)))]) for name in names]


def refuse_absurd_diameter(micrographs: Sequence[Micrograph], project_dir: Path, particle_diameter: float) -> None:
    """Refuse a diameter, in Å, that fits none of the first micrographs whose headers can be read, before any is picked.

    Raises
    ------
    InputError
        If there is one of these, and ``imaging.prepare.check_diameter`` refuses all.
    """
    refusals: list[InputError] = []
    for micrograph in micrographs[:NAMES_LOOKED_FOR]:
        with suppress(InputError):  # the job tells what is wrong with it
            shape = read_header(project_dir / micrograph.name).shape
            try:
                check_diameter(shape, micrograph.optics.pixel_size, particle_diameter)
            except InputError as error:
                refusals.append(error)
            else:
                return
    if refusals:
        raise refusals[0]


def warn_of_enlargement(
    micrographs: Sequence[Micrograph], particle_diameter: float, particle_diameter_px: float
) -> None:
    """Warn where so small a diameter makes the network look at far larger images than the files hold.

    ``particle_diameter`` is in Å, ``particle_diameter_px`` in network pixels. A radius, or a number of pixels, given
    for a diameter in Å looks like this, and takes many times the memory and time.
    """
    coarsest = max((micrograph.optics.pixel_size for micrograph in micrographs), default=0.0)
    times = particle_diameter_px * coarsest / particle_diameter
    if times > MOST_ENLARGED:
        log.warning(
            "A particle of %g Å has only %.1f pixels of %g Å: the micrographs are enlarged to %.1f times their width "
            "and height, which takes %.0f times the memory and time; are the diameter, in Å, and the pixel size right?",
            particle_diameter,
            particle_diameter / coarsest,
            coarsest,
            times,
            times**2,
        )
