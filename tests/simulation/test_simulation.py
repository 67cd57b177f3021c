"""The plain simulator against closed forms, and its truth against its own pixels."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter
from scipy.spatial.transform import Rotation

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.mrc import read_image
from relion_attn_picker.micrograph import CtfParameters
from relion_attn_picker.relion.coordinates import open_coordinates
from relion_attn_picker.relion.micrographs import read_micrographs
from relion_attn_picker.simulation.ice import gaussian_field, ice_spectral_density, protein_spectral_density, shading
from relion_attn_picker.simulation.micrograph import Conditions, draw_conditions, place_particles, simulate_micrograph
from relion_attn_picker.simulation.optics import (
    Optics,
    electron_wavelength,
    frequencies,
    image_intensity,
    phase_per_scattering,
)
from relion_attn_picker.simulation.particles import (
    PROTEIN_SCATTERING,
    BeadParticle,
    make_particle,
    procedural_particle,
    read_bead_particle,
)
from relion_attn_picker.simulation.project import write_project

OPTICS = Optics(300.0, 2.7, 0.1, CtfParameters(15_000.0, 15_000.0, 0.0), 0.0)
QUIET = Conditions(dose=1e6, noise_gain=1e-3, protein_noise=0.0, ice_structure=1e-9, shading=0.0, coverage=0.1)


def ball(radius: float, count: int = 200_000) -> BeadParticle:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(count, 3))
    points *= (radius * rng.random((count, 1)) ** (1 / 3)) / np.linalg.norm(points, axis=1, keepdims=True)
    weight = np.full(count, PROTEIN_SCATTERING * 4 / 3 * np.pi * radius**3 / count)
    return make_particle("ball", points, weight, 0.5)


@pytest.mark.parametrize(("voltage", "wavelength", "phase"), [(300.0, 0.0197, 0.0313), (200.0, 0.0251, 0.0349)])
def test_wavelength_and_phase_per_scattering(voltage: float, wavelength: float, phase: float) -> None:
    assert electron_wavelength(voltage) == pytest.approx(wavelength, rel=2e-3)
    assert phase_per_scattering(voltage) == pytest.approx(phase, rel=3e-3)


def test_150_angstrom_of_protein_shift_the_phase_by_a_third() -> None:
    assert phase_per_scattering(300.0) * PROTEIN_SCATTERING * 150 == pytest.approx(0.34, abs=0.01)


def test_first_ctf_zero_lies_where_the_closed_form_says() -> None:
    """Without Cs and amplitude contrast, sin(π λ Δz k²) first vanishes at k = 1/√(λ Δz)."""
    optics = replace(OPTICS, spherical_aberration=0.0)
    aberration = optics.phase_aberration((1, 4096), 1.0)[0, :2048]
    k = frequencies((1, 4096), 1.0)[1][0, :2048]
    zero = k[np.argmax(aberration > np.pi)]
    assert zero == pytest.approx(1 / np.sqrt(electron_wavelength(300.0) * 15_000.0), abs=k[1])


def test_astigmatism_has_its_extremes_along_its_axes() -> None:
    optics = replace(OPTICS, spherical_aberration=0.0, ctf=CtfParameters(16_000.0, 12_000.0, 90.0))
    aberration = optics.phase_aberration((64, 64), 4.0)
    assert aberration[8, 0] / aberration[0, 8] == pytest.approx(16 / 12)


def test_weak_phase_limit(rng: np.random.Generator) -> None:
    """I = 1 - 2 FT⁻¹[φ̂ sin(χ + asin A)] with damping tan(asin A) φ, to first order in φ."""
    phase = 1e-4 * gaussian_filter(rng.normal(size=(128, 96)), 2)
    intensity = image_intensity(phase, 0.0, OPTICS, 3.0)
    transfer = np.sin(OPTICS.phase_aberration((128, 96), 3.0) + np.arcsin(0.1)) / np.cos(np.arcsin(0.1))
    expected = 1 - 2 * np.real(np.fft.ifft2(np.fft.fft2(phase) * transfer))
    assert np.abs(intensity - 1).max() > 1e-5
    np.testing.assert_allclose(intensity - 1, expected - 1, atol=2e-8)


def test_envelope_damps_what_is_fine() -> None:
    phase = 1e-4 * np.tile(np.cos(2 * np.pi * np.arange(120) / 6), (20, 1))  # a period of 12 Å
    plain = np.ptp(image_intensity(phase, 0.0, OPTICS, 2.0))
    damped = np.ptp(image_intensity(phase, 0.0, replace(OPTICS, envelope=200.0), 2.0))
    assert damped / plain == pytest.approx(np.exp(-200 / (4 * 12**2)), rel=1e-3)


def test_projection_of_a_ball() -> None:
    projection = ball(60.0).project(Rotation.identity(), 2.0)
    reach = projection.shape[0] // 2
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1] * 2.0
    expected = PROTEIN_SCATTERING * 2 * np.sqrt(np.clip(60.0**2 - y**2 - x**2, 0, None))
    inside = np.hypot(y, x) < 50
    assert projection[inside].mean() == pytest.approx(expected[inside].mean(), rel=0.01)
    assert projection.sum() * 4 == pytest.approx(PROTEIN_SCATTERING * 4 / 3 * np.pi * 60**3, rel=1e-3)


def test_visible_diameter_of_a_ball() -> None:
    assert ball(60.0).diameter == pytest.approx(2 * 60 * 0.95 ** (1 / 3), rel=0.02)


@pytest.mark.parametrize("seed", range(6))
def test_procedural_particle_has_the_diameter_asked_for_and_proteins_density(seed: int) -> None:
    particle = procedural_particle(180.0, np.random.default_rng(seed))
    assert particle.diameter == pytest.approx(180.0, rel=0.1)
    phase = phase_per_scattering(300.0) * particle.project(Rotation.identity(), 4.0)
    assert 0.05 < phase.max() < 1.2
    np.testing.assert_allclose(np.average(particle.xyz, axis=0, weights=particle.weight), 0, atol=1e-6)


def test_bead_file(tmp_path: Path) -> None:
    path = tmp_path / "beads.npz"
    x = np.array([[0, 0, 0], [1000, 0, 0]], dtype=np.int16)
    np.savez(path, x=x, unit=np.float32(0.1), w=np.float16([2, 2]), sigma=np.float32(3.0))
    particle = read_bead_particle(path)
    np.testing.assert_allclose(particle.xyz, [[-50, 0, 0], [50, 0, 0]], atol=1e-4)
    assert particle.project(Rotation.identity(), 2.0).sum() * 4 == pytest.approx(4.0, rel=1e-3)


@pytest.mark.parametrize("content", [b"", b"no archive"])
def test_damaged_bead_file(content: bytes, tmp_path: Path) -> None:
    path = tmp_path / "beads.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"beads\.npz is not a file of scattering beads"):
        read_bead_particle(path)


def test_field_has_the_spectrum_asked_for(rng: np.random.Generator) -> None:
    def density(k: np.ndarray) -> np.ndarray:
        return protein_spectral_density(k, 5.0, 10.0)

    fields = [gaussian_field((128, 128), 4.0, density, rng) for _ in range(60)]
    power = np.mean([np.abs(np.fft.fft2(field)) ** 2 for field in fields], axis=0) * 16 / 128**2
    k = np.hypot(*frequencies((128, 128), 4.0))
    for low, high in ((0.005, 0.015), (0.015, 0.025), (0.025, 0.035)):
        ring = (k > low) & (k < high)
        assert power[ring].mean() == pytest.approx(density(k[ring]).mean(), rel=0.1)


def test_ice_noise_is_white_without_motion_and_fades_with_dose() -> None:
    k = np.array([1e-4, 0.1])
    still, moved = (ice_spectral_density(k, 500.0, dose, 300.0, 0.08) for dose in (1e-6, 50.0))
    assert still[0] == pytest.approx(still[1])
    assert moved[0] == pytest.approx(still[0], rel=1e-3)
    a = (2 * np.pi * 0.1) ** 2 * (1.1 / 3) * 50 / 2
    assert moved[1] / still[1] == pytest.approx((1 - np.exp(-a)) / a, rel=1e-6)


def test_shading_is_smooth_and_normalised(rng: np.random.Generator) -> None:
    field = shading((90, 130), rng)
    assert field.shape == (90, 130)
    assert field.std() == pytest.approx(1)
    assert np.abs(np.diff(field, axis=0)).max() < 0.3


def test_shot_noise_has_poissons_variance_times_the_gain() -> None:
    conditions = replace(QUIET, dose=30.0, noise_gain=3.0, coverage=0.0, ice_thickness=0.0)
    simulated = simulate_micrograph(ball(40.0, 100), (256, 256), 2.0, conditions, np.random.default_rng(2))
    inner = np.sort(simulated.image.ravel())[10:-10]  # without hot pixels
    assert inner.mean() == pytest.approx(30 * 4, rel=0.01)
    assert inner.var() == pytest.approx(3 * 30 * 4, rel=0.05)


def test_particles_are_dark_and_centred_on_their_truth() -> None:
    conditions = replace(QUIET, coverage=0.08, min_separation=1.6, clustering=0.0, defocus=10_000.0)
    simulated = simulate_micrograph(ball(40.0, 20_000), (300, 360), 3.0, conditions, np.random.default_rng(5))
    assert len(simulated.yx) > 3
    darkness = np.clip(1 - simulated.image / np.median(simulated.image), 0.02, None) - 0.02
    for y, x in simulated.yx:
        if not (25 < y < 275 and 25 < x < 335):
            continue
        top, left = int(y) - 18, int(x) - 18
        window = darkness[top : top + 37, left : left + 37]
        rows, columns = np.mgrid[top : top + 37, left : left + 37]
        assert (rows * window).sum() / window.sum() == pytest.approx(y, abs=0.5)
        assert (columns * window).sum() / window.sum() == pytest.approx(x, abs=0.5)


def test_same_seed_same_micrograph() -> None:
    first, second, other = (
        simulate_micrograph(ball(50.0, 500), (128, 150), 4.0, draw_conditions(rng), rng)
        for rng in (np.random.default_rng(seed) for seed in (7, 7, 8))
    )
    np.testing.assert_array_equal(first.image, second.image)
    np.testing.assert_array_equal(first.yx, second.yx)
    assert not np.array_equal(first.image, other.image)


@pytest.mark.parametrize("seed", range(8))
def test_drawn_conditions_give_finite_images_and_points_inside(seed: int) -> None:
    rng = np.random.default_rng(seed)
    simulated = simulate_micrograph(procedural_particle(150.0, rng), (160, 200), 6.0, draw_conditions(rng), rng)
    assert simulated.image.shape == (160, 200)
    assert np.isfinite(simulated.image).all()
    for points in (simulated.yx, simulated.ignored_yx):
        assert ((points >= -0.5) & (points <= np.array([159.5, 199.5]))).all()


def test_carbon_hides_its_particles_from_the_truth() -> None:
    conditions = replace(QUIET, carbon=True, coverage=0.3)
    simulated = simulate_micrograph(ball(40.0, 500), (300, 300), 5.0, conditions, np.random.default_rng(3))
    assert 0.05 < simulated.junk.mean() < 0.95
    assert len(simulated.ignored_yx) > 0
    pixels = np.clip(np.rint(simulated.yx).astype(int), 0, 299)
    assert not simulated.junk[pixels[:, 0], pixels[:, 1]].any()


def test_placed_particles_keep_their_separation(rng: np.random.Generator) -> None:
    yx = place_particles((500, 600), 20.0, Conditions(coverage=0.3, min_separation=1.1, clustering=0.5), rng)
    from scipy.spatial.distance import pdist

    assert len(yx) > 100
    assert pdist(yx).min() >= 22 - 1e-9


def test_project_round_trip(tmp_path: Path) -> None:
    write_project(tmp_path / "a", ball(60.0, 500), 2, (200, 240), 4.0, seed=5)
    write_project(tmp_path / "b", ball(60.0, 500), 2, (200, 240), 4.0, seed=5)
    micrographs = read_micrographs(tmp_path / "a/micrographs.star")
    truth = open_coordinates(tmp_path / "a/truth.star", tmp_path / "a")
    assert [m.name for m in micrographs] == ["Micrographs/mic0001.mrc", "Micrographs/mic0002.mrc"]
    for micrograph in micrographs:
        assert micrograph.optics.pixel_size == 4.0
        assert micrograph.ctf is not None
        image = read_image(tmp_path / "a" / micrograph.name)
        assert image.shape == (200, 240)
        np.testing.assert_array_equal(image, read_image(tmp_path / "b" / micrograph.name))
        table = truth.read(micrograph.name)
        assert table is not None
        assert (table.yx <= np.array([199.5, 239.5])).all()


def test_particle_larger_than_the_field(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="is too large for a field of 400 Å"):
        write_project(tmp_path, ball(150.0, 500), 1, (100, 120), 4.0, seed=1)
    assert list(tmp_path.iterdir()) == []


def test_existing_project_is_not_overwritten(tmp_path: Path) -> None:
    write_project(tmp_path, ball(40.0, 500), 1, (100, 120), 4.0, seed=1)
    with pytest.raises(InputError, match="holds a project already"):
        write_project(tmp_path, ball(40.0, 500), 1, (100, 120), 4.0, seed=1)
