"""Noticing micrographs whose particles are white: networks that know dark ones find hardly any, and much that is none.

The sign of the contrast stands in no file. So, where good candidates are rare, the first few micrographs are looked at
once more with their contrast inverted. Nothing is inverted for the user: what is told is that it should be.
"""

from __future__ import annotations

import logging
from dataclasses import replace

from relion_attn_picker.inference.predictor import Predictor
from relion_attn_picker.options import PickOptions
from relion_attn_picker.picks import Picks
from relion_attn_picker.pipeline import PreparedMicrograph, find_candidates

log = logging.getLogger(__name__)

LOOKED_AT = 3
"""Micrographs that are looked at twice at most."""

GOOD_SCORE = 0.5
USUAL_SHARE = 0.05
"""Good candidates for each area of the squared diameter; dark particles that are not sparse give .2 and more, white
ones .01 (simulated and real micrographs of four proteins)."""

LEAST, TIMES = 10, 3
"""The inverted image must give so many good candidates, and so many times as many as the image as it is."""


class ContrastCheck:
    """Warns once if the particles of a data set seem to be white.

    Parameters
    ----------
    predictor, options
        As for the picking itself.
    """

    def __init__(self, predictor: Predictor, options: PickOptions) -> None:
        self._predictor, self._options = predictor, options
        self._left = LOOKED_AT
        self._found, self._found_inverted = 0, 0

    def look_at(self, prepared: PreparedMicrograph, candidates: Picks) -> None:
        """Compare the candidates of a micrograph with those of its inverted image, unless enough is known."""
        if self._left == 0:
            return
        image, good = prepared.image, _count_good(candidates)
        diameter = self._options.particle_diameter / image.pixel_size
        if good >= USUAL_SHARE * image.values.size / diameter**2:
            self._left = 0
            return
        self._left -= 1
        answer = self._predictor.answer(replace(image, values=-image.values))
        self._found += good
        self._found_inverted += _count_good(find_candidates(answer, prepared, self._options))
        if self._found_inverted >= max(LEAST, TIMES * self._found):
            self._left = 0
            log.warning(
                "The particles seem to be white, but are expected dark: up to %s, there are %d good candidates, and %d "
                "with the contrast inverted. Invert the micrographs (relion_image_handler --multiply_constant -1) and "
                "pick those.",
                prepared.micrograph.name,
                self._found,
                self._found_inverted,
            )


def _count_good(candidates: Picks) -> int:
    return int((candidates.score >= GOOD_SCORE).sum())
