"""What the simulation's tests share."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from relion_attn_picker.simulation.chance import Chance
from relion_attn_picker.simulation.particles import PROTEIN_SCATTERING, BeadParticle, make_particle

BALL_RADIUS = 75.0


@pytest.fixture
def chance() -> Chance:
    """Seeded generators on the CPU."""
    return Chance.seeded(np.random.default_rng(20260), torch.device("cpu"))


@pytest.fixture(scope="session")
def ball() -> BeadParticle:
    """A ball of protein of 150 Å as a jittered grid of beads: round, so that its darkest place is its centre."""
    rng = np.random.default_rng(3)
    grid = np.stack(np.meshgrid(*[np.arange(-80.0, 81.0, 5.0)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    grid += rng.uniform(-2.5, 2.5, grid.shape)
    xyz = grid[np.linalg.norm(grid, axis=1) <= BALL_RADIUS]
    return make_particle("ball", xyz, np.full(len(xyz), PROTEIN_SCATTERING * 5.0**3), 2.5)
