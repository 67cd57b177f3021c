"""A micrograph with its picks drawn in, to look at.

The first row of the image is at the top, as in RELION's viewer.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from relion_attn_picker.evaluation.matching import Match, Points, lie_beside, match_picks
from relion_attn_picker.report.figure import make_figure, save_png

DOTS_PER_INCH = 100
LEGEND_INCHES = 0.35
SMALLEST_WIDTH_INCHES = 5.0  # the legend's own width
LINE_WIDTHS = {"-": 1.3, "--": 2.0}
SMOOTHING = 0.03  # standard deviation as a fraction of the particle diameter: noise fades, particles keep their edge
CONTRAST_PERCENTILES = (1.0, 99.0)
LineStyle = Literal["-", "--"]
STYLES: dict[str, tuple[str, LineStyle]] = {
    "pick": ("#40c060", "-"),
    "matched": ("#40c060", "-"),
    "false positive": ("#ff4030", "-"),
    "missed": ("#ffd030", "--"),
    "pseudo-label": ("#40c060", "-"),
    "ignored": ("#30b0ff", "--"),
    "rejected": ("#ff4030", "--"),
}
COUNTED = ("pick", "false positive", "pseudo-label")
"""Kinds whose names are nouns, with a plural."""


def draw_picks(
    image: NDArray[Any],
    yx: Points,
    path: Path,
    particle_diameter_px: float,
    true_yx: Points | None = None,
    matched: Match | None = None,
    max_side: int = 1500,
    ignored_yx: Points | None = None,
) -> None:
    """Write a PNG of a micrograph with a circle of the particle diameter round every pick, by rename.

    Parameters as in ``plot_picks``.
    """
    figure = plot_picks(image, yx, particle_diameter_px, true_yx, matched, max_side, ignored_yx)
    save_png(figure, path, dpi=DOTS_PER_INCH)


def plot_picks(
    image: NDArray[Any],
    yx: Points,
    particle_diameter_px: float,
    true_yx: Points | None = None,
    matched: Match | None = None,
    max_side: int = 1500,
    ignored_yx: Points | None = None,
) -> Figure:
    """Return a figure of a micrograph with a circle of the particle diameter round every pick.

    Parameters
    ----------
    image
        The micrograph, shape ``(h, w)``; pixels that are not finite are shown as its median.
    yx
        Picks, shape ``(n, 2)``, pixels of the image, highest score first.
    particle_diameter_px
        Diameter of the circles, pixels of the image.
    true_yx
        Ground truth, shape ``(m, 2)``, pixels of the image. With it, matched picks are green, false positives red and
        missed particles dashed yellow; without it all picks are green.
    matched
        Pairs of ``yx`` and ``true_yx``; matched here within half the diameter if not given.
    max_side
        Longest side of the picture, pixels; a larger image is reduced by a whole factor.
    ignored_yx
        Where a pick that is not matched is neither right nor wrong, shape ``(k, 2)``: dashed blue.
    """
    points = _sort_points(np.asarray(yx), true_yx, matched, particle_diameter_px, ignored_yx)
    return plot_points(image, points, particle_diameter_px, max_side)


def draw_points(
    image: NDArray[Any],
    points: Mapping[str, NDArray[Any]],
    path: Path,
    particle_diameter_px: float,
    max_side: int = 1500,
) -> None:
    """Write a PNG of a micrograph with circles round points of several kinds, by rename.

    Parameters as in ``plot_picks``; ``points`` maps a key of ``STYLES`` to centres ``(n, 2)``, pixels of the image; the
    last kind lies on top.
    """
    save_png(plot_points(image, points, particle_diameter_px, max_side), path, dpi=DOTS_PER_INCH)


def plot_points(
    image: NDArray[Any],
    points: Mapping[str, NDArray[Any]],
    particle_diameter_px: float,
    max_side: int = 1500,
    title: str = "",
) -> Figure:
    """Return a figure of a micrograph with circles round points of several kinds; parameters as in ``draw_points``.

    ``title`` stands in its lower left corner.
    """
    step = max(1, int(np.ceil(max(image.shape) / max_side)))
    shown = smooth_and_reduce(image, particle_diameter_px, step)
    height, width = shown.shape[0] / DOTS_PER_INCH, max(shown.shape[1] / DOTS_PER_INCH, SMALLEST_WIDTH_INCHES)
    figure = make_figure(width, height + LEGEND_INCHES)
    figure.set_layout_engine("none")
    axes = figure.add_axes((0.0, 0.0, 1.0, height / (height + LEGEND_INCHES)))
    _show_image(axes, shown, image.shape, step)
    for kind, centres in points.items():
        add_circles(axes, centres, particle_diameter_px, *STYLES[kind])
    handles = [
        Line2D([], [], color=STYLES[kind][0], linestyle=STYLES[kind][1], label=f"{len(centres)} {_name(kind, centres)}")
        for kind, centres in points.items()
    ]
    if title:
        box = {"facecolor": "white", "edgecolor": "none", "alpha": 0.8, "pad": 2}
        axes.text(0.005, 0.005, title, transform=axes.transAxes, ha="left", va="bottom", fontsize=8, bbox=box)
    figure.legend(handles=handles, loc="upper center", ncols=len(handles), frameon=False, borderaxespad=0.3)
    return figure


def _sort_points(
    yx: NDArray[Any], true_yx: Points | None, matched: Match | None, diameter: float, ignored_yx: Points | None
) -> dict[str, NDArray[Any]]:
    """Return the centres to draw, by kind; false positives last, so that they lie on top."""
    if true_yx is None:
        return {"pick": yx}
    true = np.asarray(true_yx)
    pairs = matched or match_picks(yx, -np.arange(len(yx)), true, diameter / 2)
    points = {"missed": np.delete(true, pairs.true, axis=0), "matched": yx[pairs.predicted]}
    wrong = np.delete(yx, pairs.predicted, axis=0)
    if ignored_yx is not None and len(ignored_yx):
        is_ignored = lie_beside(wrong, ignored_yx, diameter / 2)
        points["ignored"], wrong = wrong[is_ignored], wrong[~is_ignored]
    return points | {"false positive": wrong}


def _name(kind: str, centres: NDArray[Any]) -> str:
    return f"{kind}s" if kind in COUNTED and len(centres) != 1 else kind


def smooth_and_reduce(image: NDArray[Any], diameter: float, step: int) -> NDArray[np.float32]:
    """Return every ``step``-th pixel of the smoothed image, from pixel (0, 0) on."""
    values = np.asarray(image, dtype=np.float32)
    is_finite = np.isfinite(values)
    if not is_finite.all():
        values = np.where(is_finite, values, np.median(values[is_finite]) if is_finite.any() else np.float32(0))
    reduced: NDArray[np.float32] = gaussian_filter(values, max(SMOOTHING * diameter, step / 2))[::step, ::step]
    return reduced


def _show_image(axes: Axes, shown: NDArray[np.float32], shape: tuple[int, ...], step: int) -> None:
    """Show the reduced image in the frame of the whole one, so that circles need no change of frame."""
    low, high = np.percentile(shown, CONTRAST_PERCENTILES)
    rows, columns = shown.shape
    extent = (-step / 2, columns * step - step / 2, rows * step - step / 2, -step / 2)
    axes.imshow(shown, cmap="gray", vmin=low, vmax=max(high, low + 1e-6), extent=extent, interpolation="antialiased")
    axes.set_xlim(-0.5, shape[1] - 0.5)
    axes.set_ylim(shape[0] - 0.5, -0.5)
    axes.set_axis_off()


def add_circles(
    axes: Axes,
    yx: NDArray[Any],
    diameter: float,
    color: str,
    linestyle: LineStyle = "-",
    linewidth: float | None = None,
) -> None:
    """Draw circles of one diameter, in the units of the axes, round centres ``(n, 2)``."""
    if not len(yx):  # an empty collection would be drawn at the origin (matplotlib 3.10)
        return
    diameters = np.full(len(yx), diameter)
    circles = EllipseCollection(
        diameters,
        diameters,
        np.zeros(len(yx)),
        units="xy",
        offsets=yx[:, ::-1],
        offset_transform=axes.transData,
        facecolors="none",
        edgecolors=color,
        linestyles=linestyle,
        linewidths=LINE_WIDTHS[linestyle] if linewidth is None else linewidth,
    )
    axes.add_collection(circles)
