"""Augmentation changes what it should and nothing else."""

from __future__ import annotations

import numpy as np
import pytest

from relion_attn_picker.training.augment import DEGRADATIONS, degrade, vary_intensity


def dark_particle(rng: np.random.Generator) -> np.ndarray:
    """A standardised noisy crop with a dark disc of 24 pixels round (60, 80)."""
    y, x = np.ogrid[:128, :128]
    image = rng.standard_normal((128, 128), dtype=np.float32)
    image[np.hypot(y - 60, x - 80) <= 12] -= 2
    return image


def test_shares_are_probabilities() -> None:
    assert sum(share for share, _ in DEGRADATIONS.values()) == pytest.approx(1)


@pytest.mark.parametrize("name", DEGRADATIONS)
def test_particle_stays_dark_and_in_place(name: str, rng: np.random.Generator) -> None:
    changed = DEGRADATIONS[name][1](dark_particle(rng), 24, rng)
    y, x = np.ogrid[:128, :128]
    inside = np.hypot(y - 60, x - 80) <= 10
    assert changed[inside].mean() < changed[~inside].mean() - 0.5 * changed.std()


def test_degraded_crop_is_standardised(rng: np.random.Generator) -> None:
    image = dark_particle(rng)
    for _ in range(30):
        degraded = degrade(image, 24, rng)
        assert degraded.dtype == np.float32
        assert abs(np.median(degraded)) < 0.05
        assert 0.8 < 1.4826 * np.median(np.abs(degraded - np.median(degraded))) < 1.2
        assert np.abs(degraded).max() <= 5


def test_denoising_lowers_noise_more_than_the_particle(rng: np.random.Generator) -> None:
    image = dark_particle(rng)
    smooth = DEGRADATIONS["wiener"][1](image, 24, rng)
    y, x = np.ogrid[:128, :128]
    inside, far = np.hypot(y - 60, x - 80) <= 10, np.hypot(y - 60, x - 80) > 20

    def contrast(values: np.ndarray) -> float:
        return float((values[far].mean() - values[inside].mean()) / values[far].std())

    assert contrast(smooth) > contrast(image)


def test_boxes_move_nothing_and_leave_no_fine_detail(rng: np.random.Generator) -> None:
    spot = np.zeros((65, 65), dtype=np.float32)
    spot[32, 32] = 1
    noise = rng.standard_normal((128, 128), dtype=np.float32)
    for _ in range(20):  # squares of even and of odd sides
        weight = np.abs(DEGRADATIONS["boxes"][1](spot, 24, rng))[22:43, 22:43].astype(float)
        assert (weight.sum(axis=1) @ np.arange(-10, 11)) / weight.sum() == pytest.approx(0, abs=1e-3)
        smooth = DEGRADATIONS["boxes"][1](noise, 24, rng)
        assert np.diff(smooth).std() < 0.7 * smooth.std()


def test_constant_crop_survives(rng: np.random.Generator) -> None:
    for _ in range(20):
        assert np.isfinite(degrade(np.zeros((64, 64), dtype=np.float32), 24, rng)).all()


def test_same_seed_same_crop() -> None:
    image = dark_particle(np.random.default_rng(1))
    first, second = (degrade(image, 24, np.random.default_rng(7)) for _ in range(2))
    assert (first == second).all()
    assert (vary_intensity(image, np.random.default_rng(7)) == vary_intensity(image, np.random.default_rng(7))).all()
