"""Strips along the sides of an image that hold no data."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
import scipy.ndimage

from relion_attn_picker.imaging.borders import SpoiltBorder, find_spoilt_border
from relion_attn_picker.picks import FloatArray

SHAPE = (300, 400)
WIDTH = 12
SIDES: dict[str, Callable[[FloatArray], FloatArray]] = {
    "top": lambda image: image,
    "bottom": lambda image: image[::-1],
    "left": lambda image: image.T,
    "right": lambda image: image.T[::-1],
}
"""Views of an image with this side as its first row."""


@pytest.fixture
def image(rng: np.random.Generator) -> FloatArray:
    return rng.normal(50, 3, SHAPE).astype(np.float32)


def repeat(image: FloatArray) -> None:
    image[:WIDTH] = image[WIDTH]


def mirror(image: FloatArray) -> None:
    image[:WIDTH] = image[WIDTH : 2 * WIDTH][::-1]


def fill(image: FloatArray) -> None:
    image[:WIDTH] = 50


@pytest.mark.parametrize("side", SIDES)
@pytest.mark.parametrize(("spoil", "width"), [(repeat, WIDTH + 1), (mirror, WIDTH), (fill, WIDTH)])
def test_width_of_a_strip(image: FloatArray, side: str, spoil: Callable[[FloatArray], None], width: int) -> None:
    """Each kind of strip, along each side; the row that is repeated counts as one of the strip."""
    spoil(SIDES[side](image))
    assert find_spoilt_border(image) == SpoiltBorder(**{side: width})


def test_image_without_strips(image: FloatArray) -> None:
    assert find_spoilt_border(image) == SpoiltBorder()


def test_smooth_image_has_no_strips(image: FloatArray) -> None:
    """Rows of a smoothed image are much alike everywhere: that is no sign of a strip."""
    assert find_spoilt_border(scipy.ndimage.gaussian_filter(image, 4)) == SpoiltBorder()


def test_nearly_repeated_rows(image: FloatArray, rng: np.random.Generator) -> None:
    repeat(image)
    image[:WIDTH] += rng.normal(0, 0.05, (WIDTH, SHAPE[1])).astype(np.float32)
    assert find_spoilt_border(image) == SpoiltBorder(top=WIDTH + 1)


def test_dead_rows_inside_are_no_strip(image: FloatArray) -> None:
    image[10:13] = 0
    assert find_spoilt_border(image) == SpoiltBorder()


def test_constant_image() -> None:
    assert find_spoilt_border(np.full(SHAPE, 7, dtype=np.float32)) == SpoiltBorder()


def test_tiny_image(rng: np.random.Generator) -> None:
    assert find_spoilt_border(rng.normal(size=(6, 5)).astype(np.float32)) == SpoiltBorder()


def test_points_in_a_strip() -> None:
    """A point belongs to the pixel that it is nearest to; sides without a strip refuse nothing."""
    border = SpoiltBorder(top=10, right=20)
    yx = np.array([[9.4, 50], [9.6, 50], [50, 379.4], [50, 379.6], [299, 0], [0, 399]], dtype=np.float32)
    assert border.contains(yx, SHAPE).tolist() == [True, False, False, True, False, True]
