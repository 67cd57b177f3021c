"""Particles keep their distance, and views their preference."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial import cKDTree
from scipy.spatial.distance import pdist

from relion_attn_picker.simulation.placement import (
    draw_rotations,
    place_aggregate,
    place_lattice,
    place_particles,
    too_close,
)


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
    assert 6 <= len(yx) <= 40
    distance = np.linalg.norm(yx[:, None] - yx, axis=-1) + 1e9 * np.eye(len(yx))
    assert (distance.min(axis=1) <= 0.8 * 30).all()


def test_no_rotations(rng: np.random.Generator) -> None:
    assert len(draw_rotations(0, 0.5, rng)) == 0


def test_preferred_views_share_their_viewing_direction() -> None:
    def spread(preferred: float) -> float:
        rng = np.random.default_rng(2)
        seen = draw_rotations(300, preferred, rng).inv().apply([0.0, 0.0, 1.0])  # the particle's axis towards us
        return float(np.sort(np.arccos(np.clip(seen @ seen.T, -1, 1)), axis=1)[:, 30].mean())

    assert spread(1.0) < 0.25
    assert spread(0.0) > 0.5


def test_lattice_has_its_coverage_and_order(rng: np.random.Generator) -> None:
    yx = place_lattice((600, 800), 24.0, 0.55, 1.0, rng)
    assert len(yx) * np.pi * 12**2 / (600 * 800) == pytest.approx(0.55, rel=0.1)
    nearest = cKDTree(yx).query(yx, k=2)[0][:, 1]
    assert np.median(nearest) == pytest.approx(24, rel=0.15)
    assert (yx >= 0).all()
    assert (yx <= [599, 799]).all()


def test_nothing_is_placed_where_nothing_can_lie(rng: np.random.Generator) -> None:
    yx = place_particles((400, 400), 20.0, 0.2, 1.0, 0.3, rng, lambda places: (places[:, 0] < 150).astype(float))
    assert len(yx) > 50
    assert (yx[:, 0] < 150).all()


def test_clustered_particles_have_near_neighbours(rng: np.random.Generator) -> None:
    near = [
        np.median(cKDTree(yx).query(yx, k=2)[0][:, 1])
        for yx in (place_particles((1000, 1000), 20.0, 0.05, 1.0, c, rng) for c in (0.0, 0.6))
    ]
    assert near[1] < 0.8 * near[0]


def test_too_close_names_both() -> None:
    yx = np.array([[0.0, 0.0], [3.0, 4.0], [50.0, 50.0]])
    np.testing.assert_array_equal(too_close(yx, 5.5), [True, True, False])
    assert not too_close(yx, 4.5).any()
    assert too_close(np.empty((0, 2)), 5.0).shape == (0,)
