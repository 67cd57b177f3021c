"""Carbon and ice are where the mask says."""

from __future__ import annotations

import numpy as np
import pytest

from relion_attn_picker.simulation.contamination import carbon_edge, ice_blobs, interaction_constant

SHAPE = (200, 240)


@pytest.mark.parametrize(("voltage", "constant"), [(200, 7.29e-4), (300, 6.53e-4)])
def test_interaction_constant_is_the_tabulated_one(voltage: float, constant: float) -> None:
    assert interaction_constant(voltage) == pytest.approx(constant, rel=0.005)


@pytest.mark.parametrize("seed", range(8))
def test_carbon_covers_one_side(seed: int) -> None:
    phase, mask = carbon_edge(SHAPE, 6.0, 300, np.random.default_rng(seed))
    assert 0.05 < mask.mean() < 0.6
    assert 6.53e-4 * 9.1 * 90 < phase[mask].mean() < 6.53e-4 * 9.1 * 310
    assert abs(phase[~mask].mean()) < 0.2 * phase[mask].mean()


def test_no_blobs(rng: np.random.Generator) -> None:
    phase, mask = ice_blobs(SHAPE, 5.0, 300, 0, (200, 700), rng)
    assert not phase.any()
    assert not mask.any()


def test_blobs_are_as_large_as_asked(rng: np.random.Generator) -> None:
    for _ in range(20):
        phase, mask = ice_blobs((400, 400), 2.0, 300, 1, (50, 60), rng)
        assert ((phase > 0) == mask).all()
        assert mask.sum() * 4.0 < 1.5 * np.pi * 60**2
        assert phase.max() <= 6.54e-4 * 4.5 * 1.4 * 60


def test_blob_larger_than_the_field(rng: np.random.Generator) -> None:
    phase, mask = ice_blobs((40, 50), 5.0, 300, 3, (3000, 4000), rng)
    assert phase.shape == mask.shape == (40, 50)
    assert mask.any()
