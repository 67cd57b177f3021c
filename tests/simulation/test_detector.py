"""Counting, defects and filters."""

from __future__ import annotations

import numpy as np
import pytest

from relion_attn_picker.simulation.detector import add_defects, expose, gain_residue, lowpass


@pytest.mark.parametrize("noise_gain", [1.0, 4.0])
def test_variance_of_counts_is_poissons_times_the_gain(rng: np.random.Generator, noise_gain: float) -> None:
    counts = expose(np.full((300, 300), 0.8, dtype=np.float32), 2.0, 40.0, noise_gain, rng)
    assert counts.dtype == np.float32
    assert counts.mean() == pytest.approx(0.8 * 40 * 4, rel=0.01)
    assert counts.var() == pytest.approx(0.8 * 40 * 4 * noise_gain, rel=0.03)


def test_lowpass_halves_the_power_at_its_cutoff() -> None:
    y = np.arange(128)[:, None] + np.zeros((1, 96))
    for cycles, power in ((8, 1.0), (16, 0.5), (32, 0.0)):  # cutoff 0.25 of Nyquist is 16 cycles in 128 pixels
        wave = np.cos(2 * np.pi * cycles * y / 128).astype(np.float32)
        assert lowpass(wave, 0.25).var() == pytest.approx(power * wave.var(), abs=2e-3)


def test_defects_are_few_and_far_off(rng: np.random.Generator) -> None:
    image = rng.standard_normal((64, 80), dtype=np.float32)
    changed = image.copy()
    add_defects(changed, 5, 0, rng)
    different = image != changed
    assert 1 <= different.sum() <= 5
    assert (np.abs(changed - image)[different] > 5).all()


def test_border_repeats_its_neighbour() -> None:
    image = np.arange(20 * 30, dtype=np.float32).reshape(20, 30)
    sides = set()
    for seed in range(20):
        changed = image.copy()
        add_defects(changed, 0, 3, np.random.default_rng(seed))
        rows, columns = (changed != image).any(axis=1), (changed != image).any(axis=0)
        assert min(rows.sum(), columns.sum()) == 3
        sides.add((bool(rows[0] and not rows[-1]), bool(columns[0] and not columns[-1]), int(rows.sum())))
    assert len(sides) == 4


def test_gain_residue_is_the_same_along_columns_and_rows(rng: np.random.Generator) -> None:
    gain = gain_residue((200, 300), 0.01, rng)
    assert gain.std() == pytest.approx(0.01 * np.sqrt(2), rel=0.15)
    np.testing.assert_allclose(gain[0] / gain[0, 0], gain[7] / gain[7, 0], rtol=1e-5)
