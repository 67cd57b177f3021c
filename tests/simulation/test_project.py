"""The miniature project is read back by what reads real projects."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.mrc import read_image
from relion_attn_picker.relion.coordinates import open_coordinates
from relion_attn_picker.relion.micrographs import read_micrographs
from relion_attn_picker.simulation.particles import PROTEIN_SCATTERING, BeadParticle, make_particle
from relion_attn_picker.simulation.project import write_project


def ball(radius: float, count: int) -> BeadParticle:
    rng = np.random.default_rng(0)
    points = rng.normal(size=(count, 3))
    points *= (radius * rng.random((count, 1)) ** (1 / 3)) / np.linalg.norm(points, axis=1, keepdims=True)
    weight = np.full(count, PROTEIN_SCATTERING * 4 / 3 * np.pi * radius**3 / count)
    return make_particle("ball", points, weight, 0.5)


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
