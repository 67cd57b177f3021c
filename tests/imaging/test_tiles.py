"""Cutting and blending lose nothing and leave no seam."""

from __future__ import annotations

import numpy as np
import pytest

from relion_attn_picker.imaging.tiles import TileBlender, plan_tiles


@pytest.mark.parametrize("shape", [(700, 900), (512, 512), (513, 2000), (40, 1600)])
def test_blending_unchanged_tiles_gives_the_image_back(shape: tuple[int, int], rng: np.random.Generator) -> None:
    image = rng.random(shape, dtype=np.float32)
    blender = TileBlender(shape)
    for row, column in plan_tiles(shape, tile_size=512, halo=108, stride=16):
        blender.add(row, column, image[row.start : row.stop, column.start : column.stop])
    np.testing.assert_allclose(blender.result(), image, atol=1e-6)


def test_tiles_start_on_the_stride_and_weigh_nothing_in_their_halo() -> None:
    grid = plan_tiles((1500, 1500), tile_size=520, halo=108, stride=16)
    for span in grid.rows:
        assert span.start % 16 == 0
        assert span.stop - span.start <= 512 + 16
        if span.start > 0:
            assert not span.weight[:111].any()
        if span.stop < 1500:
            assert not span.weight[-111:].any()


def test_small_image_is_one_tile() -> None:
    assert len(list(plan_tiles((100, 90), tile_size=512, halo=108, stride=16))) == 1


def test_tile_without_core_is_refused() -> None:
    with pytest.raises(ValueError, match="A tile of 224 pixels has no core within halos of 112 pixels"):
        plan_tiles((1000, 1000), tile_size=230, halo=108, stride=16)


@pytest.mark.parametrize("step", [2, 8])
def test_coarse_span_has_the_mean_weight_of_its_pixels(step: int) -> None:
    for span in plan_tiles((1501, 1501), tile_size=520, halo=108, stride=16).rows:
        coarse = span.coarsen(step)
        assert (coarse.start * step, len(coarse.weight)) == (span.start, coarse.stop - coarse.start)
        for place, weight in enumerate(coarse.weight):
            assert weight == pytest.approx(span.weight[place * step : (place + 1) * step].mean(), abs=1e-6)
