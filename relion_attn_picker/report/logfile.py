"""``logfile.pdf``: the four plots that RELION's own AutoPick shows under Display, and then what else there is to see.

The titles are RELION's (autopicker.cpp of 3.1 to 5.0, ``AutoPicker::generatePDFLogfile``). Like RELION, the two
histograms appear only with more than three micrographs. Unlike RELION's, the file is always a valid PDF.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from matplotlib.axes import Axes
from matplotlib.backends.backend_pdf import PdfPages
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from relion_attn_picker.replacing import replacing
from relion_attn_picker.report.figure import make_figure

FEWEST_FOR_A_HISTOGRAM = 4
MOST_VECTOR_POINTS = 2000  # beyond, points are drawn as an image: small files and a quick viewer at 20,000 micrographs
FEW_POINTS = 100  # up to so many, points are drawn large
PAGE_INCHES = (8.0, 5.0)


def write_logfile(path: Path, counts: Sequence[int], mean_scores: Sequence[float], more: Sequence[Figure] = ()) -> None:
    """Write the PDF, by rename.

    Parameters
    ----------
    path
        The file, usually ``<job>/logfile.pdf``.
    counts
        Number of picks of each micrograph, in the order of the micrographs; may be empty.
    mean_scores
        Mean score of the picks of each micrograph, NaN for a micrograph without picks.
    more
        Further pages.

    Raises
    ------
    ValueError
        If the two have different lengths.
    """
    if len(counts) != len(mean_scores):
        raise ValueError(f"There are {len(counts)} counts and {len(mean_scores)} mean scores: expected as many.")
    n_picks, fom = np.asarray(counts, dtype=np.float64), np.asarray(mean_scores, dtype=np.float64)
    pages = [_plot_by_micrograph("Nr of picked particles for all micrographs", "number of particles", n_picks)]
    if len(n_picks) >= FEWEST_FOR_A_HISTOGRAM:
        title = "Histogram of nr of picked particles per micrograph"
        pages.append(_plot_histogram(title, "number of particles", n_picks))
    pages.append(_plot_by_micrograph("Average autopick FOM for all micrographs", "average FOM (score)", fom))
    if len(n_picks) >= FEWEST_FOR_A_HISTOGRAM:
        title = "Histogram of average autopick FOM per micrograph"
        pages.append(_plot_histogram(title, "average FOM (score)", fom))
    write_pages(path, [*pages, *more])


def plot_scores(merit: NDArray[np.float32], threshold: float) -> Figure:
    """Return a page with the histogram of the figures of merit ``(n,)`` of candidates, and the threshold."""
    figure, axes = _start_page(
        "Figures of merit of all candidates but the rejected", "figure of merit", "number of candidates"
    )
    axes.hist(merit, bins=50, range=(0, 1), color="0.6")
    kept = int((merit >= threshold).sum())
    label = f"threshold {threshold:.3g}: {kept} of {len(merit)} candidates reach it"
    axes.axvline(threshold, color="#d55e00", label=label)
    axes.set_yscale("log")
    axes.set_xlim(0, 1)
    axes.legend(loc="upper right")
    return figure


def write_pages(path: Path, pages: Sequence[Figure]) -> None:
    """Write figures as the pages of a PDF, by rename."""
    undated = {"CreationDate": None}  # the same job gives the same file
    with replacing(path) as partial, PdfPages(partial, metadata=undated) as pdf:
        for page in pages:
            pdf.savefig(page, dpi=150)


def _start_page(title: str, x_label: str, y_label: str) -> tuple[Figure, Axes]:
    figure = make_figure(*PAGE_INCHES)
    axes = figure.add_subplot()
    axes.set_title(title)
    axes.set_xlabel(x_label)
    axes.set_ylabel(y_label)
    return figure, axes


def _plot_by_micrograph(title: str, y_label: str, values: NDArray[np.float64]) -> Figure:
    figure, axes = _start_page(title, "micrograph number", y_label)
    if not np.isfinite(values).any():
        _say_that_there_is_nothing(axes)
        return figure
    number = np.arange(1, len(values) + 1)
    size = 9 if len(values) <= FEW_POINTS else 4
    axes.plot(number, values, ".", markersize=size, rasterized=len(values) > MOST_VECTOR_POINTS)
    mean = float(np.nanmean(values))
    axes.axhline(mean, color="0.5", linewidth=1, linestyle="--", label=f"mean {mean:.4g}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    bottom, top = min(0.0, float(np.nanmin(values))), float(np.nanmax(values))
    axes.set_ylim(bottom, top + 0.15 * (top - bottom) or 1.0)  # room for the legend above all points
    axes.legend(loc="upper right")
    return figure


def _plot_histogram(title: str, x_label: str, values: NDArray[np.float64]) -> Figure:
    figure, axes = _start_page(title, x_label, "number of micrographs")
    finite = values[np.isfinite(values)]
    if finite.size:
        axes.hist(finite, bins=min(50, max(5, int(np.sqrt(finite.size)) * 2)), edgecolor="white", linewidth=0.5)
        axes.yaxis.set_major_locator(MaxNLocator(integer=True))
    else:
        _say_that_there_is_nothing(axes)
    return figure


def _say_that_there_is_nothing(axes: Axes) -> None:
    axes.text(0.5, 0.5, "no micrograph with picks", transform=axes.transAxes, ha="center", va="center", color="0.4")
    axes.set_xticks([])
    axes.set_yticks([])
