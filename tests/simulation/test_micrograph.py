"""Whole micrographs: the truth is where the particles are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from relion_attn_picker.simulation.conditions import Conditions, draw_conditions
from relion_attn_picker.simulation.micrograph import SimulatedMicrograph, simulate_micrograph
from relion_attn_picker.simulation.particles import BeadParticle, procedural_particle

SILENT = Conditions(
    snr=1e6, ice_structure=0.0, protein_noise=0.0, shading=0.0, coverage=0.1, min_separation=1.6, clustering=0.0
)
"""Conditions without noise of any kind."""


@pytest.fixture(scope="module")
def ball() -> BeadParticle:
    """A round particle, so that its darkest place is its centre from every side."""
    rng = np.random.default_rng(3)
    direction = rng.normal(size=(4000, 3))
    xyz = 60 * direction / np.linalg.norm(direction, axis=1, keepdims=True) * rng.random((4000, 1)) ** (1 / 3)
    return BeadParticle("ball", xyz - xyz.mean(axis=0), np.full(4000, 16.0), 3.0, 120.0)


def simulate(particle: BeadParticle, conditions: Conditions, seed: int = 1, **others: object) -> SimulatedMicrograph:
    values = {"shape": (180, 230), "pixel_size": 6.0} | others
    return simulate_micrograph(particle, conditions=conditions, rng=np.random.default_rng(seed), **values)  # type: ignore[arg-type]


def test_centre_of_darkness_is_at_the_truth(ball: BeadParticle) -> None:
    seen = simulate(ball, SILENT, shape=(300, 330))
    depth = np.median(seen.image) - gaussian_filter(seen.image, 1.0)
    inner = seen.yx[((seen.yx > 14) & (seen.yx < np.array(seen.image.shape) - 15)).all(axis=1)]
    assert len(inner) > 10
    for centre in inner:
        corner = np.rint(centre).astype(int) - 12
        window = np.clip(depth[corner[0] : corner[0] + 25, corner[1] : corner[1] + 25], 0, None)
        y, x = np.indices(window.shape)
        found = corner + np.array([(window * y).sum(), (window * x).sum()]) / window.sum()
        assert np.linalg.norm(found - centre) < 0.5


@pytest.mark.parametrize("pixel_size", [1.0, 3.0, 8.0])
def test_particles_are_dark_at_any_pixel_size(ball: BeadParticle, pixel_size: float) -> None:
    seen = simulate(ball, SILENT, pixel_size=pixel_size, shape=(300, 360))
    at = np.clip(np.rint(seen.yx).astype(int), 0, np.array(seen.image.shape) - 1)
    smooth = gaussian_filter(seen.image, 8 / pixel_size)
    assert len(at) > 0
    assert (smooth[at[:, 0], at[:, 1]] < np.percentile(smooth, 40)).all()


def test_image_is_what_was_asked_for(rng: np.random.Generator) -> None:
    seen = simulate(procedural_particle(150, rng), Conditions(), shape=(131, 97))
    assert seen.image.shape == seen.junk.shape == (131, 97)
    assert seen.image.dtype == seen.yx.dtype == np.float32
    assert seen.image.flags.c_contiguous
    assert seen.image.mean() == pytest.approx(40 * 36 * np.exp(-500 / 3950), rel=0.05)
    assert (seen.yx >= -0.5).all()
    assert (seen.yx <= np.array([130.5, 96.5])).all()
    assert seen.optics.ctf.defocus_u - seen.optics.ctf.defocus_v == pytest.approx(300)


def test_same_seed_same_micrograph(rng: np.random.Generator) -> None:
    particle, conditions = procedural_particle(150, rng), draw_conditions(np.random.default_rng(4))
    one, again, other = (simulate(particle, conditions, seed) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one.image, again.image)
    np.testing.assert_array_equal(one.yx, again.yx)
    assert not np.array_equal(one.image, other.image)


def test_empty_micrograph(ball: BeadParticle) -> None:
    seen = simulate(ball, replace(SILENT, coverage=0.0))
    assert seen.yx.shape == seen.ignored_yx.shape == (0, 2)
    assert seen.image.std() > 0


def test_particles_on_carbon_are_not_labelled(ball: BeadParticle) -> None:
    bare, covered = (
        simulate(ball, replace(SILENT, carbon=True, particles_on_carbon=on), seed=5) for on in (False, True)
    )
    assert bare.junk.any()
    for seen in (bare, covered):
        at = np.clip(np.rint(seen.yx).astype(int), 0, np.array(seen.junk.shape) - 1)
        assert not seen.junk[at[:, 0], at[:, 1]].any()
    assert len(bare.ignored_yx) == 0
    assert len(covered.ignored_yx) > 0


def test_aggregates_are_junk_and_not_labelled(ball: BeadParticle) -> None:
    seen = simulate(ball, replace(SILENT, coverage=0.0, aggregates=4), shape=(400, 400))
    assert len(seen.yx) == 0
    assert seen.image[seen.junk].mean() < seen.image[~seen.junk].mean()


def test_broken_particles_are_ignored(ball: BeadParticle) -> None:
    seen = simulate(ball, replace(SILENT, damaged=1.0))
    assert len(seen.yx) == 0
    assert len(seen.ignored_yx) > 0


def test_noise_follows_the_wanted_snr(ball: BeadParticle) -> None:
    plain = replace(SILENT, coverage=0.0)
    spread = [simulate(ball, replace(plain, snr=snr)).image.std() for snr in (0.1, 0.4, 1.6)]
    assert spread[0] / spread[1] == pytest.approx(2, rel=0.05)
    assert spread[1] / spread[2] == pytest.approx(2, rel=0.05)


def test_snr_is_that_of_the_image(ball: BeadParticle) -> None:
    wanted = replace(SILENT, snr=0.5, astigmatism=0.0)
    noise = simulate(ball, replace(wanted, coverage=0.0), pixel_size=5.0, shape=(300, 300)).image
    clean = simulate(ball, replace(SILENT, astigmatism=0.0), pixel_size=5.0, shape=(300, 300))
    signal = clean.image - np.median(clean.image)
    y, x = np.indices(signal.shape)
    discs = np.zeros(signal.shape, dtype=bool)
    for centre in clean.yx:
        discs |= np.hypot(y - centre[0], x - centre[1]) <= 12  # pixels: 24 per diameter
    assert np.square(signal[discs]).mean() / noise.var() == pytest.approx(0.5, rel=0.3)


def test_drawn_conditions_make_micrographs(rng: np.random.Generator) -> None:
    for seed in range(25):
        conditions = draw_conditions(np.random.default_rng(seed))
        seen = simulate(procedural_particle(200, rng), conditions, pixel_size=8.0, shape=(128, 128), seed=seed)
        assert np.isfinite(seen.image).all()
        assert seen.image.std() > 0


def test_a_tenth_of_the_conditions_is_empty() -> None:
    drawn = [draw_conditions(np.random.default_rng(seed)) for seed in range(600)]
    assert np.mean([conditions.coverage == 0 for conditions in drawn]) == pytest.approx(0.1, abs=0.04)
    assert all(6_000 <= conditions.defocus <= 40_000 for conditions in drawn)
    assert np.mean([conditions.carbon for conditions in drawn]) == pytest.approx(0.2, abs=0.05)
