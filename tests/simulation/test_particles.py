"""Particles as beads: their diameters, shapes and files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from relion_attn_picker.errors import InputError
from relion_attn_picker.simulation.particles import (
    PROTEIN_SCATTERING,
    SHAPES,
    BeadParticle,
    make_particle,
    procedural_particle,
    read_bead_particle,
)

RADIUS = 75.0


@pytest.fixture(scope="module")
def ball() -> BeadParticle:
    """A ball of protein of 150 Å, far off the origin, as a jittered grid of beads."""
    rng = np.random.default_rng(3)
    grid = np.stack(np.meshgrid(*[np.arange(-80.0, 81.0, 4.0)] * 3, indexing="ij"), axis=-1).reshape(-1, 3)
    grid += rng.uniform(-2, 2, grid.shape)
    xyz = grid[np.linalg.norm(grid, axis=1) <= RADIUS]
    return make_particle("ball", xyz + 500, np.full(len(xyz), PROTEIN_SCATTERING * 4.0**3), 2.0)


def test_ball_has_its_diameter(ball: BeadParticle) -> None:
    assert ball.diameter == pytest.approx(2 * RADIUS, rel=0.03)
    np.testing.assert_allclose(ball.xyz.mean(axis=0), 0, atol=1e-9)


@pytest.mark.parametrize("kind", SHAPES)
def test_shapes_are_balls_with_radii(kind: str, rng: np.random.Generator) -> None:
    for _ in range(10):
        balls = SHAPES[kind](rng)
        assert balls.shape[1] == 4
        assert (balls[:, 3] > 0.5).all()


def test_shell_is_hollow(rng: np.random.Generator) -> None:
    for _ in range(10):
        balls = SHAPES["shell"](rng)
        distance = np.linalg.norm(balls[:, :3], axis=1)
        assert (distance > balls[:, 3] / 2).all()


@pytest.mark.parametrize("diameter", [80.0, 400.0])
def test_procedural_particle_has_the_diameter_asked_for(diameter: float, rng: np.random.Generator) -> None:
    for _ in range(10):
        particle = procedural_particle(diameter, rng)
        assert particle.diameter == diameter
        again = make_particle("again", particle.xyz, particle.weight, particle.bead_radius)
        assert again.diameter == pytest.approx(diameter, rel=1e-6)
        assert (particle.weight > 0).all()


def test_procedural_particle_is_no_denser_than_protein(rng: np.random.Generator) -> None:
    for _ in range(10):
        particle = procedural_particle(150, rng)
        solid = PROTEIN_SCATTERING * 4 / 3 * np.pi * (particle.diameter / 2) ** 3
        assert 0.01 * solid < particle.weight.sum() < 1.1 * solid


def test_same_seed_same_particle() -> None:
    one, other = (procedural_particle(150, np.random.default_rng(5)) for _ in range(2))
    np.testing.assert_array_equal(one.xyz, other.xyz)


def write_beads(path: Path, **changes: object) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    beads = {
        "x": np.array([[0, 0, 0], [100, 0, 0]], dtype=np.int16),
        "unit": np.float32(0.5),
        "w": np.array([3.0, 1.0], dtype=np.float16),
        "sigma": np.float32(1.4),
    } | changes
    np.savez(path, **{name: value for name, value in beads.items() if value is not None})
    return path


def test_bead_file_is_in_its_unit(tmp_path: Path) -> None:
    particle = read_bead_particle(write_beads(tmp_path / "beads" / "one.npz"))
    assert particle.name == "one"
    np.testing.assert_allclose(particle.xyz[:, 0], [-12.5, 37.5])
    assert particle.bead_radius == pytest.approx(1.4)


def test_belt_of_a_membrane_protein_is_added(tmp_path: Path) -> None:
    path = write_beads(tmp_path / "beads" / "one.npz")
    write_beads(tmp_path / "micelle" / "one.npz", x=np.array([[0, 50, 0]] * 3), w=np.full(3, 2.0))
    particle = read_bead_particle(path)
    assert len(particle.xyz) == 5
    assert particle.weight.sum() == 10


@pytest.mark.parametrize(
    "changes",
    [
        {"x": None},
        {"x": np.zeros((2, 2))},
        {"x": np.zeros((0, 3)), "w": np.zeros(0)},
        {"x": np.full((2, 3), np.nan)},
        {"w": np.zeros(2)},
        {"w": np.full(2, np.inf)},
        {"unit": np.nan},
        {"unit": np.ones(3)},
        {"sigma": np.nan},
        {"sigma": -3.0},
    ],
)
def test_what_is_no_bead_file_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    path = write_beads(tmp_path / "one.npz", **changes)
    with pytest.raises(InputError, match=r"one\.npz.*beads"):
        read_bead_particle(path)


def test_single_array_is_refused(tmp_path: Path) -> None:
    with (tmp_path / "one.npz").open("wb") as file:
        np.save(file, np.zeros(3))
    with pytest.raises(InputError, match=r"one\.npz is not a file of scattering beads"):
        read_bead_particle(tmp_path / "one.npz")


@pytest.mark.parametrize("content", [b"", b"no archive", b"PK\x03\x04 cut short"])
def test_garbage_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "one.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match="is not a file of scattering beads"):
        read_bead_particle(path)


@pytest.mark.parametrize(("name", "low", "high"), [("6Z6U", 115, 135), ("4V1W", 115, 135), ("1F4A_map", 150, 190)])
def test_diameter_is_what_a_microscopist_types(shared_data: Path, name: str, low: float, high: float) -> None:
    assert low <= read_bead_particle(shared_data / "structures" / "beads" / f"{name}.npz").diameter <= high
