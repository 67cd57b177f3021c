"""Logits of probabilities, kept finite."""

from __future__ import annotations

from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from scipy.special import logit

CLIP: Final = 1e-6
"""Probabilities nearer to 0 or 1 than this are taken for this: float32 tells them apart no better next to 1."""


def to_logits(probabilities: float | NDArray[Any]) -> NDArray[np.float64]:
    """Return the logits of probabilities, float64, clipped to those of ``CLIP`` and 1 - ``CLIP``."""
    return np.asarray(logit(np.clip(np.asarray(probabilities, dtype=np.float64), CLIP, 1 - CLIP)))
