"""``logfile.pdf`` of a training: its curves, then micrographs it did not see with the picks of its best weights."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from relion_attn_picker.picks import FloatArray
from relion_attn_picker.report.curves import plot_training_curves
from relion_attn_picker.report.logfile import write_pages
from relion_attn_picker.report.picks_image import plot_picks


@dataclass(frozen=True)
class PickedImage:
    """A micrograph with picks and truth: ``yx`` and ``true_yx`` ``(n, 2)``, and the diameter, in its pixels."""

    name: str
    image: FloatArray
    yx: FloatArray
    true_yx: FloatArray
    particle_diameter_px: float


def write_training_logfile(
    path: Path, columns: Mapping[str, Sequence[float]], held_out: Iterable[PickedImage] = ()
) -> None:
    """Write the PDF, by rename; ``columns`` as in ``curves.plot_training_curves``."""
    write_pages(path, [plot_training_curves(columns), *map(_plot_held_out, held_out)])


def _plot_held_out(picked: PickedImage) -> Figure:
    figure = plot_picks(picked.image, picked.yx, picked.particle_diameter_px, picked.true_yx)
    figure.text(0.01, 0.99, picked.name, verticalalignment="top", fontsize=7)
    return figure
