"""What a candidate looks like."""

from __future__ import annotations

import numpy as np
import pytest

from relion_attn_picker.imaging.appearance import LEAST_VARIANCE, measure_appearance
from relion_attn_picker.picks import APPEARANCE

DIAMETER = 24.0


def target(shape: tuple[int, int], y: int, x: int) -> np.ndarray:
    """Return an image with a core of -2, a rim of -1 and nothing round them."""
    distance = np.hypot(*np.ogrid[-y : shape[0] - y, -x : shape[1] - x])
    return np.select([distance < DIAMETER / 4, distance < DIAMETER / 2], [-2.0, -1.0], 0.0).astype(np.float32)


@pytest.mark.parametrize("place", [(40, 30), (0, 0), (79, 59), (0, 31)])
def test_core_and_rim_of_a_target(place: tuple[int, int]) -> None:
    """At the edges the image is taken as mirrored, so that half a particle looks like a whole one."""
    seen = measure_appearance(target((80, 60), *place), np.array([place], dtype=np.float32), DIAMETER)
    assert tuple(seen) == APPEARANCE
    assert (seen["core"].tolist(), seen["rim"].tolist()) == ([-2.0], [-1.0])


def test_spread_is_the_logarithm_of_the_variance(rng: np.random.Generator) -> None:
    noise = rng.normal(0, 3, (400, 400)).astype(np.float32)
    yx = np.stack(np.meshgrid(np.arange(30, 370, 30), np.arange(30, 370, 30)), axis=-1).reshape(-1, 2)
    seen = measure_appearance(noise, yx.astype(np.float32), DIAMETER)
    assert np.exp(seen["spread"].astype(np.float64)).mean() == pytest.approx(9 + LEAST_VARIANCE, rel=0.02)
    flat = measure_appearance(
        np.zeros((60, 60), dtype=np.float32), np.array([[30.4, 29.6]], dtype=np.float32), DIAMETER
    )
    assert flat["spread"][0] == pytest.approx(np.log(LEAST_VARIANCE), abs=0.01)


def test_nearest_pixel_is_the_middle() -> None:
    image = target((80, 60), 40, 30)
    for shift in (-0.4, 0.4):
        seen = measure_appearance(image, np.array([[40 + shift, 30 - shift]], dtype=np.float32), DIAMETER)
        assert seen["core"].tolist() == [-2.0]


def test_no_candidates() -> None:
    seen = measure_appearance(np.zeros((60, 60), dtype=np.float32), np.zeros((0, 2), dtype=np.float32), DIAMETER)
    assert {values.shape for values in seen.values()} == {(0,)}
