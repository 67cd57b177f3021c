"""What there is to see in a micrograph beside particles, from its pixels as they lie in the file.

The networks see images without low frequencies; what is far larger than a particle must be looked for before. What
this module does not do: it knows no candidates and judges nothing (``inference.rejection`` does).
"""

from __future__ import annotations

from dataclasses import dataclass

from relion_attn_picker.imaging.borders import SpoiltBorder, find_spoilt_border
from relion_attn_picker.picks import FloatArray


@dataclass(frozen=True)
class Surroundings:
    """The shape ``(h, w)`` of a micrograph, and the strips along its sides that hold no data."""

    image_shape: tuple[int, int]
    border: SpoiltBorder


def survey_micrograph(image: FloatArray, particle_diameter_px: float) -> Surroundings:
    """Look at a whole micrograph ``(h, w)``; the particle diameter is in its pixels."""
    return Surroundings((image.shape[0], image.shape[1]), find_spoilt_border(image))
