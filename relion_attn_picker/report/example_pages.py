"""The pages of ``logfile.pdf`` that show what a job picked: figures of merit with the cut, and a few micrographs."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from matplotlib.figure import Figure

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.mrc import read_image
from relion_attn_picker.picks import FloatArray
from relion_attn_picker.report.logfile import plot_scores
from relion_attn_picker.report.picks_image import plot_points

LONGEST_SIDE = 900
"""Pixels of a picture: some 500 kB in the file."""


@dataclass(frozen=True)
class Example:
    """A micrograph to show.

    Parameters
    ----------
    name, path, image_shape
        As listed, its file, and ``(h, w)`` when it was picked.
    points
        Key of ``picks_image.STYLES`` → centres ``(n, 2)``, pixels of the micrograph.
    particle_diameter_px
        Pixels of the micrograph.
    """

    name: str
    path: Path
    image_shape: tuple[int, int]
    points: Mapping[str, FloatArray]
    particle_diameter_px: float


def plot_examples(merit: FloatArray | None, threshold: float, examples: Iterable[Example]) -> list[Figure]:
    """Return the pages; a micrograph whose image is not there any more, or another one, has none.

    Parameters
    ----------
    merit
        Figures of merit of all candidates that may be picks, ``(n,)``, if they are known.
    threshold
        Lowest figure of merit of a pick.
    examples
        Micrographs to show.
    """
    pages = [] if merit is None or not len(merit) else [plot_scores(merit, threshold)]
    for each in examples:
        try:
            image = read_image(each.path)
        except InputError:
            continue
        if image.shape == each.image_shape:
            pages.append(plot_points(image, each.points, each.particle_diameter_px, LONGEST_SIDE, title=each.name))
    return pages
