"""Where everything random in a simulation comes from."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

SEEDS = 2**63 - 1


@dataclass(frozen=True)
class Chance:
    """Two generators from one seed: what is few is drawn on the host, what fills fields on the device.

    Parameters
    ----------
    rng
        Draws places, numbers and shapes.
    generator
        Draws fields of noise. One on the CPU serves a field on a GPU too: slower, but both devices then see the same
        noise.
    """

    rng: np.random.Generator
    generator: torch.Generator

    @classmethod
    def seeded(cls, rng: np.random.Generator, device: torch.device) -> Chance:
        """Return generators of which the device's is seeded by the host's."""
        return cls(rng, torch.Generator(device).manual_seed(int(rng.integers(SEEDS))))

    def normal(self, shape: tuple[int, ...], device: torch.device) -> Tensor:
        """Return independent standard normal numbers, float32."""
        return torch.randn(shape, generator=self.generator, device=self.generator.device).to(device)


def log_uniform(low: float, high: float, rng: np.random.Generator) -> float:
    """Draw a number whose logarithm is uniform between those of ``low`` and ``high``."""
    return float(np.exp(rng.uniform(np.log(low), np.log(high))))
