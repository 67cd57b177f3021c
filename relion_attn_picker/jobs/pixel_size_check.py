"""Noticing micrographs whose MRC header tells another pixel size than their list: each pair of values is told once.

Nothing is corrected: headers are often wrong, and the list is believed.
"""

from __future__ import annotations

import logging
from pathlib import Path
from threading import Lock

from relion_attn_picker.io.mrc import read_header
from relion_attn_picker.micrograph import Micrograph, pixel_sizes_contradict

log = logging.getLogger(__name__)


class PixelSizeCheck:
    """Warns once of each contradiction; micrographs may be looked at by several threads."""

    def __init__(self) -> None:
        self._told: set[tuple[float, float]] = set()
        self._lock = Lock()

    @property
    def found_any(self) -> bool:
        """Whether a contradiction was found."""
        return bool(self._told)

    def remind(self) -> None:
        """Warn at a job's end, beside figures that promise something, if a contradiction was found."""
        if self.found_any:
            log.warning(
                "Pixel sizes contradict each other (see above): if the headers are right, all of this was picked at a "
                "wrong scale, and nothing that is promised of it holds."
            )

    def look_at(self, micrograph: Micrograph, path: Path) -> None:
        """Compare what the header of the file at ``path`` says with what the micrograph's list says.

        Raises
        ------
        InputError
            If the header cannot be read.
        """
        stated = read_header(path).pixel_size
        listed = micrograph.optics.pixel_size
        if stated is None or not pixel_sizes_contradict(stated, listed):
            return
        pair = (round(stated, 3), round(listed, 3))
        with self._lock:
            is_new = pair not in self._told
            self._told.add(pair)
        if is_new:
            log.warning(
                "%s: its header says %g Å per pixel; the STAR file, or --pixel_size, says %g and is believed.",
                micrograph.name,
                *pair,
            )
