"""Coordinates of every kind that RELION writes; y and x are never mixed up."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from relion_attn_picker.errors import InputError
from relion_attn_picker.relion.coordinates import open_coordinates
from relion_attn_picker.relion.job_files import write_coordinate_index, write_coords_suffix, write_picks
from relion_attn_picker.relion.star import format_table, write_table

YX = np.array([[11, 52], [33, 4]], np.float32)
SCORE = np.array([0.75, 0.5], np.float32)
A, B = "MotionCorr/job002/raw/a.mrc", "MotionCorr/job002/raw/b.mrc"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose picking job found two particles on A and none on B."""
    folder = tmp_path / "External/job004"
    (folder / "raw").mkdir(parents=True)
    write_picks(folder / "raw/a_autopick.star", YX, SCORE, (100, 100))
    write_picks(folder / "raw/b_autopick.star", YX[:0], SCORE[:0], (100, 100))
    files = ["External/job004/raw/a_autopick.star", "External/job004/raw/b_autopick.star"]
    write_coordinate_index(folder / "autopick.star", [A, B], files)
    write_coords_suffix(folder / "coords_suffix_autopick.star", "micrographs.star")
    write_table(tmp_path / "micrographs.star", "micrographs", {"rlnMicrographName": [A, B]})
    return tmp_path


@pytest.mark.parametrize("given", ["", "autopick.star", "coords_suffix_autopick.star"])
def test_job_folder_and_its_lists(project: Path, given: str) -> None:
    coordinates = open_coordinates(project / "External/job004" / given, project)
    assert coordinates.micrograph_names is not None
    assert set(coordinates.micrograph_names) == {A, B}
    found, empty = coordinates.read(A), coordinates.read(B)
    assert found is not None and empty is not None and found.score is not None
    np.testing.assert_array_equal(found.yx, YX)
    np.testing.assert_array_equal(found.score, SCORE)
    assert found.yx.dtype == found.score.dtype == np.float32
    assert empty.yx.shape == (0, 2)
    assert coordinates.read("other.mrc") is None


@pytest.mark.parametrize("here", [".", "External", "External/job004"])
@pytest.mark.parametrize("given", ["autopick.star", "coords_suffix_autopick.star"])
def test_job_is_read_from_any_folder_of_its_project(
    project: Path, monkeypatch: pytest.MonkeyPatch, here: str, given: str
) -> None:
    """Paths in its lists begin at the project's folder, which is above the current one then."""
    monkeypatch.chdir(project / here)
    found = open_coordinates(Path("External/job004", given).relative_to(here)).read(A)
    assert found is not None
    np.testing.assert_array_equal(found.yx, YX)


@pytest.mark.parametrize("given", ["autopick.star", "coords_suffix_autopick.star"])
@pytest.mark.parametrize("is_absolute", [True, False])
def test_job_of_another_project_has_its_own_picks(
    project: Path, monkeypatch: pytest.MonkeyPatch, given: str, is_absolute: bool
) -> None:
    """The current project has a job of the same number, with files of the same names, as RELION projects do."""
    for name in ("here", "there"):
        shutil.copytree(project / "External", project / name / "External")
        shutil.copy(project / "micrographs.star", project / name)
    write_picks(project / "here/External/job004/raw/a_autopick.star", YX + 7, SCORE, (100, 100))
    monkeypatch.chdir(project / "here")
    folder = project / "there" if is_absolute else Path("../there")
    found = open_coordinates(folder / "External/job004" / given).read(A)
    assert found is not None
    np.testing.assert_array_equal(found.yx, YX)


def test_paths_relative_to_the_list(tmp_path: Path) -> None:
    write_picks(tmp_path / "a.star", YX, SCORE, (100, 100))
    write_coordinate_index(tmp_path / "truth.star", [A], ["a.star"])
    found = open_coordinates(tmp_path / "truth.star", tmp_path / "elsewhere").read(A)
    assert found is not None
    np.testing.assert_array_equal(found.yx, YX)


@pytest.mark.parametrize(("current", "given"), [("External", "job004"), ("External/job004", "autopick.star")])
def test_list_read_from_a_folder_within_the_project(
    project: Path, monkeypatch: pytest.MonkeyPatch, current: str, given: str
) -> None:
    monkeypatch.chdir(project / current)
    found = open_coordinates(Path(given)).read(A)
    assert found is not None
    np.testing.assert_array_equal(found.yx, YX)


def test_listed_file_is_missing(project: Path) -> None:
    (project / "External/job004/raw/a_autopick.star").unlink()
    coordinates = open_coordinates(project / "External/job004/autopick.star", project)
    with pytest.raises(InputError, match=r"a_autopick\.star"):
        coordinates.read(A)


def test_empty_file_of_relion_means_no_particles(project: Path) -> None:
    (project / "External/job004/raw/a_autopick.star").write_bytes(b"")
    found = open_coordinates(project / "External/job004/autopick.star", project).read(A)
    assert found is not None
    assert found.yx.shape == (0, 2)


def test_single_file_fits_any_name(project: Path) -> None:
    coordinates = open_coordinates(project / "External/job004/raw/a_autopick.star")
    found = coordinates.read("whatever")
    assert coordinates.micrograph_names is None
    assert found is not None
    np.testing.assert_array_equal(found.yx, YX)


def test_refined_particles_are_shifted(tmp_path: Path) -> None:
    """At 2 Å/px an origin of +4 Å moves the centre by -2 px, as RELION's re-extraction does."""
    optics: dict[str, list[object]] = {"rlnOpticsGroup": [1], "rlnMicrographPixelSize": [2.0]}
    particles: dict[str, list[object]] = {
        "rlnMicrographName": [B, A, B],
        "rlnOpticsGroup": [1, 1, 1],
        "rlnCoordinateX": [10.0, 20.0, 30.0],
        "rlnCoordinateY": [1.0, 2.0, 3.0],
        "rlnOriginXAngst": [4.0, 0.0, 0.0],
        "rlnOriginYAngst": [0.0, 0.0, -2.0],
    }
    path = tmp_path / "particles.star"
    write_table(path, "optics", optics)
    text = path.read_text()
    write_table(path, "particles", particles)
    path.write_text(text + path.read_text())
    coordinates = open_coordinates(path)
    assert coordinates.micrograph_names == (B, A)
    found = coordinates.read(B)
    assert found is not None
    np.testing.assert_allclose(found.yx, [[1, 8], [4, 30]])


def test_refined_shifts_are_of_the_micrographs_own_pixels(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Movies of 1 Å binned to 2 Å, boxes rescaled to 4 Å: Extract writes 1 and 4 only, but 8 Å are 4 pixels."""
    optics = {"rlnOpticsGroup": [1], "rlnMicrographOriginalPixelSize": [1.0], "rlnImagePixelSize": [4.0]}
    row = {"rlnOpticsGroup": [1, 1], "rlnCoordinateX": [50.0, 50.0], "rlnCoordinateY": [60.0, 60.0]}
    row |= {"rlnMicrographName": [A, B], "rlnOriginXAngst": [8.0, 8.0], "rlnOriginYAngst": [-2.0, -2.0]}
    (tmp_path / "p.star").write_text(format_table("optics", optics) + format_table("particles", row))
    coordinates = open_coordinates(tmp_path / "p.star", pixel_sizes={A: 2.0, B: 0.5})
    assert [coordinates.read(name).yx.tolist() for name in (A, B)] == [[[61, 46]], [[64, 34]]]  # type: ignore[union-attr]
    assert caplog.text == ""
    other = open_coordinates(tmp_path / "p.star", pixel_sizes={A: 2.0}).read(B)
    assert other is not None and other.yx.tolist() == [[62, 42]]
    assert "does not tell the pixel size of the micrographs" in caplog.text


def test_refined_shifts_without_optics_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    row = {"rlnMicrographName": [A], "rlnCoordinateX": [50.0], "rlnCoordinateY": [60.0]}
    write_table(tmp_path / "p.star", "", row | {"rlnOriginXAngst": [8.0], "rlnOriginYAngst": [2.0]})
    found = open_coordinates(tmp_path / "p.star").read(A)
    assert found is not None and found.yx.tolist() == [[60, 50]]
    assert "has refined centres but no optics table: 1 are not applied" in caplog.text


@pytest.mark.parametrize(("x", "message"), [("word", "number"), ("nan", "finite")])
def test_bad_coordinate(tmp_path: Path, x: str, message: str) -> None:
    write_table(tmp_path / "c.star", "", {"rlnCoordinateX": [x], "rlnCoordinateY": [1.0]})
    with pytest.raises(InputError, match=message):
        open_coordinates(tmp_path / "c.star")


def test_particles_of_tomograms_are_refused(tmp_path: Path) -> None:
    """Those of 4.0 have X and Y beside Z, and would be taken for the points of one micrograph."""
    columns = ["rlnTomoName", "rlnCoordinateX", "rlnCoordinateY", "rlnCoordinateZ"]
    write_table(tmp_path / "p.star", "particles", dict(zip(columns, (["TS_01"], [1.0], [2.0], [3.0]), strict=True)))
    with pytest.raises(InputError, match="lists particles of tomograms: expected coordinates on single-particle"):
        open_coordinates(tmp_path / "p.star")


def test_file_without_coordinates(project: Path) -> None:
    with pytest.raises(InputError, match="holds no coordinates"):
        open_coordinates(project / "micrographs.star")


def test_folder_without_coordinates(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="holds no coordinates"):
        open_coordinates(tmp_path)


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no coordinates at"):
        open_coordinates(tmp_path / "absent.star")


def test_suffix_file_with_blanks_in_its_path(project: Path) -> None:
    (project / "micrographs.star").rename(project / "my micrographs.star")
    folder = project / "External/job004"
    write_coords_suffix(folder / "coords_suffix_autopick.star", "my micrographs.star")
    assert open_coordinates(folder / "coords_suffix_autopick.star", project).micrograph_names == (A, B)


def test_suffix_file_that_is_no_text(tmp_path: Path) -> None:
    (tmp_path / "coords_suffix_autopick.star").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is no text: expected the path"):
        open_coordinates(tmp_path / "coords_suffix_autopick.star")


def test_micrograph_that_is_listed_twice(tmp_path: Path) -> None:
    write_coordinate_index(tmp_path / "autopick.star", ["a.mrc", "b.mrc", "a.mrc"], ["1.star", "2.star", "3.star"])
    with pytest.raises(InputError, match=r"lists the micrograph a\.mrc twice"):
        open_coordinates(tmp_path)


def test_empty_suffix_file(tmp_path: Path) -> None:
    (tmp_path / "coords_suffix_autopick.star").write_text("\n")
    with pytest.raises(InputError, match="is empty: expected the path of a micrographs STAR file"):
        open_coordinates(tmp_path / "coords_suffix_autopick.star")


@pytest.mark.parametrize(
    ("optics", "message"),
    [
        ({"rlnOpticsGroup": [1], "rlnVoltage": [300.0]}, "no rlnOpticsGroup with a pixel size"),
        ({"rlnOpticsGroup": [2], "rlnImagePixelSize": [2.0]}, "no pixel size for a group"),
    ],
)
def test_refined_centres_without_pixel_size(tmp_path: Path, optics: dict[str, list[object]], message: str) -> None:
    row = {"rlnMicrographName": A, "rlnOpticsGroup": 1, "rlnCoordinateX": 1.0, "rlnCoordinateY": 2.0}
    row |= {"rlnOriginXAngst": 1.0, "rlnOriginYAngst": 0.0}
    particles = {label: [value] for label, value in row.items()}
    (tmp_path / "p.star").write_text(format_table("optics", optics) + format_table("particles", particles))
    with pytest.raises(InputError, match=message):
        open_coordinates(tmp_path / "p.star")


def test_refined_centres_of_3_0_are_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    row = {"rlnMicrographName": A, "rlnCoordinateX": 1.0, "rlnCoordinateY": 2.0, "rlnOriginX": 3.0, "rlnOriginY": 0.0}
    write_table(tmp_path / "p.star", "", {label: [value] for label, value in row.items()})
    found = open_coordinates(tmp_path / "p.star").read(A)
    assert found is not None
    np.testing.assert_array_equal(found.yx, [[2, 1]])
    assert "is of RELION 3.0: its refined centres" in caplog.text


def test_pixel_size_is_told_if_it_is_one(tmp_path: Path) -> None:
    optics = {"rlnOpticsGroup": [1, 2], "rlnMicrographPixelSize": [2.0, 2.0]}
    particles = {"rlnMicrographName": [A], "rlnCoordinateX": [1.0], "rlnCoordinateY": [2.0]}
    (tmp_path / "p.star").write_text(format_table("optics", optics) + format_table("particles", particles))
    assert open_coordinates(tmp_path / "p.star").pixel_size == 2.0
    optics["rlnMicrographPixelSize"][1] = 3.0
    (tmp_path / "p.star").write_text(format_table("optics", optics) + format_table("particles", particles))
    assert open_coordinates(tmp_path / "p.star").pixel_size is None


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.box", b"10 20 64 64\n30 40 64 64\n"),
        ("picks.txt", b"image_name\tx_coord\ty_coord\tscore\na\t10\t20\t1.5\n"),
        ("a.cbox", b"data_cbox\n\nloop_\n_CoordinateX #1\n_CoordinateY #2\n10 20\n"),
        ("picks.cs", b"\x93NUMPY\x01\x00\xff\xfe"),
    ],
)
def test_format_of_another_program_points_to_convert(tmp_path: Path, name: str, content: bytes) -> None:
    (tmp_path / name).write_bytes(content)
    for path in (tmp_path / name, tmp_path):
        with pytest.raises(InputError, match="; attnpick convert makes STAR files of other programs' coordinates"):
            open_coordinates(path)
