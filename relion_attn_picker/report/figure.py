"""Figures on paper and in files, without a display and without global state.

Only matplotlib's object-oriented interface is used: ``pyplot`` keeps figures alive, chooses a backend and is not safe
in threads.
"""

from __future__ import annotations

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from relion_attn_picker.replacing import replacing


def make_figure(width: float, height: float) -> Figure:
    """Make an empty figure of the given inches, drawn by Agg."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_png(figure: Figure, path: Path, dpi: float = 120) -> None:
    """Write a figure as PNG, whole or not at all."""
    with replacing(path) as partial:
        figure.savefig(partial, format="png", dpi=dpi)
