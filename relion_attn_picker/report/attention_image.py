"""A micrograph and what each attention gate makes of it, side by side.

All panels show the same pixels of the micrograph, the first row at the top, and all gates share one colour bar from 0
to 1, so that a gate that hardly varies looks so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap, Normalize
from matplotlib.figure import Figure
from matplotlib.patheffects import withStroke
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from relion_attn_picker.gate_maps import GateMap, Window
from relion_attn_picker.report.figure import make_figure, save_png
from relion_attn_picker.report.picks_image import CONTRAST_PERCENTILES, add_circles, smooth_and_reduce

COLOURS: Final = "inferno"
"""Perceptually uniform, and its lightness grows with α."""

OPACITY: Final = 0.6
"""Share of a gate's colour in a panel; the rest is the micrograph's grey."""

DPI: Final = 130
PANEL_INCHES: Final = 4.6
MARGINS_INCHES: Final = (1.9, 1.3)
"""Besides the panels, across and down: labels, titles and the colour bar."""

MAX_SIDE: Final = 900
CIRCLE: Final = "#4fc3f7"
CIRCLE_WIDTH, CIRCLE_WIDTHS = 0.04, (0.3, 1.2)
"""Width of a circle's line as a share of its diameter, and its limits in points: small circles must not hide much."""

POINTS_PER_INCH: Final = 72
BAR_SHARE: Final = 0.25
ROUND_LENGTHS: Final = (1, 2, 5)
HISTOGRAM_BINS: Final = 50
LEVEL_COLOURS: Final = ("#0072b2", "#009e73", "#e69f00", "#d55e00")
"""Okabe and Ito's, the finest level first."""


@dataclass(frozen=True)
class AttentionPicture:
    """What to draw.

    Parameters
    ----------
    title
        Above all panels.
    image
        The whole micrograph, ``(h, w)``.
    pixel_size
        Å per pixel of the micrograph.
    particle_diameter_px
        Pixels of the micrograph; that of the circles.
    window
        What of it to show.
    gates
        The maps.
    yx
        Centres of circles, ``(n, 2)`` pixels of the micrograph.
    circles
        What the circles are, in the plural.
    """

    title: str
    image: NDArray[Any]
    pixel_size: float
    particle_diameter_px: float
    window: Window
    gates: Sequence[GateMap]
    yx: NDArray[Any]
    circles: str = "picks"

    @property
    def reduction(self) -> int:
        """Pixels of the micrograph on one pixel of the picture."""
        return max(1, int(np.ceil(max(self.window.height, self.window.width) / MAX_SIDE)))


def draw_attention(path: Path, picture: AttentionPicture) -> None:
    """Write the PNG of a micrograph and its gates, by rename."""
    save_png(plot_attention(picture), path, DPI)


def plot_attention(picture: AttentionPicture) -> Figure:
    """Return the figure: the micrograph, a panel for each gate, and how often each α occurs."""
    window = picture.window
    height = PANEL_INCHES * min(max(window.height / window.width, 0.4), 2.5)
    figure = make_figure(3 * PANEL_INCHES + MARGINS_INCHES[0], 2 * height + MARGINS_INCHES[1])
    panels = figure.subplots(2, 3)
    grey, rows, columns = _reduce(picture)
    _show(panels[0, 0], np.repeat(grey[..., None], 3, axis=2), picture, _name_micrograph(picture))
    _add_scale_bar(panels[0, 0], window, picture.pixel_size)
    for axes, gate in zip(panels.ravel()[1:5], picture.gates, strict=True):
        alpha = sample_gate(gate, rows, columns, picture.reduction)
        _show(axes, blend(grey, alpha), picture, _name_level(gate))
    for axes in panels[1, :2]:
        axes.set_xlabel("x (micrograph pixels)")
    for axes in panels[:, 0]:
        axes.set_ylabel("y (micrograph pixels)")
    _plot_histograms(panels[1, 2], picture.gates, window.height / window.width)
    scale = ScalarMappable(Normalize(0, 1), blended_colours())
    figure.colorbar(scale, ax=panels[:, 2], label="α of a gate: what it lets through", shrink=0.95, aspect=40)
    figure.suptitle(picture.title)
    return figure


def _name_level(gate: GateMap) -> str:
    name = gate.name.replace("_", " ")
    return f"{name}: {gate.pixel_size:.3g} Å per pixel, {gate.spacing:.3g} micrograph pixels"


def _name_micrograph(picture: AttentionPicture) -> str:
    window = picture.window
    last = (window.top + window.height - 1, window.left + window.width - 1)
    shown = ((picture.yx >= (window.top, window.left)) & (picture.yx <= last)).all(axis=1).sum()
    return f"micrograph, {shown} {picture.circles}" if len(picture.yx) else "micrograph"


def _reduce(picture: AttentionPicture) -> tuple[NDArray[np.float32], NDArray[np.float64], NDArray[np.float64]]:
    """Return the window in shades of grey from 0 to 1, reduced, and the micrograph's rows and columns of its pixels."""
    window = picture.window
    cut = picture.image[window.top : window.top + window.height, window.left : window.left + window.width]
    step = picture.reduction
    shown = smooth_and_reduce(cut, picture.particle_diameter_px, step)
    low, high = np.percentile(shown, CONTRAST_PERCENTILES)
    grey = np.clip((shown - low) / max(high - low, 1e-6), 0, 1).astype(np.float32)
    return grey, window.top + step * np.arange(grey.shape[0]), window.left + step * np.arange(grey.shape[1])


def sample_gate(gate: GateMap, rows: NDArray[Any], columns: NDArray[Any], step: float) -> NDArray[np.float32]:
    """Return the ``α`` of the map's pixel that each place of the micrograph lies on.

    Parameters
    ----------
    gate
        The map.
    rows, columns
        Places, ``(h,)`` and ``(w,)``, pixels of the micrograph.
    step
        How far they are from each other. A map with pixels too small to be seen then is smoothed before, so that its
        finest pattern does not beat with the grid.
    """
    values = gate.values
    if gate.spacing < 2 * step:
        values = gaussian_filter(values, step / gate.spacing / 2, mode="nearest")
    indices = [
        np.clip(np.rint((place - origin) / gate.spacing).astype(np.intp), 0, length - 1)
        for place, origin, length in zip((rows, columns), gate.origin, values.shape, strict=True)
    ]
    return np.asarray(values[np.ix_(*indices)])


def blend(grey: NDArray[Any], alpha: NDArray[Any]) -> NDArray[np.float64]:
    """Mix shades of grey ``(h, w)`` with the colours of ``α`` ``(h, w)``; return ``(h, w, 3)``."""
    colour = colormaps[COLOURS](alpha)[..., :3]
    return np.asarray(OPACITY * colour + (1 - OPACITY) * np.asarray(grey)[..., None])


def blended_colours() -> Colormap:
    """Return the colours as they look on the middle grey of a micrograph: those of the colour bar."""
    steps = np.linspace(0, 1, 256)[None]
    return ListedColormap(blend(np.full_like(steps, 0.5), steps)[0])


def _show(axes: Axes, rgb: NDArray[Any], picture: AttentionPicture, title: str) -> None:
    """Show a reduced picture of the window in the micrograph's own coordinates, with the circles."""
    window, step = picture.window, picture.reduction
    left, top = window.left - step / 2, window.top - step / 2
    extent = (left, left + rgb.shape[1] * step, top + rgb.shape[0] * step, top)
    axes.imshow(rgb, extent=extent, interpolation="antialiased")
    axes.set_xlim(window.left - 0.5, window.left + window.width - 0.5)
    axes.set_ylim(window.top + window.height - 0.5, window.top - 0.5)
    axes.set_title(title, fontsize=10)
    points = picture.particle_diameter_px / window.width * PANEL_INCHES * POINTS_PER_INCH
    linewidth = float(np.clip(points * CIRCLE_WIDTH, *CIRCLE_WIDTHS))
    add_circles(axes, picture.yx, picture.particle_diameter_px, CIRCLE, linewidth=linewidth)


def _add_scale_bar(axes: Axes, window: Window, pixel_size: float) -> None:
    """Draw a bar of a round length in Å, about a quarter of the width, into the lower left corner."""
    length = round_length(BAR_SHARE * window.width * pixel_size)
    x, y = window.left + 0.06 * window.width, window.top + 0.94 * window.height
    outline = withStroke(linewidth=3, foreground="black")
    axes.plot([x, x + length / pixel_size], [y, y], color="black", lw=7, solid_capstyle="projecting")
    axes.plot([x, x + length / pixel_size], [y, y], color="white", lw=4, solid_capstyle="butt")
    middle = x + length / pixel_size / 2
    text = axes.annotate(f"{length:g} Å", (middle, y), (0, 6), textcoords="offset points", ha="center", va="bottom")
    text.set(color="white", fontsize=12, fontweight="bold", path_effects=[outline])


def round_length(most: float) -> float:
    """Return the largest of 1, 2 or 5 times a power of ten that is at most ``most``, more than 0."""
    power = 10.0 ** np.floor(np.log10(most))
    return float(max(factor * power for factor in ROUND_LENGTHS if factor * power <= most * (1 + 1e-9)))


def _plot_histograms(axes: Axes, gates: Sequence[GateMap], aspect: float) -> None:
    """Draw how often each α occurs, in a panel of the shape of the others."""
    edges = np.linspace(0, 1, HISTOGRAM_BINS + 1)
    for gate, colour in zip(gates, LEVEL_COLOURS, strict=True):
        share = np.histogram(gate.values, edges)[0] / gate.values.size
        axes.stairs(share, edges, color=colour, lw=1.6, label=gate.name.replace("_", " "))
    axes.set(xlim=(0, 1), xlabel="α", ylabel=f"share of a gate's pixels, in steps of {1 / HISTOGRAM_BINS:g}")
    axes.set_ylim(bottom=0)
    axes.set_title("how often each α occurs", fontsize=10)
    axes.set_box_aspect(aspect)
    axes.grid(alpha=0.3)
    axes.legend(loc="best", fontsize="small")
