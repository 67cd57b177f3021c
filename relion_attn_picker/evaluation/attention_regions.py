"""What lies under each pixel of a gate's map: a particle, background, junk, or something that does not count.

What this module does not do: it judges no gate; ``attention_check`` does.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from relion_attn_picker.evaluation.matching import Points
from relion_attn_picker.evaluation.pixels import BoolImage, draw_discs
from relion_attn_picker.gate_maps import GateMap


def _no_points() -> Points:
    return np.empty((0, 2), dtype=np.float32)


@dataclass(frozen=True)
class JunkMask:
    """Where a micrograph has carbon, ice or aggregates: ``values`` ``(h, w)``, one for ``factor``² of its pixels."""

    values: BoolImage
    factor: int

    def look_under(self, gate: GateMap) -> BoolImage:
        """Return whether there is junk at the centre of each pixel of a map, shape ``(h, w)`` of the map.

        Pixel k of the mask stands for the pixels k · factor to (k + 1) · factor - 1 of the micrograph.
        """
        rows, columns = (
            np.clip(np.floor((place + 0.5) / self.factor).astype(np.intp), 0, length - 1)
            for place, length in zip(gate.centres(), self.values.shape, strict=True)
        )
        return np.asarray(self.values[np.ix_(rows, columns)])


@dataclass(frozen=True)
class KnownContents:
    """What a micrograph is known to show.

    Parameters
    ----------
    true_yx
        Centres of the particles, ``(n, 2)`` pixels of the micrograph.
    ignored_yx
        Centres of what is neither a good particle nor background: broken particles, and those in junk.
    junk
        Where junk lies; ``None`` if it is not known.
    """

    true_yx: Points
    ignored_yx: Points = field(default_factory=_no_points)
    junk: JunkMask | None = None


@dataclass(frozen=True)
class Regions:
    """Which pixels of a map, ``(h, w)`` each, lie on particles, on background and on junk; no pixel on two of them."""

    inside: BoolImage
    background: BoolImage
    junk: BoolImage


def find_regions(gate: GateMap, known: KnownContents, particle_diameter_px: float) -> Regions:
    """Say of each pixel of a map what lies under its centre.

    Inside a particle is within half a diameter of its centre; background is farther than a whole diameter from every
    particle, ignored ones included, and not on junk; junk is what is on the mask, but not within half a diameter of any
    of them. The rest, the rims of particles above all, does not count.

    Parameters
    ----------
    gate
        The map; only its place matters.
    known
        What is there.
    particle_diameter_px
        Pixels of the micrograph.
    """
    shape = (gate.values.shape[0], gate.values.shape[1])
    true, ignored = gate.from_micrograph(known.true_yx), gate.from_micrograph(known.ignored_yx)
    reach = particle_diameter_px / gate.spacing
    doubtful = draw_discs(shape, ignored, reach / 2)
    inside = draw_discs(shape, true, reach / 2) & ~doubtful
    is_near = draw_discs(shape, np.concatenate([true, ignored]), reach)
    is_junk = np.zeros(shape, dtype=np.bool_) if known.junk is None else known.junk.look_under(gate)
    return Regions(inside, ~is_near & ~is_junk, is_junk & ~inside & ~doubtful)
