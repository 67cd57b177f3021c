"""The micrograph as RELION lists it: its name, its optics group and, where known, its CTF.

No pixels here: ``io.mrc`` reads them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from relion_attn_picker.errors import InputError

PIXEL_SIZE_TOLERANCE: Final = 0.01
"""Largest relative difference of two pixel sizes that mean the same: headers are rounded."""


@dataclass(frozen=True)
class OpticsGroup:
    """What the micrographs of one session and magnification share.

    Parameters
    ----------
    index
        Number of the group in its STAR file.
    name
        Name of the group.
    pixel_size
        Å per pixel of the micrograph file itself.
    voltage
        kV, if known.
    spherical_aberration
        mm, if known.
    amplitude_contrast
        Fraction, if known.

    Raises
    ------
    InputError
        If the pixel size is not a positive finite number.
    """

    index: int
    name: str
    pixel_size: float
    voltage: float | None = None
    spherical_aberration: float | None = None
    amplitude_contrast: float | None = None

    def __post_init__(self) -> None:
        if not 0 < self.pixel_size < float("inf"):
            raise InputError(
                f"Optics group {self.index} ({self.name}) has pixel size {self.pixel_size}: "
                "expected a positive number of Å per pixel."
            )


@dataclass(frozen=True)
class CtfParameters:
    """Defocus of one micrograph: ``defocus_u`` and ``defocus_v`` in Å (underfocus positive), angles in degrees."""

    defocus_u: float
    defocus_v: float
    defocus_angle: float
    phase_shift: float = 0.0


@dataclass(frozen=True)
class Micrograph:
    """One row of a micrographs STAR file.

    Parameters
    ----------
    name
        The micrograph's name exactly as listed: RELION's key, never rewritten.
    optics
        Its optics group.
    ctf
        Its CTF parameters, if the file has them.
    """

    name: str
    optics: OpticsGroup
    ctf: CtfParameters | None = None


def pixel_sizes_contradict(first: float, second: float) -> bool:
    """Tell whether two pixel sizes differ by more than ``PIXEL_SIZE_TOLERANCE``."""
    return abs(first / second - 1) > PIXEL_SIZE_TOLERANCE
