"""Picks as CryoSPARC keeps them: columns of the slots ``location`` and ``pick_stats``.

Geometry. A centre is stored as a fraction: pixel index, 0-based, divided by the number of pixels, without half a
pixel; ``micrograph_shape`` is (rows, columns). For the same file, ``center_y_frac`` counts rows in the order of the
file, as RELION's Y does: nothing is flipped. (Structura's published pick tables hold k/580 and k/600; its example
``flip-particle-y`` draws fraction × size over the array.) Where two programs wrote the same micrograph mirrored,
``flip_y`` counts rows from the other end.

Names, types and shapes of columns are those that a CryoSPARC server asks of an external job's output.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.cryosparc import UID, Columns, Table, as_texts
from relion_attn_picker.io.cryosparc_exposures import Exposure
from relion_attn_picker.io.cryosparc_group import OWN_FOLDER
from relion_attn_picker.picks import FloatArray
from relion_attn_picker.point_set import DoubleArray

log = logging.getLogger(__name__)

LOCATION_FIELDS: Final = (
    ("location/micrograph_uid", "<u8", ()),
    ("location/exp_group_id", "<u4", ()),
    ("location/micrograph_path", "S", ()),
    ("location/micrograph_shape", "<u4", (2,)),
    ("location/micrograph_psize_A", "<f4", ()),
    ("location/center_x_frac", "<f4", ()),
    ("location/center_y_frac", "<f4", ()),
)
STATISTICS_FIELDS: Final = (
    ("pick_stats/ncc_score", "<f4", ()),
    ("pick_stats/power", "<f4", ()),
    ("pick_stats/template_idx", "<u4", ()),
    ("pick_stats/angle_rad", "<f4", ()),
)
PICK_SLOTS: Final = ("location", "pick_stats")
MIN_DISTANCE_FIELD: Final = ("location/min_dist_A", "<f4", ())
REQUIRED: Final = (
    "location/micrograph_path",
    "location/micrograph_shape",
    *(f"location/center_{a}_frac" for a in "xy"),
)
SHIFTS: Final = ("alignments2D/shift", "alignments3D/shift")
DECIMALS: Final = 3
"""Of a pixel, when picks are read. A fraction, a float of 24 bits, tells a centre among n pixels to n / 2**25, so that
a thousandth is told up to 16,777 pixels, and what was written with three decimals comes back the same."""


@dataclass(frozen=True)
class ExposurePicks:
    """Picks on one exposure: ``yx`` ``(n, 2)`` in its pixels, ``score`` ``(n,)`` or ``None``."""

    exposure: Exposure
    yx: FloatArray | DoubleArray
    score: FloatArray | DoubleArray | None


def have_scores(picks: Sequence[ExposurePicks]) -> bool:
    """Tell whether picks have scores; exposures without a pick have no say, unless there is no pick at all.

    Raises
    ------
    InputError
        If those of some exposures have, and those of others not.
    """
    filled = [entry for entry in picks if len(entry.yx)] or picks
    without = [entry for entry in filled if entry.score is None]
    if 0 < len(without) < len(filled):
        raise InputError(
            f"{len(without)} of {len(filled)} micrographs have picks without a score, the first "
            f"{without[0].exposure.path}, and others have some: CryoSPARC sorts by it, so "
            "give all picks one, or none."
        )
    return not without


def make_pick_table(
    picks: Sequence[ExposurePicks],
    rng: np.random.Generator,
    *,
    min_distance: float | None = None,
    flip_y: bool = False,
) -> Table:
    """Return the table of picks that CryoSPARC takes, one row a pick.

    Parameters
    ----------
    picks
        One entry an exposure. With scores, they go to ``ncc_score`` and ``power``: Inspect Picks cuts by both.
    rng
        Draws the uids: a new set of picks must not have those of an earlier one.
    min_distance
        Smallest distance between picks, Å, if known.
    flip_y
        Count rows from the last one: for a micrograph that CryoSPARC has mirrored.

    Raises
    ------
    InputError
        If a pick lies outside its micrograph, has no score where others have one, or one that is no finite number.
    """
    counts = [len(entry.yx) for entry in picks]
    has_scores = have_scores(picks)
    exposures = [entry.exposure for entry in picks]
    columns: dict[str, Sequence[Any]] = {
        "location/micrograph_uid": [exposure.uid for exposure in exposures],
        "location/exp_group_id": [exposure.group for exposure in exposures],
        "location/micrograph_path": [exposure.path.encode() for exposure in exposures],
        "location/micrograph_shape": [exposure.shape for exposure in exposures],
        "location/micrograph_psize_A": [exposure.optics.pixel_size for exposure in exposures],
    }
    longest = max((len(path) for path in columns["location/micrograph_path"]), default=0)
    fields = [*LOCATION_FIELDS, *([] if min_distance is None else [MIN_DISTANCE_FIELD])]
    fields += STATISTICS_FIELDS if has_scores else ()
    dtype = [(name, f"S{longest + 1}" if kind == "S" else kind, shape) for name, kind, shape in fields]
    table = np.zeros(sum(counts), dtype=[(UID, "<u8"), *dtype])
    table[UID] = draw_uids(len(table), rng)
    for name, values in columns.items():
        table[name] = np.repeat(np.array(values, dtype=table.dtype[name].base), counts, axis=0) if values else 0
    fractions = [place_picks(entry, flip_y) / entry.exposure.shape for entry in picks]
    yx = np.concatenate([np.zeros((0, 2)), *fractions])
    table["location/center_x_frac"], table["location/center_y_frac"] = yx[:, 1], yx[:, 0]
    if min_distance is not None:
        table[MIN_DISTANCE_FIELD[0]] = min_distance
    if has_scores:
        scores = np.concatenate([np.zeros(0), *(entry.score for entry in picks if entry.score is not None)])
        if n_bad := np.count_nonzero(~np.isfinite(scores)):
            raise InputError(
                f"{n_bad} of {len(scores)} picks have no score that is a finite number, by which CryoSPARC sorts: mend "
                "or remove their scores."
            )
        table["pick_stats/ncc_score"] = table["pick_stats/power"] = scores
    return table


def pick_slots(table: Table) -> tuple[str, ...]:
    """Return the slots of a table of ``make_pick_table``."""
    return tuple(dict.fromkeys(name.partition("/")[0] for name in table.dtype.names or () if name != UID))


def draw_uids(count: int, rng: np.random.Generator) -> NDArray[np.uint64]:
    """Draw different 64-bit numbers, as cryosparc-tools does."""
    while True:
        uids = rng.integers(0, 2**64, count, dtype=np.uint64)
        if len(np.unique(uids)) == count:
            return uids


def place_picks(picks: ExposurePicks, flip_y: bool) -> NDArray[np.float64]:
    """Return the centres ``(n, 2)`` as CryoSPARC counts pixels, none below 0: in the first half pixel they become 0.

    Raises
    ------
    InputError
        If a pick lies outside its micrograph.
    """
    height, width = picks.exposure.shape
    yx = picks.yx.astype(np.float64)
    outside = ~((yx >= -0.5) & (yx < [height, width])).all(axis=1)
    if outside.any():
        y, x = yx[np.flatnonzero(outside)[0]]
        raise InputError(
            f"{picks.exposure.path} has {np.count_nonzero(outside)} picks outside its {width}×{height} pixels, the "
            f"first at x = {x:g}, y = {y:g}: they belong to another micrograph or to another binning."
        )
    if flip_y:
        yx[:, 0] = height - 1 - yx[:, 0]
    return np.maximum(yx, 0)


@dataclass(frozen=True)
class LocatedPicks:
    """Picks or particles of CryoSPARC.

    Parameters
    ----------
    uids, paths, shapes, pixel_sizes
        Of their micrographs, one entry a micrograph: uid (0 where not known), path without the mark of an exported
        copy, ``(h, w)``, Å per pixel (``None`` where not known).
    yx, score
        For each micrograph, ``(n, 2)`` in its pixels, to a thousandth, and ``(n,)`` or ``None``.
    n_outside
        Rows that were left out because their centre is outside the micrograph.
    has_shifts
        Whether particles carry shifts of an alignment, which are not applied.
    """

    uids: list[int]
    paths: list[str]
    shapes: list[tuple[int, int]]
    pixel_sizes: list[float | None]
    yx: list[DoubleArray]
    score: list[FloatArray | None]
    n_outside: int
    has_shifts: bool


def read_located_picks(columns: Columns, *, flip_y: bool = False, keep_outside: bool = False) -> LocatedPicks:
    """Return picks or particles by micrograph, in pixels.

    Parameters
    ----------
    columns
        Of a result of CryoSPARC.
    flip_y
        Count rows from the last one: for micrographs that CryoSPARC has mirrored.
    keep_outside
        Whether to return rows whose centre is outside the micrograph too.

    Raises
    ------
    InputError
        If a column is missing or not what CryoSPARC writes, or a micrograph has two shapes.
    """
    _check_location(columns)
    shapes = columns[REQUIRED[1]].astype(np.int64)
    fractions = np.stack([columns[REQUIRED[3]], columns[REQUIRED[2]]], axis=1).astype(np.float64)
    if not np.isfinite(fractions).all():
        raise InputError(f"{REQUIRED[2]} or {REQUIRED[3]} has a value that is not a finite number: export them again.")
    yx = np.round(fractions * shapes, DECIMALS)
    if flip_y:
        yx[:, 0] = shapes[:, 0] - 1 - yx[:, 0]
    inside = keep_outside | ((yx > -0.5) & (yx < shapes - 0.5)).all(axis=1)
    names, first, member = _group_texts(_as_bytes(columns[REQUIRED[0]]))
    _check_one_shape(shapes, first, member, names)
    order = np.flatnonzero(inside)[np.argsort(member[inside], kind="stable")]
    rows = np.split(order, np.cumsum(np.bincount(member[inside], minlength=len(names)))[:-1]) if len(names) else []
    score = columns.get(STATISTICS_FIELDS[0][0])
    sizes = columns.get("location/micrograph_psize_A", np.zeros(len(yx)))[first].tolist()
    return LocatedPicks(
        uids=columns.get("location/micrograph_uid", np.zeros(len(yx), dtype=np.uint64))[first].tolist(),
        paths=[path.removeprefix(OWN_FOLDER) for path in as_texts(names)],
        shapes=[(height, width) for height, width in shapes[first].tolist()],
        pixel_sizes=[round(size, 6) if size > 0 else None for size in sizes],
        yx=[yx[own] for own in rows],
        score=[None if score is None else score[own].astype(np.float32) for own in rows],
        n_outside=int(np.count_nonzero(~inside)),
        has_shifts=any(name in columns and bool(np.any(columns[name])) for name in SHIFTS),
    )


def warn_of_losses(located: LocatedPicks) -> None:
    """Tell what of picks or particles is left out or not applied."""
    if located.n_outside:
        log.warning("%d picks have their centre outside their micrograph and are left out.", located.n_outside)
    if located.has_shifts:
        log.warning(
            "The particles carry shifts of an alignment, which are not applied: to have refined centres, run Extract "
            "From Micrographs with 'Recenter using aligned shifts' first and import its particles."
        )


def _as_bytes(texts: NDArray[Any]) -> NDArray[Any]:
    return np.char.encode(texts, "utf-8") if texts.dtype.kind == "U" else texts.astype("S")


def _group_texts(texts: NDArray[Any]) -> tuple[NDArray[Any], NDArray[Any], NDArray[Any]]:
    """Return the different texts, the first row of each, and for each row the number of its text.

    As ``np.unique``, but only the first rows of runs of equal texts are sorted: picks lie together by micrograph.
    """
    heads = np.flatnonzero(np.r_[np.ones(min(1, len(texts)), dtype=bool), texts[1:] != texts[:-1]])
    names, first, member = np.unique(texts[heads], return_index=True, return_inverse=True)
    return names, heads[first], np.repeat(member, np.diff(np.r_[heads, len(texts)]))


def _check_location(columns: Columns) -> None:
    for name in REQUIRED:
        if name not in columns:
            slots = sorted({column.split("/")[0] for column in columns} - {UID})
            raise InputError(
                f"The picks have no column {name}, only the slots {', '.join(slots) or 'none'}: give the .csg of the "
                "job's output, or also its passthrough file (J12_passthrough_particles.cs or the like)."
            )
    shape = columns[REQUIRED[1]]
    if shape.ndim != 2 or shape.shape[1] != 2:
        raise InputError(f"{REQUIRED[1]} has the shape {shape.shape}: expected two numbers a row, rows and columns.")
    for row in np.flatnonzero((shape < 1).any(axis=1))[:1]:
        raise InputError(f"Row {row + 1}: {REQUIRED[1]} is {shape[row].tolist()}: expected both above 0.")


def _check_one_shape(shapes: NDArray[Any], first: NDArray[Any], member: NDArray[Any], names: NDArray[Any]) -> None:
    for row in np.flatnonzero((shapes != shapes[first][member]).any(axis=1))[:1]:
        own, other = shapes[row].tolist(), shapes[first][member][row].tolist()
        raise InputError(f"{as_texts(names)[member[row]]} has rows with the shapes {other} and {own}: expected one.")
