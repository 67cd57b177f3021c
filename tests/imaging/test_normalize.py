"""Clipping, flattening and standardising."""

from __future__ import annotations

import numpy as np
import pytest

from relion_attn_picker.errors import InputError
from relion_attn_picker.imaging.normalize import clip_outliers, flatten_background, standardize
from relion_attn_picker.imaging.prepare import prepare_image
from relion_attn_picker.model_spec import Normalization


def test_clip_moves_only_outliers(rng: np.random.Generator) -> None:
    image = rng.normal(1000, 50, (200, 220)).astype(np.float32)
    image[3, 4] = 1e6
    clipped = clip_outliers(image, 8)
    assert clipped[3, 4] < 1500
    image[3, 4] = clipped[3, 4]
    np.testing.assert_array_equal(clipped, image)


@pytest.mark.parametrize(("wavelength", "expected"), [(30.0, 0.5), (300.0, 0.0), (6.0, 1.0)])
def test_flattening_halves_the_stated_wavelength(wavelength: float, expected: float) -> None:
    wave = np.tile(np.cos(2 * np.pi * np.arange(600) / wavelength), (40, 1)).astype(np.float32)
    flat = flatten_background(wave, 30.0)[:, 200:400]
    assert flat.std() / wave[:, 200:400].std() == pytest.approx(expected, abs=0.03)


def test_standardised_noise_has_median_zero_and_spread_one(rng: np.random.Generator) -> None:
    standard = standardize(rng.normal(300, 17, (500, 400)).astype(np.float32), 5)
    assert np.median(standard) == pytest.approx(0, abs=0.01)
    assert standard.std() == pytest.approx(1, abs=0.01)


def test_a_bright_corner_does_not_change_the_scale(rng: np.random.Generator) -> None:
    image = rng.normal(0, 1, (400, 400)).astype(np.float32)
    spoilt = image.copy()
    spoilt[:60, :60] = 1000
    inner = np.s_[100:, 100:]
    np.testing.assert_allclose(standardize(spoilt, 5)[inner], standardize(image, 5)[inner], atol=0.15)


def test_constant_image() -> None:
    assert not standardize(np.full((30, 30), 4.0, dtype=np.float32), 5).any()


def test_half_masked_image_stays_finite(rng: np.random.Generator) -> None:
    image = np.zeros((100, 100), dtype=np.float32)
    image[:40] = rng.normal(0, 1, (40, 100))
    assert np.isfinite(standardize(image, 5)).all()


def test_contrast_and_offset_of_the_file_do_not_matter(rng: np.random.Generator) -> None:
    image = rng.normal(0, 1, (300, 280)).astype(np.float32)
    first = prepare_image(image, 1.5, 100.0, 24.0, Normalization())
    second = prepare_image(20 * image + 3000, 1.5, 100.0, 24.0, Normalization())
    np.testing.assert_allclose(first.values, second.values, atol=2e-3)


def test_same_angstroms_same_network_image(rng: np.random.Generator) -> None:
    """Doubling the pixel size and the diameter changes nothing but the Å."""
    image = rng.normal(0, 1, (300, 280)).astype(np.float32)
    first = prepare_image(image, 1.5, 100.0, 24.0, Normalization())
    second = prepare_image(image, 3.0, 200.0, 24.0, Normalization())
    np.testing.assert_array_equal(first.values, second.values)
    assert second.pixel_size == 2 * first.pixel_size


@pytest.mark.parametrize(
    ("diameter", "sentence"),
    [
        (5.0, "A particle diameter of 5 Å is only 3.3 pixels at 1.5 Å per pixel: expected at least 4 pixels"),
        (4000.0, "A particle diameter of 4000 Å does not fit an image of 420 Å on its shorter side"),
    ],
)
def test_absurd_diameter(diameter: float, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        prepare_image(np.zeros((300, 280), dtype=np.float32), 1.5, diameter, 24.0, Normalization())
