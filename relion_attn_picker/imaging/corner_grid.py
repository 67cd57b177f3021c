"""A gate's map on a grid that starts at the corner of the micrograph, as programs that show MRC files expect it.

Such a program lays the corner of the first pixel of a map on the corner of the first pixel of the micrograph, and goes
on by the pixel size. The network's grid has another beginning: it shares the centre of the first pixel.
"""

from __future__ import annotations

import numpy as np
from scipy.ndimage import map_coordinates

from relion_attn_picker.gate_maps import GateMap, Window
from relion_attn_picker.picks import FloatArray


def lay_on_corner(gate: GateMap, window: Window) -> FloatArray:
    """Resample a map, linearly, onto pixels of its own size that begin at the corner of a window and cover it.

    Pixel k of the result reaches from k to k + 1 times ``gate.spacing``, in pixels of the micrograph from the window's
    edge. That edge is half a pixel before the centre of the window's first pixel. Beyond the outermost centres of the
    map its outermost values go on.

    Parameters
    ----------
    gate
        The map.
    window
        The part of the micrograph to cover; for the whole, all of it.

    Returns
    -------
    FloatArray
        Shape ``(⌈height / spacing⌉, ⌈width / spacing⌉)``.
    """
    begins = (window.top - 0.5, window.left - 0.5)
    counts = [int(np.ceil(length / gate.spacing - 1e-6)) for length in (window.height, window.width)]
    places = [
        (begin + (np.arange(count) + 0.5) * gate.spacing - origin) / gate.spacing
        for begin, count, origin in zip(begins, counts, gate.origin, strict=True)
    ]
    grid = np.meshgrid(*places, indexing="ij")
    laid: FloatArray = map_coordinates(gate.values, grid, order=1, mode="nearest", output=np.float32)
    return laid
