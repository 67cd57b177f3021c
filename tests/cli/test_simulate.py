"""``attnpick simulate`` from the command line: particles of every kind, and bad input told in one sentence."""

from __future__ import annotations

import json
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from relion_attn_picker.cli import group
from relion_attn_picker.cli._plain_command import run_plain_command
from relion_attn_picker.options import DIRT_NAMES, PIXEL_TYPES
from relion_attn_picker.simulation.project import CONVERT
from relion_attn_picker.simulation.session import DIRT

SMALL = ["--count", "1", "--width", "150", "--height", "128", "--pixel_size", "6"]


def simulate(out: Path, *arguments: str) -> int:
    return run_plain_command(group, ["simulate", "--out", str(out), *SMALL, *arguments])


def write_ball_map(path: Path) -> Path:
    n = 40
    inside = sum(np.square(axis - n / 2) for axis in np.ogrid[:n, :n, :n]) <= 15**2
    with mrcfile.new(path, data=np.asarray(inside, dtype=np.float32)) as mrc:
        mrc.voxel_size = 4.0
    return path


def write_beads(path: Path) -> Path:
    path.parent.mkdir(exist_ok=True)
    xyz = np.random.default_rng(1).normal(0, 60, (300, 3))
    np.savez(path, x=xyz.astype(np.int16), unit=1.0, w=np.full(300, 30.0), sigma=3.0)
    return path


def test_names_of_variants_agree() -> None:
    assert tuple(DIRT) == DIRT_NAMES
    assert tuple(CONVERT) == PIXEL_TYPES


def test_procedural_particle(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--diameter", "130", "--dose", "40", "--defocus", "1", "1.2", "--pixel-type", "int16"]
    assert simulate(tmp_path / "p", *arguments) == 0
    assert "particles of 130 Å" in capsys.readouterr().out
    options = json.loads((tmp_path / "p/simulation.json").read_text())["options"]
    assert options["shape"] == [128, 150]
    assert options["defocus"] == [10_000, 12_000]
    assert options["pixel_type"] == "int16"


def test_map(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = write_ball_map(tmp_path / "ball.mrc")
    assert simulate(tmp_path / "p", "--particle", str(path), "--mass", "400") == 0
    particle = json.loads((tmp_path / "p/simulation.json").read_text())["particle"]
    assert particle["name"] == "ball"
    assert particle["source"] == str(path)
    assert particle["scattering"] == pytest.approx(0.0724 * 400_000 * 1.23, rel=1e-3)


def test_folder_shows_one_of_its_particles(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("one", "two", "three"):
        write_beads(tmp_path / "beads" / f"{name}.npz")
    assert simulate(tmp_path / "p", "--particle", str(tmp_path / "beads"), "--exclude", "one", "--exclude", "two") == 0
    assert "three: one of 1 structures of beads (1 protein), without one.npz, two.npz" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("a.xyz", b"", "has no suffix that is known here"),
        ("a.npz", b"PK\x03\x04 cut", "is not a file of scattering beads"),
        ("a.mrc", b"nothing", "is not an MRC map"),
        ("b.npz", b"no archive", "is not a file of scattering beads (no npz archive)"),
        ("absent", None, "absent: check the path"),
        ("absent.npz", None, "There is no file"),
        ("folder", "folder", "holds no bead files, atomic models or maps"),
    ],
)
def test_bad_particle(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], name: str, content: bytes | str | None, sentence: str
) -> None:
    if isinstance(content, bytes):
        (tmp_path / name).write_bytes(content)
    elif content is not None:
        (tmp_path / name).mkdir()
    assert simulate(tmp_path / "p", "--particle", str(tmp_path / name)) == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--mass", "100"], "--map_threshold need --particle"),
        (["--exclude", "ferritin"], "need --particle"),
        (["--particle", "BEADS", "--diameter", "100"], "--diameter is for procedural particles"),
        (["--particle", "BEADS", "--exclude", "a"], "choose from a folder"),
        (["--particle", "BEADS", "--assembly", "1"], "read without the option assembly"),
        (["--particle", "FOLDER", "--mass", "1"], "is a folder"),
        (["--particle", "FOLDER", "--exclude", "feritin"], "'feritin' fits no particle"),
        (["--diameter", "800"], "is too large for a field of 768 Å"),
        (["--diameter", "-5"], "The particle diameter is -5 Å"),
        (["--snr", "2", "1"], "The signal-to-noise ratio is 2 to 1: expected 0.001 to 100, the lower number first."),
        (["--defocus", "8000", "20000"], "--defocus is 8000 20000 µm: expected 10 or less; 10,000 Å are 1 µm."),
    ],
)
def test_options_that_cannot_be_meant(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    beads = write_beads(tmp_path / "beads" / "one.npz")
    places = {"BEADS": str(beads), "FOLDER": str(beads.parent)}
    assert simulate(tmp_path / "p", *[places.get(argument, argument) for argument in arguments]) == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert not (tmp_path / "p").exists()


@pytest.mark.parametrize(
    ("out", "sentence"),
    [("", "--out is empty: expected the folder"), ("/proc/x", "The folder /proc/x cannot be made or written to")],
)
def test_folder_that_cannot_be_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], out: str, sentence: str
) -> None:
    if out and not Path(out).parent.is_dir():
        pytest.skip(f"no {Path(out).parent} on this system")
    monkeypatch.chdir(tmp_path)
    assert run_plain_command(group, ["simulate", "--out", out, *SMALL]) == 1
    error = capsys.readouterr().err
    assert sentence in error
    assert error.count("\n") == 1
    assert list(tmp_path.iterdir()) == []
