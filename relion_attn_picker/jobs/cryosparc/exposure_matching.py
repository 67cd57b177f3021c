"""Bringing points under the names that CryoSPARC has for their micrographs, and refusing what contradicts it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.cryosparc_exposures import Exposure, Exposures
from relion_attn_picker.io.cryosparc_names import MicrographFinder
from relion_attn_picker.jobs.name_matching import match_names
from relion_attn_picker.micrograph import pixel_sizes_contradict
from relion_attn_picker.point_set import PointSet


def match_exposures(
    points: PointSet,
    exposures: Exposures,
    rule: str | None,
    strip: str,
    shapes: Sequence[tuple[int, int] | None],
    pixel_sizes: Mapping[str, float],
) -> tuple[PointSet, tuple[tuple[int, int], ...], tuple[str, ...]]:
    """Return the points under CryoSPARC's paths, the shapes of those micrographs, and the names that it has not.

    Parameters
    ----------
    points, exposures
        The points, and CryoSPARC's list of their micrographs.
    rule
        One of ``MATCH_RULES``; ``None`` for full names, which ``MicrographFinder`` finds.
    strip
        Text to cut from the ends of names first.
    shapes, pixel_sizes
        ``(h, w)`` of each of the points' micrographs, or ``None``, and Å per pixel by name, where known from elsewhere.

    Raises
    ------
    InputError
        If CryoSPARC has none of the names, one fits several, or a shape or pixel size contradicts.
    """
    listed = find_exposures([name.removesuffix(strip) for name in points.names], exposures, rule)
    for name, shape, exposure in zip(points.names, shapes, listed, strict=True):
        if exposure is not None:
            _check_exposure(name, shape, pixel_sizes.get(name), exposure)
    unknown = tuple(name for name, exposure in zip(points.names, listed, strict=True) if exposure is None)
    kept = tuple(exposure.shape for exposure in listed if exposure is not None)
    return points.rename([None if exposure is None else exposure.path for exposure in listed]), kept, unknown


def find_exposures(names: Sequence[str], exposures: Exposures, rule: str | None) -> list[Exposure | None]:
    """Return the exposure of each name, ``None`` where there is none, by a rule as for ``match_exposures``.

    Raises
    ------
    InputError
        If CryoSPARC has none of the names, or one fits several.
    """
    by_path = {item.path: item for item in exposures.items}
    listed: list[Exposure | None]
    if rule is None:
        found = find_exposure_indices(names, exposures)
        listed = [exposures.items[found[name]] if name in found else None for name in names]
    else:
        paths = match_names(names, list(by_path), rule).listed
        listed = [None if path is None else by_path[path] for path in paths]
    if not any(listed):
        raise InputError(
            f"None of the {len(names)} micrographs (first: {', '.join(names[:1]) or 'there is none'}) is "
            f"among the {len(by_path)} exposures (first: {next(iter(by_path))}): give the exposures of the same "
            "micrographs, or say with --match how much of the names must be equal (stem: without folders and "
            "extension)."
        )
    return listed


def find_exposure_indices(names: Sequence[str], exposures: Exposures) -> dict[str, int]:
    """Return the number of the exposure of each name that has one, as ``MicrographFinder`` finds it.

    Raises
    ------
    InputError
        If a name fits several.
    """
    items = exposures.items
    return MicrographFinder([item.uid for item in items], [item.path for item in items]).find_all(names)


def _check_exposure(name: str, shape: tuple[int, int] | None, pixel_size: float | None, exposure: Exposure) -> None:
    """Refuse an image whose shape or pixel size, where known, is not what CryoSPARC says."""
    if shape is not None:
        check_shape(name, shape, exposure.shape)
    if pixel_size is not None:
        compare_pixel_sizes({name: (pixel_size, exposure.optics.pixel_size)})


def check_shape(name: str, shape: tuple[int, int], stated: tuple[int, int]) -> None:
    """Raise ``InputError`` if an image's shape ``(h, w)`` is not the one that CryoSPARC states."""
    if shape != stated:
        raise InputError(
            f"{name} has {shape[1]}×{shape[0]} pixels, but CryoSPARC says {stated[1]}×{stated[0]}: it is another file, "
            "or was binned since."
        )


def compare_pixel_sizes(sizes: Mapping[str, tuple[float, float]]) -> None:
    """Raise ``InputError`` if a micrograph's pixel size in its STAR file contradicts the one in CryoSPARC."""
    for name, (listed, stored) in sizes.items():
        if pixel_sizes_contradict(listed, stored):
            raise InputError(
                f"{name} has {listed:g} Å per pixel in its STAR file and {stored:g} in CryoSPARC: they are different "
                "files, or one of the two is wrong."
            )
