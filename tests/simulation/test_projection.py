"""Splatted copies against a ball, whose projection is known, and against each other."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from scipy.spatial.transform import Rotation

from relion_attn_picker.simulation import projection
from relion_attn_picker.simulation.grid import Grid
from relion_attn_picker.simulation.optics import phase_per_scattering
from relion_attn_picker.simulation.particles import (
    PROTEIN_SCATTERING,
    BeadParticle,
    make_particle,
    procedural_particle,
)
from relion_attn_picker.simulation.projection import (
    Copies,
    blank,
    blur_transfer,
    count_cells,
    scattering_spectrum,
    splat,
    splat_broken,
    splat_copies,
    splat_points,
    to_scattering,
)


def one_at(*places: tuple[float, float], seed: int = 1) -> Copies:
    return Copies(np.array(places), Rotation.random(len(places), random_state=seed), np.ones(len(places)))


def blurred(total: torch.Tensor, grid: Grid, bead_radius: float) -> torch.Tensor:
    """Return the scattering in Å of each pixel."""
    transfer = blur_transfer(grid.squared_frequencies(half=True), bead_radius)
    return grid.field_of(scattering_spectrum(total, grid) * transfer)


def project(particle: BeadParticle, rotation: Rotation, grid: Grid) -> torch.Tensor:
    """Return the scattering in Å of each pixel, of one copy in the middle pixel."""
    total, middle = blank(grid), np.array(grid.shape) // 2
    copies = Copies(middle[None, :].astype(np.float64), Rotation.concatenate([rotation]), np.ones(1))
    splat_copies(total, particle, copies, grid)
    return blurred(total, grid, particle.bead_radius)


def exact_spectrum(particle: BeadParticle, rotation: Rotation, grid: Grid) -> NDArray[np.complex128]:
    """Return the half Fourier transform of beads in the middle pixel, summed bead by bead."""
    yx = rotation.apply(particle.xyz)[:, 1::-1] + np.array(grid.shape) // 2 * grid.pixel_size
    ky, kx = (k.double().numpy().ravel() for k in grid.frequencies())
    kx = np.abs(kx[: grid.shape[1] // 2 + 1])
    along_y, along_x = np.exp(-2j * np.pi * np.outer(ky, yx[:, 0])), np.exp(-2j * np.pi * np.outer(kx, yx[:, 1]))
    bead = np.exp(-2 * np.pi**2 * particle.bead_radius**2 * (ky[:, None] ** 2 + kx**2))
    return np.asarray((along_y * particle.weight) @ along_x.T * bead)


@pytest.mark.parametrize("pixel_size", [2.0, 5.0])
def test_projection_of_a_ball_is_its_chord(ball: BeadParticle, pixel_size: float) -> None:
    grid = Grid((128, 128), pixel_size)
    total = blank(grid)
    splat_copies(total, ball, one_at((64.3, 60.8)), grid)
    phase = blurred(total, grid, ball.bead_radius) * (phase_per_scattering(300) / pixel_size**2)
    y, x = grid.axes(64.3 * pixel_size, 60.8 * pixel_size)
    from_centre = torch.hypot(y, x)
    for low, high in ((0, 15), (25, 35), (45, 55)):
        ring = (from_centre >= low) & (from_centre < high)
        chord = 2 * torch.sqrt(75.0**2 - from_centre[ring] ** 2)
        expected = phase_per_scattering(300) * PROTEIN_SCATTERING * chord
        assert float(phase[ring].mean()) == pytest.approx(float(expected.mean()), rel=0.05)


def test_splat_leaves_out_what_is_outside() -> None:
    total = torch.zeros((3, 4), dtype=torch.int64)
    y, x = torch.tensor([[0.2, 1.4], [1.6, 2.0], [-0.6, 0.0], [0.0, 3.6]]).T
    splat(total, y, x, torch.tensor([1.0, 2.0, 4.0, 8.0]))
    assert to_scattering(total)[0, 1] == 1
    assert to_scattering(total)[2, 2] == 2
    assert to_scattering(total).sum() == 3


def test_order_of_beads_does_not_matter_to_the_last_bit(ball: BeadParticle) -> None:
    grid, order = Grid((64, 64), 4.0), np.random.default_rng(1).permutation(len(ball.weight))
    one, other = blank(grid), blank(grid)
    splat_copies(one, ball, one_at((30.0, 32.0)), grid)
    shuffled = replace(ball, xyz=ball.xyz[order], weight=ball.weight[order])
    splat_copies(other, shuffled, one_at((30.0, 32.0)), grid)
    assert torch.equal(one, other)


@pytest.mark.parametrize(
    ("pixel_size", "shape"), [(2.0, (120, 120)), (4.0, (66, 63)), (6.0, (49, 48)), (12.0, (32, 36))]
)
def test_projection_is_the_sum_of_its_beads(
    pixel_size: float, shape: tuple[int, int], rng: np.random.Generator
) -> None:
    """Residues have beads of 2 to 3 Å, which coarse pixels cannot hold."""
    balls = rng.normal(0, 25, (3000, 3))
    particle, grid = make_particle("cloud", balls, np.ones(3000), 2.5), Grid(shape, pixel_size)
    rotation = Rotation.random(random_state=4)
    seen = torch.fft.rfft2(project(particle, rotation, grid).double()).numpy()
    expected = exact_spectrum(particle, rotation, grid)
    k = np.sqrt(grid.squared_frequencies(half=True).numpy()) * pixel_size
    for low, high, alike in ((0, 0.1, 0.999), (0.1, 0.2, 0.98), (0.2, 0.3, 0.97), (0.3, 0.4, 0.94), (0.4, 0.48, 0.9)):
        ring = (k >= low) & (k < high)
        one, other = seen[ring], expected[ring]
        correlation = (one * other.conj()).sum().real / np.sqrt((abs(one) ** 2).sum() * (abs(other) ** 2).sum())
        assert correlation > alike
        assert np.sqrt((abs(one) ** 2).sum() / (abs(other) ** 2).sum()) == pytest.approx(1, abs=0.12)


def test_projection_keeps_all_scattering_and_its_centre(rng: np.random.Generator) -> None:
    particle, grid = procedural_particle(180, rng), Grid((121, 121), 3.0)
    image = project(particle, Rotation.random(random_state=rng), grid).numpy()
    assert image.sum() == pytest.approx(particle.weight.sum(), rel=1e-3)
    y, x = np.indices(image.shape) - 60
    assert abs((image * y).sum() / image.sum()) < 0.1
    assert abs((image * x).sum() / image.sum()) < 0.1


@pytest.mark.parametrize("pixel_size", [2.0, 6.0])
def test_projection_axes_are_x_to_the_right_and_y_down(pixel_size: float) -> None:
    xyz = np.array([[0.0, 0.0, 0.0], [0.0, 0.0, 30.0], [60.0, 0.0, 0.0]])
    particle = BeadParticle("corner", xyz, np.array([1.0, 1.0, 5.0]), 6.0, 100.0)
    image = project(particle, Rotation.identity(), Grid((90, 90), pixel_size)).numpy()
    assert np.unravel_index(image.argmax(), image.shape) == (45, 45 + 60 / pixel_size)


def test_shared_views_are_turned_views(monkeypatch: pytest.MonkeyPatch, rng: np.random.Generator) -> None:
    particle, grid = procedural_particle(160, rng), Grid((200, 200), 5.0)
    turns = [0.0, 40.0, 170.0, 250.0]
    rotations = Rotation.from_euler("z", turns, degrees=True) * Rotation.random(random_state=2)
    places = np.array([[50.2, 50.0], [50.0, 150.4], [150.3, 50.0], [150.0, 150.0]])
    strength = np.array([1.0, 0.5, 1.5, 1.0])
    each, shared = blank(grid), blank(grid)
    splat_copies(each, particle, Copies(places, rotations, strength), grid)
    monkeypatch.setattr(projection, "BEADS_PER_FIELD", 1)
    copies, cells = projection._to_cells(Copies(places, rotations, strength), grid)
    projection._splat_shared_views(shared, particle, copies, 1, cells)
    one, other = blurred(each, grid, 8.0), blurred(shared, grid, 8.0)
    assert float(other.sum()) == pytest.approx(float(one.sum()), rel=1e-3)
    assert float((one - other).abs().max()) < 0.1 * float(one.max())


def test_crowded_field_takes_the_shared_way(monkeypatch: pytest.MonkeyPatch, ball: BeadParticle) -> None:
    monkeypatch.setattr(projection, "BEADS_PER_FIELD", 2 * len(ball.weight))
    grid, places = Grid((256, 256), 6.0), [(40.0 + 40 * (i % 5), 40.0 + 40 * (i // 5)) for i in range(25)]
    total = blank(grid)
    splat_copies(total, ball, one_at(*places), grid)
    scattering = grid.field_of(scattering_spectrum(total, grid))
    assert float(scattering.sum()) == pytest.approx(25 * ball.weight.sum(), rel=1e-3)
    for y, x in places:
        around = scattering[int(y) - 14 : int(y) + 15, int(x) - 14 : int(x) + 15]
        assert float(around.sum()) == pytest.approx(ball.weight.sum(), rel=0.01)


def test_broken_ball_has_lost_a_cap(ball: BeadParticle) -> None:
    grid, total = Grid((64, 64), 5.0), blank(Grid((64, 64), 5.0))
    splat_broken(total, ball, one_at((32.0, 32.0)), np.array([25.0]), grid)
    cap = np.pi * 50.0**2 * (3 * 75.0 - 50.0) / 3  # beyond 25 Å of a radius of 75 Å
    kept = 1 - cap / (4 / 3 * np.pi * 75.0**3)
    assert float(to_scattering(total).sum()) / ball.weight.sum() == pytest.approx(kept, abs=0.02)


def test_no_copies(ball: BeadParticle) -> None:
    grid = Grid((32, 32), 5.0)
    total = blank(grid)
    splat_copies(total, ball, Copies(np.empty((0, 2)), Rotation.random(0), np.empty(0)), grid)
    assert not total.any()


def test_points_are_in_angstroms() -> None:
    grid = Grid((10, 12), 5.0)
    total, cells = blank(grid), count_cells(grid)
    splat_points(total, np.array([[20.0, 35.0], [20.7, 35.7]]), np.array([2.0, 3.0]), grid)
    assert cells > 1
    assert to_scattering(total)[4 * cells, 7 * cells] == 5
