"""Counting and defects."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from relion_attn_picker.simulation.chance import Chance
from relion_attn_picker.simulation.detector import BORDERS, add_border, add_wrong_pixels, expose, gain_residue


@pytest.mark.parametrize("noise_gain", [1.0, 4.0])
def test_variance_of_counts_is_poissons_times_the_gain(chance: Chance, noise_gain: float) -> None:
    counts = expose(torch.full((300, 300), 0.8), 160.0, noise_gain, chance)
    assert counts.dtype == torch.float32
    assert float(counts.mean()) == pytest.approx(0.8 * 160, rel=0.01)
    assert float(counts.var()) == pytest.approx(0.8 * 160 * noise_gain, rel=0.03)


def test_hot_pixels_are_few_and_far_off(rng: np.random.Generator) -> None:
    image = torch.as_tensor(rng.standard_normal((64, 80), dtype=np.float32))
    changed = image.clone()
    add_wrong_pixels(changed, 5, 0, 0, rng)
    different = image != changed
    assert 1 <= int(different.sum()) <= 5
    assert (changed[different].abs() > 5).all()


def test_dead_pixels_and_lines_counted_nothing(rng: np.random.Generator) -> None:
    image = torch.full((64, 80), 40.0)
    add_wrong_pixels(image, 0, 7, 0, rng)
    assert 1 <= int((image == 0).sum()) <= 7
    ways = set()
    for _ in range(20):
        image = torch.full((64, 80), 40.0)
        add_wrong_pixels(image, 0, 0, 1, rng)
        assert int((image == 0).sum()) in (64, 80)
        ways.add(int((image == 0).sum()))
    assert ways == {64, 80}


@pytest.mark.parametrize("kind", BORDERS)
def test_border_is_as_wide_as_asked_on_any_side(kind: str) -> None:
    image = torch.arange(1.0, 20 * 30 + 1).reshape(20, 30)
    sides = set()
    for seed in range(30):
        changed = image.clone()
        strips = add_border(changed, 3, kind, False, np.random.default_rng(seed))
        assert not ((changed != image) & ~strips).any()
        assert int(strips.sum()) in (3 * 30, 3 * 20)
        rows, columns = (changed != image).any(dim=1), (changed != image).any(dim=0)
        assert min(int(rows.sum()), int(columns.sum())) == 3
        sides.add((bool(rows[0] and not rows[-1]), bool(columns[0] and not columns[-1]), int(rows.sum())))
    assert len(sides) == 4


@pytest.mark.parametrize("kind", BORDERS)
def test_border_of_a_narrow_image_leaves_half_of_it(kind: str) -> None:
    image = torch.arange(1.0, 20 * 300 + 1).reshape(20, 300)
    assert {
        int(add_border(image.clone(), 25, kind, False, np.random.default_rng(seed)).sum()) for seed in range(9)
    } == {
        10 * 300,
        25 * 20,
    }


def test_border_repeats_its_neighbour_at_both_ends() -> None:
    image = torch.arange(20 * 30.0).reshape(20, 30)
    for seed in range(5):
        changed = image.clone()
        add_border(changed, 2, "repeated", True, np.random.default_rng(seed))
        turned, before = (changed, image) if (changed[0] != image[0]).all() else (changed.T, image.T)
        assert torch.equal(turned[0], before[2])
        assert torch.equal(turned[1], before[2])
        assert torch.equal(turned[-1], before[-3])
        assert torch.equal(turned[2:-2], before[2:-2])


def test_mirrored_border_mirrors() -> None:
    image = torch.arange(20.0)[:, None] + torch.zeros(1, 20)
    for seed in range(10):
        changed = image.clone()
        add_border(changed, 3, "mirrored", True, np.random.default_rng(seed))
        if not torch.equal(changed, image):  # rows, not columns
            np.testing.assert_array_equal(changed[:3, 0], [5, 4, 3])
            np.testing.assert_array_equal(changed[-3:, 0], [16, 15, 14])


def test_gain_residue_is_the_same_along_columns_and_rows(chance: Chance) -> None:
    gain = gain_residue((200, 300), 0.01, chance, torch.device("cpu"))
    assert float(gain.std()) == pytest.approx(0.01 * np.sqrt(2), rel=0.15)
    np.testing.assert_allclose(gain[0] / gain[0, 0], gain[7] / gain[7, 0], rtol=1e-5)
