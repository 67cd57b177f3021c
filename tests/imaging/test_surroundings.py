"""Maps of what lies beside particles, against closed forms."""

from __future__ import annotations

import numpy as np
import pytest

from relion_attn_picker.imaging.prepare import NetworkImage
from relion_attn_picker.imaging.surroundings import (
    NEAR,
    WIDE,
    CoarseMap,
    Surroundings,
    average_blocks,
    survey_micrograph,
)
from relion_attn_picker.picks import FloatArray

SHAPE = (600, 720)
DIAMETER = 60
MIDDLE = np.array([[300.0, 360.0]], dtype=np.float32)


def survey(image: FloatArray, pixel_size: float = 1.0) -> Surroundings:
    return survey_micrograph(image, pixel_size, NetworkImage(image, pixel_size), DIAMETER * pixel_size)


def disc(diameter: float) -> FloatArray:
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    inside = np.hypot(y - MIDDLE[0, 0], x - MIDDLE[0, 1]) <= diameter / 2
    image: FloatArray = -inside.astype(np.float32)
    return image


def averaged_over(diameter: float, sigma: float) -> float:
    """Return the integral of a Gaussian over a disc about its middle."""
    return float(1 - np.exp(-((diameter / 2) ** 2) / (2 * sigma**2)))


def test_blocks_are_means(rng: np.random.Generator) -> None:
    image = rng.normal(size=(17, 23)).astype(np.float32)
    got = average_blocks(image, 5)
    expected = [[image[5 * i : 5 * i + 5, 5 * j : 5 * j + 5].mean() for j in range(4)] for i in range(3)]
    assert got == pytest.approx(np.array(expected), abs=1e-6)


def test_points_of_a_map_are_pixels_of_the_image() -> None:
    """A ramp's means lie in the middles of the blocks, so that it is found again everywhere."""
    y, x = np.mgrid[:60, :80].astype(np.float32)
    ramp = CoarseMap(average_blocks(3 * y - x, 4), 4)
    yx = np.array([[10, 20], [33.5, 41.25], [50, 7]], dtype=np.float32)
    assert ramp.at(yx) == pytest.approx(3 * yx[:, 0] - yx[:, 1], abs=1e-3)


@pytest.mark.parametrize("times", [1, 2])
def test_density_of_a_disc(times: int) -> None:
    found = survey(disc(times * DIAMETER))
    expected = [averaged_over(times * DIAMETER, scale * DIAMETER) for scale in (NEAR, WIDE)]
    assert [found.near.at(MIDDLE)[0], found.wide.at(MIDDLE)[0]] == pytest.approx(expected, rel=0.06)


def test_density_does_not_hang_on_the_pixel_size() -> None:
    image = disc(DIAMETER)
    assert survey(image, 3.0).near.at(MIDDLE) == pytest.approx(survey(image).near.at(MIDDLE))


def test_texture_is_relative(rng: np.random.Generator) -> None:
    """Where the noise is twice as strong, the texture is 2; elsewhere 1."""
    image = rng.normal(size=SHAPE).astype(np.float32)
    image[:, 480:] *= 2
    points = np.array([[300, 200], [300, 640]], dtype=np.float32)
    assert survey(image).texture.at(points) == pytest.approx([1, 2], rel=0.1)


def test_straight_edge_of_a_film_is_background() -> None:
    film = np.zeros(SHAPE, dtype=np.float32)
    film[:, 400:] = -5
    beside = np.array([[300, 330], [300, 470]], dtype=np.float32)
    assert np.abs(survey(film).near.at(beside)).max() < 0.6


def test_constant_image() -> None:
    found = survey(np.full(SHAPE, 3, dtype=np.float32))
    assert not found.near.values.any() and found.near.spread == 0
    assert np.isfinite(found.texture.values).all()


def test_particle_larger_than_the_image_is_no_reason_to_fail() -> None:
    image = np.zeros((40, 50), dtype=np.float32)
    assert survey(image).near.values.shape == (4, 5)
