"""Particles keep their distance, and views their preference."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import pdist

from relion_attn_picker.simulation.placement import draw_rotations, place_aggregate, place_particles


@pytest.mark.parametrize("clustering", [0.0, 0.6])
def test_separation_and_coverage(clustering: float, rng: np.random.Generator) -> None:
    yx = place_particles((400, 600), 30.0, 0.2, 1.1, clustering, rng)
    assert pdist(yx).min() >= 33.0
    assert len(yx) * np.pi * 15**2 / (400 * 600) == pytest.approx(0.2, rel=0.03)
    assert (yx >= 0).all()
    assert (yx <= [399, 599]).all()


def test_no_coverage(rng: np.random.Generator) -> None:
    assert place_particles((400, 600), 30.0, 0.0, 1.1, 0.5, rng).shape == (0, 2)


def test_full_field_gives_up(rng: np.random.Generator) -> None:
    yx = place_particles((100, 100), 30.0, 1.0, 1.2, 0.5, rng)
    assert 0 < len(yx) < 100 * 100 / (np.pi * 15**2)


def test_aggregate_is_dense(rng: np.random.Generator) -> None:
    yx = place_aggregate((400, 600), 30.0, rng)
    assert 7 <= len(yx) <= 31
    distance = np.linalg.norm(yx[:, None] - yx, axis=-1) + 1e9 * np.eye(len(yx))
    assert (distance.min(axis=1) <= 0.7 * 30).all()


def test_no_rotations(rng: np.random.Generator) -> None:
    assert len(draw_rotations(0, 0.5, rng)) == 0


def test_preferred_views_share_their_viewing_direction() -> None:
    def spread(preferred: float) -> float:
        rng = np.random.default_rng(2)
        seen = draw_rotations(300, preferred, rng).inv().apply([0.0, 0.0, 1.0])  # the particle's axis towards us
        return float(np.sort(np.arccos(np.clip(seen @ seen.T, -1, 1)), axis=1)[:, 30].mean())

    assert spread(1.0) < 0.25
    assert spread(0.0) > 0.5
