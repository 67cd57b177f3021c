"""Whole micrographs: the truth is where the particles are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter

from relion_attn_picker.simulation.chance import Chance
from relion_attn_picker.simulation.conditions import Conditions, Processing, draw_conditions
from relion_attn_picker.simulation.field import simulate_field
from relion_attn_picker.simulation.micrograph import SimulatedMicrograph, simulate_micrograph
from relion_attn_picker.simulation.particles import BeadParticle, procedural_particle

SILENT = Conditions(
    snr=1e7, ice_structure=0.0, protein_noise=0.0, shading=0.0, coverage=0.1, min_separation=1.6, clustering=0.0
)
"""Conditions without noise of any kind."""


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
    seen = simulate(ball, replace(SILENT, coverage=0.2), pixel_size=pixel_size, shape=(300, 360))
    at = np.clip(np.rint(seen.yx).astype(int), 0, np.array(seen.image.shape) - 1)
    smooth = gaussian_filter(seen.image, 8 / pixel_size)
    assert len(at) > 0
    assert (smooth[at[:, 0], at[:, 1]] < np.percentile(smooth, 40)).all()


def test_image_is_what_was_asked_for(rng: np.random.Generator) -> None:
    seen = simulate(procedural_particle(150, rng), Conditions(), shape=(131, 97))
    assert seen.image.shape == seen.junk.shape == (131, 97)
    assert seen.image.dtype == seen.yx.dtype == np.float32
    assert seen.image.flags.c_contiguous
    assert seen.image.mean() == pytest.approx(40 * 0.7 * 36 * np.exp(-500 / 3950), rel=0.05)
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
        simulate(ball, replace(SILENT, carbon=True, particles_on_carbon=on), shape=(400, 400), seed=5)
        for on in (False, True)
    )
    assert bare.junk.any()
    for seen in (bare, covered):
        at = np.clip(np.rint(seen.yx).astype(int), 0, np.array(seen.junk.shape) - 1)
        assert not seen.junk[at[:, 0], at[:, 1]].any()
    assert len(bare.ignored_yx) == 0
    assert len(covered.ignored_yx) > 0


@pytest.mark.parametrize(
    ("kind", "darker"),
    [
        ({"carbon": True}, 0.99),
        ({"gold": True}, 0.6),
        ({"blobs": 4}, 0.995),
        ({"specks": 25}, 0.995),
        ({"aggregates": 4}, 0.99),
        ({"micelles": 40}, 0.999),
        ({"filaments": 4}, 0.995),
        ({"vesicles": 3}, 0.999),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_junk_is_dark_where_the_mask_says(ball: BeadParticle, kind: dict[str, int], darker: float) -> None:
    empty = replace(SILENT, coverage=0.0, ice_gradient=0.0)
    seen = simulate(ball, replace(empty, **kind), shape=(500, 500), seed=3)  # type: ignore[arg-type]
    assert len(seen.yx) == 0
    assert seen.junk.any()
    assert np.median(seen.image[seen.junk]) < darker * np.median(seen.image[~seen.junk])
    clean = simulate(ball, empty, shape=(500, 500), seed=3)
    change = np.abs(seen.image - clean.image)
    assert change[seen.junk].mean() > 3 * change[~seen.junk].mean()


def test_particles_in_junk_are_ignored(ball: BeadParticle) -> None:
    seen = simulate(ball, replace(SILENT, coverage=0.4, min_separation=0.9, blobs=5), shape=(400, 400))
    at = np.clip(np.rint(seen.ignored_yx).astype(int), 0, 399)
    assert len(at) > 0
    assert seen.junk[at[:, 0], at[:, 1]].all()


def test_particles_on_top_of_each_other_are_ignored(ball: BeadParticle) -> None:
    seen = simulate(ball, replace(SILENT, coverage=0.3, second_layer=0.5), shape=(400, 400))
    everything = np.concatenate([seen.yx, seen.ignored_yx])
    apart = np.linalg.norm(seen.yx[:, None] - everything, axis=-1) + 1e9 * np.eye(len(seen.yx), len(everything))
    assert len(seen.ignored_yx) > 0
    assert apart.min() >= 0.5 * ball.diameter / 6.0 - 1e-3


def test_ring_of_particles_at_the_rim(ball: BeadParticle) -> None:
    def at_the_rim(rim_ring: float) -> float:
        conditions = replace(SILENT, gold=True, rim_ring=rim_ring, coverage=0.1, min_separation=0.9)
        seen = simulate(ball, conditions, shape=(500, 500), seed=2)
        rows, columns = np.nonzero(seen.junk[::4, ::4])
        film = 4 * np.column_stack([rows, columns])
        nearest = np.linalg.norm(seen.yx[:, None] - film, axis=-1).min(axis=1)
        return float(np.mean(nearest < 1.5 * ball.diameter / 6.0))

    assert at_the_rim(1.0) > 1.5 * at_the_rim(0.0)


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
    noise = simulate(ball, replace(wanted, coverage=0.0), pixel_size=ball.diameter / 24, shape=(300, 300)).image
    clean = simulate(ball, replace(SILENT, astigmatism=0.0), pixel_size=ball.diameter / 24, shape=(300, 300))
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


@pytest.mark.parametrize(
    "processing",
    [
        Processing(subsampling=1.4),
        Processing(denoising="median"),
        Processing(denoising="guided", denoising_length=0.1),
        Processing(equalise_radius=2.0),
        Processing(gamma=0.8, clip=0.01),
        Processing(eight_bits=True),
    ],
    ids=lambda p: next(k for k, v in vars(p).items() if v != vars(Processing())[k]),
)
def test_truth_survives_processing(ball: BeadParticle, processing: Processing) -> None:
    seen = simulate(ball, replace(SILENT, processing=processing), shape=(300, 330))
    assert seen.image.shape == seen.junk.shape == (300, 330)
    smooth = gaussian_filter(seen.image, 2.0)
    at = np.clip(np.rint(seen.yx).astype(int), 0, np.array(seen.image.shape) - 1)
    assert len(at) > 10
    assert np.mean(smooth[at[:, 0], at[:, 1]] < np.percentile(smooth, 20)) > 0.9


def test_border_is_thousandths_of_the_longer_side(ball: BeadParticle) -> None:
    seen = simulate(ball, replace(SILENT, border=20, border_kind="zero"), shape=(200, 300))
    assert (seen.image == 0).sum() in (6 * 200, 6 * 300)


@pytest.mark.parametrize("kind", ["zero", "repeated"])
def test_particles_in_a_spoilt_strip_are_ignored(ball: BeadParticle, kind: str) -> None:
    plain = replace(SILENT, coverage=0.4, min_separation=1.0)
    spoilt = replace(plain, border=120, border_kind=kind, border_both=True)  # 36 of 300 pixels
    clean, seen = (simulate(ball, each, shape=(300, 300), seed=3) for each in (plain, spoilt))
    assert len(seen.ignored_yx) > len(clean.ignored_yx)
    np.testing.assert_allclose(
        np.sort(np.concatenate([seen.yx, seen.ignored_yx]), axis=0),
        np.sort(np.concatenate([clean.yx, clean.ignored_yx]), axis=0),
    )
    in_strips = ((seen.yx < 35.4) | (seen.yx > 263.6)).sum(axis=0)  # along either pair of sides
    assert min(in_strips) == 0 < max(in_strips)


def test_patches_of_unresolved_protein_leave_its_power_as_it_is(ball: BeadParticle) -> None:
    noisy = replace(SILENT, snr=0.3, coverage=0.0, protein_noise=100.0)
    even, uneven = (
        np.mean([simulate(ball, replace(noisy, patchiness=each), seed).image.var() for seed in range(12)])
        for each in (0.0, 0.5)
    )
    assert uneven / even == pytest.approx(1, abs=0.15)  # with patches that only add it is 1.65


def test_coverage_is_that_of_what_no_film_covers(ball: BeadParticle) -> None:
    plain = replace(SILENT, coverage=0.15, min_separation=1.0)
    counts = {
        carbon: sum(len(simulate(ball, replace(plain, carbon=carbon), seed, shape=(500, 500)).yx) for seed in range(6))
        for carbon in (False, True)
    }
    free = np.mean([1 - _film_share(ball, plain, seed) for seed in range(6)])
    assert counts[True] / counts[False] == pytest.approx(free, abs=0.12)


def _film_share(ball: BeadParticle, conditions: Conditions, seed: int) -> float:
    return float(simulate(ball, replace(conditions, carbon=True), seed, shape=(500, 500)).junk.mean())


def test_image_is_grey_at_the_dose(ball: BeadParticle) -> None:
    plain = replace(SILENT, coverage=0.0, ice_thickness=1e-3)
    seen = simulate(ball, replace(plain, dose=30.0, efficiency=0.5))
    np.testing.assert_allclose(seen.image, 30 * 0.5 * 36, rtol=0.01)


def test_radiation_damage_takes_contrast(ball: BeadParticle) -> None:
    spread = [simulate(ball, replace(SILENT, dose=dose)).image.std() / dose for dose in (1.0, 80.0)]
    assert spread[1] < 0.95 * spread[0]


@pytest.mark.gpu
def test_gpu_and_cpu_agree(ball: BeadParticle) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    conditions = replace(Conditions(), carbon=True, specks=5, blobs=2, filaments=1, patchiness=0.3)
    fields = []
    for device in ("cpu", "cuda"):
        rng = np.random.default_rng(7)
        chance = Chance(rng, torch.Generator("cpu").manual_seed(5))  # the same noise for both
        fields.append(simulate_field(ball, (256, 256), 6.0, conditions, chance, torch.device(device)))
    cpu, gpu = fields
    assert gpu.image.is_cuda
    torch.testing.assert_close(gpu.yx.cpu(), cpu.yx)
    assert float((gpu.junk.cpu() != cpu.junk).float().mean()) < 1e-3
    assert float((gpu.image.cpu() - cpu.image).abs().max()) < 0.02 * float(cpu.image.std())


@pytest.mark.gpu
def test_same_seed_same_field_on_a_gpu(ball: BeadParticle) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    one, again = (
        simulate_micrograph(ball, (256, 256), 6.0, Conditions(), np.random.default_rng(1), "cuda").image
        for _ in range(2)
    )
    np.testing.assert_array_equal(one, again)
