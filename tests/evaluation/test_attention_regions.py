"""Particles, background and junk under the pixels of a gate's map, against brute force."""

from __future__ import annotations

import numpy as np
import pytest

from relion_attn_picker.evaluation.attention_regions import JunkMask, KnownContents, find_regions
from relion_attn_picker.gate_maps import GateMap


def make_gate(
    shape: tuple[int, int] = (30, 41), spacing: float = 6.7, origin: tuple[float, float] = (2.9, 3.3)
) -> GateMap:
    return GateMap("level_2", np.zeros(shape, dtype=np.float32), 2 * spacing, spacing, origin)


def test_regions_are_those_of_brute_force(rng: np.random.Generator) -> None:
    gate, diameter = make_gate(), 40.0
    true, ignored = (rng.uniform(0, 1, (n, 2)) * (200, 270) for n in (5, 3))
    mask = rng.random((12, 16)) < 0.2
    regions = find_regions(gate, KnownContents(true, ignored, JunkMask(mask, 18)), diameter)
    for row in range(30):
        for column in range(41):
            y, x = 2.9 + 6.7 * row, 3.3 + 6.7 * column
            to_true, to_ignored = (np.hypot(*(points - (y, x)).T).min() for points in (true, ignored))
            is_junk = bool(mask[min(int((y + 0.5) / 18), 11), min(int((x + 0.5) / 18), 15)])
            inside = to_true <= 20 < to_ignored
            assert regions.inside[row, column] == inside
            assert regions.background[row, column] == (min(to_true, to_ignored) > 40 and not is_junk)
            assert regions.junk[row, column] == (is_junk and to_true > 20 and to_ignored > 20)


def test_no_pixel_belongs_to_two_regions(rng: np.random.Generator) -> None:
    junk = JunkMask(rng.random((12, 16)) < 0.5, 18)
    regions = find_regions(make_gate(), KnownContents(rng.uniform(0, 200, (8, 2)), junk=junk), 40.0)
    total = sum(each.astype(int) for each in (regions.inside, regions.background, regions.junk))
    assert total.max() == 1
    assert (total == 0).any()  # the rims of particles


def test_empty_micrograph_is_all_background() -> None:
    regions = find_regions(make_gate(), KnownContents(np.empty((0, 2), dtype=np.float32)), 40.0)
    assert regions.background.all()
    assert not regions.inside.any()
    assert not regions.junk.any()


def test_wrong_maps_are_refused() -> None:
    with pytest.raises(ValueError, match=r"GateMap.values has shape \(4,\): expected \(h, w\)"):
        GateMap("level_1", np.zeros(4, dtype=np.float32), 1.0, 1.0, (0.0, 0.0))
