"""Maps as particles against a ball, whose volume, diameter and centre are known."""

from __future__ import annotations

from pathlib import Path

import mrcfile
import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.ndimage import gaussian_filter

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.volume import Volume
from relion_attn_picker.simulation import maps
from relion_attn_picker.simulation.maps import PROTEIN_VOLUME, average_voxels, otsu_threshold, read_map_particle
from relion_attn_picker.simulation.particles import PROTEIN_SCATTERING

RADIUS = 40.0


def ball(voxel: float, radius: float = RADIUS, box: float = 120.0) -> NDArray[np.float32]:
    """Return a ball of density 3 on a ground of 1 with noise of 0.1, a little off the middle of the box."""
    n = round(box / voxel)
    z, y, x = (np.mgrid[:n, :n, :n] + 0.5) * voxel
    inside = (z - 0.5 * box) ** 2 + (y - 0.5 * box) ** 2 + (x - 0.55 * box) ** 2 <= radius**2
    noise = np.random.default_rng(1).normal(0, 0.1, inside.shape)
    return (1 + 2 * inside + noise).astype(np.float32)


def write(path: Path, values: NDArray[np.float32], voxel: float) -> Path:
    with mrcfile.new(path, data=values, overwrite=True) as mrc:
        mrc.voxel_size = voxel
    return path


@pytest.mark.parametrize("voxel", [1.0, 2.5, 6.0])
def test_ball_without_mass(tmp_path: Path, voxel: float) -> None:
    particle = read_map_particle(write(tmp_path / "emd_1.map", ball(voxel), voxel))
    assert particle.name == "emd_1"
    assert particle.weight.sum() == pytest.approx(PROTEIN_SCATTERING * 4 / 3 * np.pi * RADIUS**3, rel=0.05)
    assert particle.diameter == pytest.approx(2 * RADIUS * 0.95 ** (1 / 3) + 2 * particle.bead_radius, abs=voxel + 1)
    radius_of_gyration = np.sqrt(np.average(np.square(particle.xyz).sum(axis=1), weights=particle.weight))
    assert radius_of_gyration == pytest.approx(np.sqrt(3 / 5) * RADIUS, rel=0.03)


@pytest.mark.parametrize("threshold", [None, 1.8])
def test_mass_sets_the_scattering(tmp_path: Path, threshold: float | None) -> None:
    path = write(tmp_path / "a.mrc", ball(3.0), 3.0)
    particle = read_map_particle(path, mass=200.0, threshold=threshold)
    assert particle.weight.sum() == pytest.approx(PROTEIN_SCATTERING * 200_000 * PROTEIN_VOLUME)
    enclosed = 200_000 * PROTEIN_VOLUME if threshold is None else 4 / 3 * np.pi * RADIUS**3
    assert len(particle.xyz) * 3.0**3 == pytest.approx(enclosed, rel=0.05)


def test_denser_parts_weigh_more(tmp_path: Path) -> None:
    values = np.zeros((20, 20, 20), np.float32)
    values[6:14, 6:14, 6:10], values[6:14, 6:14, 10:14] = 1, 3  # along x
    particle = read_map_particle(write(tmp_path / "a.mrc", values, 4.0), threshold=0.5)
    assert particle.weight.max() == pytest.approx(3 * particle.weight.min())
    is_dense = particle.weight > 2 * particle.weight.min()
    np.testing.assert_allclose(particle.xyz[is_dense].mean(axis=0), [4, 0, 0], atol=1e-9)
    np.testing.assert_allclose(particle.xyz[~is_dense].mean(axis=0), [-12, 0, 0], atol=1e-9)


def test_dust_is_left_out(tmp_path: Path) -> None:
    values = ball(4.0)
    values[1:3, 1:3, 1:3] = 3
    particle = read_map_particle(write(tmp_path / "a.mrc", values, 4.0))
    assert np.linalg.norm(particle.xyz, axis=1).max() < RADIUS + 6


def test_large_map_is_averaged_further(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(maps, "MAX_BEADS", 500)
    particle = read_map_particle(write(tmp_path / "a.mrc", gaussian_filter(ball(2.0), 1), 2.0))
    assert len(particle.xyz) <= 500
    assert particle.weight.sum() == pytest.approx(PROTEIN_SCATTERING * 4 / 3 * np.pi * RADIUS**3, rel=0.15)


def test_average_keeps_every_voxel_of_whole_blocks(rng: np.random.Generator) -> None:
    volume = Volume(rng.normal(size=(6, 5, 4)).astype(np.float32), (1.0, 3.0, 1.5))
    coarse = average_voxels(volume, 3.0)
    assert coarse.voxel_size == (3.0, 3.0, 3.0)
    assert coarse.values.shape == (2, 5, 2)
    assert coarse.values[1, 4, 0] == pytest.approx(volume.values[3:6, 4, 0:2].mean(), rel=1e-5)


def test_otsu_parts_two_groups(rng: np.random.Generator) -> None:
    values = np.concatenate([rng.normal(0, 1, 9000), rng.normal(10, 1, 500)]).astype(np.float32)
    assert 3.5 < otsu_threshold(values) < 7


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"threshold": 50.0}, "no voxel reaches the threshold of 50; the highest is"),
        ({"threshold": -5.0}, "below the density of the solvent"),
        ({"mass": -1.0}, "The mass is -1 kDa: expected more than 0"),
        ({"mass": 1e6}, "more than half of the map"),
    ],
)
def test_bad_options(tmp_path: Path, options: dict[str, float], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        read_map_particle(write(tmp_path / "a.mrc", ball(4.0), 4.0), **options)


def test_mass_that_is_more_than_a_masked_map_shows(tmp_path: Path) -> None:
    masked = np.where(ball(4.0) > 2, ball(4.0), 0).astype(np.float32)
    with pytest.raises(InputError, match="below the density of the solvent; the mass is more than the map shows"):
        read_map_particle(write(tmp_path / "masked.mrc", masked, 4.0), mass=500.0)
