"""Converting coordinates from one format into another, and telling all that was changed, lost or not matched.

The steps are those of ``convert``; formats, name rules and geometry live in their own modules.
"""

from __future__ import annotations

import dataclasses
import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Final

import numpy as np

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.cryosparc_exposures import Exposures, read_exposures
from relion_attn_picker.io.cryosparc_group import read_result
from relion_attn_picker.io.mrc import read_header
from relion_attn_picker.io.output_folder import make_folder
from relion_attn_picker.jobs.conversion.formats import (
    STEM_RULE,
    CoordinateFormat,
    WritingContext,
    find_format,
    guess_format,
    guess_target_format,
)
from relion_attn_picker.jobs.conversion.frames import ImageShapes, check_shapes, flip_y, handle_outside
from relion_attn_picker.jobs.conversion.notes import note_duplicates, note_lost_boxes, note_rounded_scores
from relion_attn_picker.jobs.cryosparc.exposure_matching import find_exposures, match_exposures
from relion_attn_picker.jobs.micrograph_list import find_project_dir
from relion_attn_picker.jobs.name_matching import match_names
from relion_attn_picker.micrograph import pixel_sizes_contradict
from relion_attn_picker.point_set import PointSet
from relion_attn_picker.relion.coordinates import PixelSizes
from relion_attn_picker.relion.micrographs import read_micrographs
from relion_attn_picker.relion.point_sets import read_star_points

log = logging.getLogger(__name__)

OUTSIDE_CHOICES: Final = ("refuse", "drop", "clip", "keep")
EXPOSURE_RULE: Final = "stem-no-uid"  # for names without folders
LARGEST_COORDINATE: Final = 1e9
"""Pixels: no image has as many, and whole numbers this large are exact in every format."""


UNSET_PIXEL_SIZE = 1.0  # lets a list without pixel sizes be read; nothing is computed from it


@dataclass(frozen=True)
class ConversionOptions:
    """How coordinates are converted.

    Parameters
    ----------
    source_format, target_format
        Names of formats; ``None`` to guess them.
    micrographs
        STAR file of the micrographs, whose names the result takes; ``None`` keeps the names as they are.
    exposures
        CryoSPARC's list of the micrographs, for ``cs``: one ``.csg``, or the ``.cs`` files of one output.
    match
        Rule for names; ``None``: the source's own.
    strip
        Text to cut from the ends of the given names before they are matched.
    factor
        By which coordinates and boxes are multiplied: how much smaller the images were that they were picked on.
    flip_y
        Count rows from the other end: y becomes h - 1 - y.
    box_size
        Pixels, where a format needs boxes and the points have none.
    outside
        What becomes of points outside their micrograph: one of ``OUTSIDE_CHOICES``.
    whole_pixels
        Whether to round where the format keeps fractions; ``None``: for ``relion`` only, which would cut them off.

    Raises
    ------
    InputError
        If a value cannot be meant.
    """

    source_format: str | None = None
    target_format: str | None = None
    micrographs: Path | None = None
    exposures: tuple[Path, ...] = ()
    match: str | None = None
    strip: str = ""
    factor: float = 1.0
    flip_y: bool = False
    box_size: int | None = None
    outside: str = "refuse"
    whole_pixels: bool | None = None

    def __post_init__(self) -> None:
        if not 0 < self.factor < math.inf:
            raise InputError(f"The factor is {self.factor:g}: expected a number above 0, such as 4.")
        if self.box_size is not None and self.box_size < 1:
            raise InputError(f"The box size is {self.box_size}: expected pixels, 1 or more.")
        if self.outside not in OUTSIDE_CHOICES:
            raise InputError(f"There is no choice {self.outside!r} for points outside: {', '.join(OUTSIDE_CHOICES)}.")
        if self.flip_y and self.micrographs is None and not self.exposures:
            raise InputError("Flipping y needs the heights of the images: give --micrographs.")
        if (self.match is not None or self.strip) and self.micrographs is None and not self.exposures:
            raise InputError("--match and --strip say how names meet a list: give --micrographs too.")


@dataclass(frozen=True)
class ConversionReport:
    """What was done: counts, names that did not match, and sentences about everything that is not as before."""

    source_format: str
    target_format: str
    match: str | None
    n_micrographs: int
    n_points: int
    unmatched: tuple[str, ...] = ()
    without_coordinates: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def to_dict(self) -> dict[str, object]:
        """Return the report in the types of JSON."""
        return dataclasses.asdict(self)


@dataclass(frozen=True)
class _Images:
    """The micrographs of the list, the folder their names are relative to, and the pixel sizes that it tells."""

    names: tuple[str, ...]
    project_dir: Path
    pixel_sizes: dict[str, float]


def convert(source: Path, target: Path, options: ConversionOptions) -> ConversionReport:
    """Convert the coordinates at ``source`` into ``target``.

    Raises
    ------
    InputError
        If something cannot be read, told apart, matched or written.
    """
    source_format = options.source_format or guess_format(source)
    target_format = options.target_format or guess_target_format(target)
    reader, writer = find_format(source_format), find_format(target_format)
    _check_exposures(target_format, options)
    images = None if options.micrographs is None else _list_images(options.micrographs)
    exposures = read_exposures(read_result(options.exposures)) if options.exposures else None
    read = reader.read
    if read is read_star_points:  # refined shifts are in Å, and the pixels are those that were picked on
        pixel_sizes = _pixel_sizes(images, exposures, options)
        read = partial(read_star_points, pixel_sizes=pixel_sizes)
    points = _scale(read(source), options.factor)
    if not points.names:
        raise InputError(f"{source} holds no point and names no micrograph: there is nothing to convert.")
    _check_reach(points, source)
    _check_names(points, source, reader, writer, options)
    rule, exposure_rule = _choose_rules(points, reader, options)
    unmatched: tuple[str, ...] = ()
    unused: tuple[str, ...] = ()
    if images is not None and rule is not None:
        points, unmatched, unused = _match(points, images, rule, options.strip)
        _check_pixel_size(points, images.pixel_sizes, options.factor)
    notes = _note_unmatched(unmatched, points, f"list by the rule {rule!r}")
    shapes = _read_shapes(points.names, images, required=options.flip_y and exposures is None)
    check_shapes(points, shapes, options.factor)
    if exposures is not None:
        sizes = {} if images is None else images.pixel_sizes
        points, shapes, unknown = match_exposures(points, exposures, exposure_rule, options.strip, shapes, sizes)
        _check_pixel_size(points, {each.path: each.optics.pixel_size for each in exposures.items}, options.factor)
        notes += _note_unmatched(unknown, points, "list of exposures")
        unmatched += unknown
    points, placed = _place(points, shapes, options)
    points, fitted = _fit(points, target_format, options.whole_pixels)
    _check_needs(points, target_format, options.box_size)
    make_folder(target.parent)
    star = None if options.micrographs is None else str(options.micrographs)
    writer.write(target, points, WritingContext(options.box_size, star, exposures))
    notes = [*notes, *placed, *fitted]
    counts = len(points.names), len(points)
    return ConversionReport(source_format, target_format, rule, *counts, unmatched, unused, tuple(notes))


def _pixel_sizes(images: _Images | None, exposures: Exposures | None, options: ConversionOptions) -> PixelSizes:
    """Return what knows the Å per pixel of the images that were picked on, by the names of the coordinates' file."""
    if images is not None:
        return {name: size * options.factor for name, size in images.pixel_sizes.items()}
    if exposures is None:
        return {}

    def of_exposures(names: Sequence[str]) -> dict[str, float]:  # full names: only particles have shifts
        found = find_exposures([name.removesuffix(options.strip) for name in names], exposures, options.match)
        return {
            name: exposure.optics.pixel_size * options.factor
            for name, exposure in zip(names, found, strict=True)
            if exposure is not None
        }

    return of_exposures


def _check_exposures(target_format: str, options: ConversionOptions) -> None:
    """Refuse, before anything is read, a conversion that lacks CryoSPARC's list, or has it without need."""
    needs_exposures = "exposures" in find_format(target_format).needs
    if needs_exposures and not options.exposures:
        raise InputError(
            f"{target_format} needs CryoSPARC's own list of the micrographs, with their uids and sizes: give "
            "--exposures, the .csg file of the job that the micrographs come from."
        )
    if options.exposures and not needs_exposures:
        raise InputError(f"--exposures is for writing picks for CryoSPARC, not {target_format}: leave it out.")


def _check_names(
    points: PointSet, source: Path, reader: CoordinateFormat, writer: CoordinateFormat, options: ConversionOptions
) -> None:
    """Refuse names that RELION would not find in its own lists: it would go on, and extract nothing."""
    if writer.full_names and options.micrographs is None and not _has_full_names(points, reader):
        raise InputError(f"{source} does not have the micrographs' full names, which RELION needs: give --micrographs.")


def _choose_rules(
    points: PointSet, reader: CoordinateFormat, options: ConversionOptions
) -> tuple[str | None, str | None]:
    """Return the rules by which names meet the list, if there is one, and CryoSPARC's paths, if not by full names."""
    if options.micrographs is not None:  # whose full names the points then have
        return options.match or (STEM_RULE if points.has_stems else reader.match), None
    return None, options.match or (None if _has_full_names(points, reader) else EXPOSURE_RULE)


def _has_full_names(points: PointSet, reader: CoordinateFormat) -> bool:
    return reader.full_names and not points.has_stems


def _place(points: PointSet, shapes: ImageShapes, options: ConversionOptions) -> tuple[PointSet, list[str]]:
    """Turn points over if asked to, and deal with those outside their images."""
    if options.flip_y:
        points = replace(points, yx=flip_y(points, shapes))
    unknown = [name for name, shape in zip(points.names, shapes, strict=True) if shape is None]
    points, notes = handle_outside(points, shapes, options.outside)
    if unknown and options.micrographs is not None:
        notes.append(
            f"{len(unknown)} of {len(shapes)} images are not at hand or cannot be read, first {unknown[0]}: whether "
            "points lie outside them is not checked."
        )
    return points, notes


def _fit(points: PointSet, target_format: str, whole_pixels: bool | None) -> tuple[PointSet, list[str]]:
    """Take away what a format cannot keep, and tell it."""
    writer = find_format(target_format)
    notes: list[str] = []
    if not writer.keeps_fractions or (writer.whole_by_default if whole_pixels is None else whole_pixels):
        points, notes = _round(points, target_format)
    notes += note_duplicates(points)
    if points.score is not None and len(points) and np.isnan(points.score).all():  # RELION reads 0, and would cut all
        notes.append(f"None of the {len(points)} points has a score: they are written without.")
        points = replace(points, score=None)
    if points.score is not None and not writer.keeps_scores:
        notes.append(f"{target_format} has no scores: those of {len(points)} points are lost.")
        points = replace(points, score=None)
    elif points.score is not None and np.isnan(points.score).any():
        n = int(np.isnan(points.score).sum())
        notes.append(f"{n} of {len(points)} points have no score: programs may read what stands there as 0.")
    if not writer.keeps_boxes:
        notes += note_lost_boxes(points, target_format)
    notes += note_rounded_scores(points, target_format)
    empty = int((points.counts() == 0).sum())
    if empty and not writer.keeps_empty:
        notes.append(f"{target_format} cannot tell micrographs without points: {empty} are not in it.")
    return points, notes


def _check_needs(points: PointSet, target_format: str, box_size: int | None) -> None:
    """Refuse, before anything is written, what a format cannot be written without."""
    needs = find_format(target_format).needs
    if "box_size" in needs and box_size is None and len(points) and not _all_have_boxes(points):
        raise InputError(f"The points have no boxes, which {target_format} needs: give --box_size in pixels.")


def _all_have_boxes(points: PointSet) -> bool:
    return points.box_hw is not None and bool(np.isfinite(points.box_hw).all())


def _scale(points: PointSet, factor: float) -> PointSet:
    if factor == 1:
        return points
    boxes = None if points.box_hw is None else points.box_hw * factor
    return replace(points, yx=points.yx * factor, box_hw=boxes)


def _check_reach(points: PointSet, source: Path) -> None:
    """Refuse points and boxes that no image can hold: as whole numbers they would become others."""
    values = points.yx if points.box_hw is None else np.concatenate([points.yx, points.box_hw], axis=1)
    bad = np.flatnonzero((np.abs(values) > LARGEST_COORDINATE).any(axis=1))
    if bad.size:
        row = bad[0]
        told = f"x {points.yx[row, 1]:g}, y {points.yx[row, 0]:g}"
        if points.box_hw is not None:
            told += f", box {points.box_hw[row, 1]:g}×{points.box_hw[row, 0]:g}"
        raise InputError(
            f"{source} has {bad.size} points that no image can hold, first {told} on "
            f"{points.names[points.owner[row]]}: mend or remove them."
        )


def _list_images(path: Path) -> _Images:
    try:
        micrographs, has_pixel_sizes = read_micrographs(path, None), True
    except InputError:  # a list without pixel sizes serves as well; any other fault is told again
        micrographs, has_pixel_sizes = read_micrographs(path, UNSET_PIXEL_SIZE), False
    sizes = {micrograph.name: micrograph.optics.pixel_size for micrograph in micrographs}
    return _Images(tuple(sizes), find_project_dir(path, list(sizes)), sizes if has_pixel_sizes else {})


def _check_pixel_size(points: PointSet, pixel_sizes: dict[str, float], factor: float) -> None:
    """Refuse coordinates whose file tells another pixel size than the list has for the micrographs that they lie on."""
    if points.pixel_size is None:
        return
    own = points.pixel_size / factor
    for name in points.names:
        listed = pixel_sizes.get(name, own)
        if pixel_sizes_contradict(own, listed):
            raise InputError(
                f"The coordinates are pixels of {points.pixel_size:g} Å, but {name} has {listed:g} Å: "
                f"give --factor {points.pixel_size / listed:.6g} if the images were rescaled, or the right list."
            )


def _match(
    points: PointSet, images: _Images, rule: str, strip: str
) -> tuple[PointSet, tuple[str, ...], tuple[str, ...]]:
    """Return the points under the listed names, the given names without a match, and the listed ones without."""
    given = [name.removesuffix(strip) for name in points.names]
    match = match_names(given, images.names, rule)
    unmatched = tuple(name for name, listed in zip(points.names, match.listed, strict=True) if listed is None)
    if len(unmatched) == len(points.names):
        first = points.names[0] if points.names else "there is none"
        raise InputError(
            f"None of the {len(points.names)} names in the coordinates (first: {first}) is in the list "
            f"(first: {images.names[0]}) by the rule {rule!r}: choose another --match."
        )
    return points.rename(match.listed), unmatched, match.unused


def _note_unmatched(unmatched: Sequence[str], points: PointSet, where: str) -> list[str]:
    if not unmatched:
        return []
    return [
        f"{len(unmatched)} names in the coordinates are not in the {where}, and their points are "
        f"left out; {len(points.names)} match. The first: {', '.join(unmatched[:3])}."
    ]


def _read_shapes(names: Sequence[str], images: _Images | None, required: bool) -> ImageShapes:
    """Return ``(h, w)`` of each micrograph; ``None`` without a list, or for an image that is not required nor here."""
    if images is None:
        return [None] * len(names)
    paths = [images.project_dir / name for name in names]
    return [read_header(path).shape for path in paths] if required else [_read_shape(path) for path in paths]


def _read_shape(path: Path) -> tuple[int, int] | None:
    try:
        return read_header(path).shape
    except InputError as error:  # what can be done without the image is done; how many there are is told
        log.debug("%s", error)
        return None


def _round(points: PointSet, target_format: str) -> tuple[PointSet, list[str]]:
    whole = np.rint(points.yx)
    changed = int((whole != points.yx).any(axis=1).sum())
    if not changed:
        return points, []
    return replace(points, yx=whole), [f"{changed} points are rounded to whole pixels for {target_format}."]
