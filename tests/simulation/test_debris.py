"""Debris is made of what it should be made of, and its discs cover it."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from relion_attn_picker.simulation.debris import DEBRIS, micelle, vesicle


@pytest.mark.parametrize("name", DEBRIS)
def test_discs_cover_the_beads(name: str, rng: np.random.Generator) -> None:
    for _ in range(5):
        points, weight, discs = DEBRIS[name]((2000.0, 3000.0), rng)
        assert points.shape == (len(weight), 2)
        assert (weight > 0).all()
        some = points[:: max(1, len(points) // 500)]
        assert (cdist(some, discs[:, :2]) <= discs[:, 2] + 3).any(axis=1).mean() > 0.99


def test_micelle_is_as_heavy_as_its_detergent(rng: np.random.Generator) -> None:
    for _ in range(10):
        points, weight, discs = micelle((1000.0, 1000.0), rng)
        ball = 0.035 * 4 / 3 * np.pi * discs[0, 2] ** 3
        assert 0.45 * ball < weight.sum() < 0.95 * ball
        assert 60 <= 2 * discs[0, 2] <= 80
        assert np.linalg.norm(points - discs[0, :2], axis=1).max() <= discs[0, 2]


def test_micelles_are_seen_from_anywhere(rng: np.random.Generator) -> None:
    spreads = np.array([np.var(micelle((1000.0, 1000.0), rng)[0], axis=0) for _ in range(400)])
    assert spreads[:, 0].mean() == pytest.approx(spreads[:, 1].mean(), rel=0.04)
    assert (spreads[:, 0] > spreads[:, 1]).mean() == pytest.approx(0.5, abs=0.08)


def test_vesicle_is_a_ring(rng: np.random.Generator) -> None:
    for _ in range(10):
        points, _, discs = vesicle((4000.0, 4000.0), rng)
        centred = points - discs[0, :2]
        long_axis = centred @ np.linalg.eigh(np.cov(centred.T))[1][:, 1]
        inner = np.mean(np.abs(long_axis) < 0.1 * discs[0, 2]) / 0.2  # projected density at the middle
        outer = np.mean(np.abs(long_axis) > 0.8 * discs[0, 2]) / 0.4
        assert np.abs(long_axis).max() > 0.85 * discs[0, 2]
        assert inner == pytest.approx(0.5, rel=0.15)  # a shell's projection onto a line is even (Archimedes)
        assert outer > 0.1
