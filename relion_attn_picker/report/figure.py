"""Figures on paper and in files, without a display and without global state.

Only matplotlib's object-oriented interface is used: ``pyplot`` keeps figures alive, chooses a backend and is not safe
in threads.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure


def make_figure(width: float, height: float) -> Figure:
    """Make an empty figure of the given inches, drawn by Agg."""
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save_png(figure: Figure, path: Path, dpi: float = 120) -> None:
    """Write a figure as PNG, whole or not at all."""
    with replace_file(path) as unfinished:
        figure.savefig(unfinished, format="png", dpi=dpi)


@contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Give a name to write to and rename it to ``path`` at the end, so that no reader ever sees half a file.

    If the block raises, what it wrote is removed and a file that was at ``path`` stays as it was.
    """
    unfinished = path.with_name(f"{path.name}.{os.getpid()}.unfinished")
    try:
        yield unfinished
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
