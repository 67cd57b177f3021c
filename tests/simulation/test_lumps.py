"""Lumps are where the mask says, and specks are no particles."""

from __future__ import annotations

import numpy as np
import pytest

from relion_attn_picker.simulation.films import Layer
from relion_attn_picker.simulation.grid import Grid
from relion_attn_picker.simulation.lumps import Lump, add_lump, draw_lump, draw_speck


def empty_layer(grid: Grid) -> Layer:
    return Layer(grid.zeros(), grid.zeros(), grid.nowhere())


def test_lump_is_where_the_mask_says(rng: np.random.Generator) -> None:
    grid = Grid((400, 400), 2.0)
    for _ in range(30):
        layer = empty_layer(grid)
        add_lump(layer, Lump(60.0, 80.0, 3000.0), grid, 300, rng)
        assert ((layer.phase > 0) == layer.mask).all()
        assert ((layer.absorption > 0) == layer.mask).all()
        assert 0 < float(layer.mask.sum()) * 4.0 < 2 * np.pi * 60**2
        assert float(layer.phase.max()) <= 6.54e-4 * 4.5 * 80
        assert float(layer.absorption.max()) <= 80 / (2 * 3000) * 1.001


def test_large_crystals_are_fringed_at_times(rng: np.random.Generator) -> None:
    grid = Grid((300, 300), 10.0)
    fringed = 0
    for _ in range(60):
        layer = empty_layer(grid)
        add_lump(layer, Lump(500.0, 500.0, 2000.0), grid, 300, rng)
        ratio = (layer.absorption / layer.phase.clamp_min(1e-9))[layer.phase > 0.2]
        fringed += len(ratio) > 10 and float(ratio.std()) > 0.05 * float(ratio.mean())
    assert 10 < fringed < 40


def test_lump_larger_than_the_field(rng: np.random.Generator) -> None:
    grid = Grid((40, 50), 5.0)
    layer = empty_layer(grid)
    for _ in range(3):
        add_lump(layer, Lump(4000.0, 1000.0, 3000.0), grid, 300, rng)
    assert layer.mask.any()


def test_lumps_have_the_sizes_of_surface_ice(rng: np.random.Generator) -> None:
    lumps = [draw_lump(rng) for _ in range(500)]
    assert np.median([lump.radius for lump in lumps]) == pytest.approx(350, rel=0.15)
    assert all(0.4 <= lump.height / lump.radius <= 1.4 for lump in lumps)


def test_specks_have_any_size_and_contrast_but_a_particles(rng: np.random.Generator) -> None:
    specks = [draw_speck(150.0, 0.2, 300, rng) for _ in range(500)]
    size = np.array([2 * speck.radius / 150 for speck in specks])
    contrast = np.array([speck.height / 2 * 6.53e-4 * 4.5 / 0.2 for speck in specks])
    assert 40 / 150 * 0.99 < size.min() < 0.4
    assert 0.9 < size.max() <= 1.2
    assert contrast.min() < 0.5
    assert contrast.max() > 4
    assert not ((size > 0.71) & (size < 1.29) & (contrast > 0.51) & (contrast < 1.98)).any()
