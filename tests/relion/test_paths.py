"""RELION's rule for the place of a coordinate file; the expected answers were printed by RELION 3.1.3's Extract."""

from __future__ import annotations

from pathlib import Path

import pytest

from relion_attn_picker.errors import InputError
from relion_attn_picker.relion.paths import coordinate_name, job_name

CASES = {
    "real.mrc": "real_autopick.star",
    "MotionCorr/job002/raw/sub/a.mrc": "raw/sub/a_autopick.star",
    "/d/MotionCorr/job009/raw/m.mrc": "raw/m_autopick.star",
    "/data/x/m2.mrc": "/data/x/m2_autopick.star",
    "job001/x.mrc": "x_autopick.star",
    "M/job0012/x/job003/y.mrc": "x/job003/y_autopick.star",
    "M/job1000/y.mrc": "y_autopick.star",
    "M/job12/x.mrc": "M/job12/x_autopick.star",
    "M/job00x/y.mrc": "M/job00x/y_autopick.star",
    "M//job004/z.mrc": "z_autopick.star",
    "a.b/c.d.mrc": "a.b/c.d_autopick.star",
    "noext": "noext_autopick.star",
    "a'b.mrc": "a'b_autopick.star",
    "a#b.mrc": "a#b_autopick.star",
    "with blank.mrc": "with blank_autopick.star",
    "é.mrc": "é_autopick.star",
    "Movies/210315-101112_0001.mrc": "Movies/210315-101112_0001_autopick.star",
}


@pytest.mark.parametrize(("name", "expected"), CASES.items())
def test_place_of_coordinates(name: str, expected: str) -> None:
    assert coordinate_name(name, "autopick") == expected


RARE = {
    "dir.v1/mic": "dir_autopick.star",
    "job001/job002/x.mrc": "x_autopick.star",
    "/job001/x.mrc": "/job001/x_autopick.star",
    "Micrographs/job001_m.mrc": "_autopick.star",
    "raw/.mrc": "raw/_autopick.star",
    "M/job012": "_autopick.star",
}


@pytest.mark.parametrize(("name", "expected"), RARE.items())
def test_rare_names(name: str, expected: str) -> None:
    assert coordinate_name(name, "autopick") == expected


@pytest.mark.parametrize("name", ["../a.mrc", "raw/../../a.mrc", "MotionCorr/job002/../../../a.mrc"])
def test_name_that_leaves_the_folder(name: str) -> None:
    with pytest.raises(InputError, match="outside the job folder"):
        coordinate_name(name, "autopick")


def test_depth_limit() -> None:
    assert coordinate_name("d/" * 20 + "a.mrc", "autopick").endswith("/a_autopick.star")
    with pytest.raises(InputError, match="more than 20 slashes"):
        coordinate_name("d/" * 21 + "a.mrc", "autopick")


@pytest.mark.parametrize(
    "given", ["External/job004", "External/picks/", "./External/../External/job004", "{}/External/picks"]
)
def test_job_is_called_as_relion_calls_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, given: str) -> None:
    """By an alias, or by its whole path, it is the same job, and its lists must outlive the alias."""
    (tmp_path / "External/job004").mkdir(parents=True)
    (tmp_path / "External/picks").symlink_to("../External/job004")
    monkeypatch.chdir(tmp_path)
    assert job_name(Path(given.format(tmp_path))) == "External/job004"


def test_job_outside_the_project_keeps_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("project", "disk/job004"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "project/External").symlink_to("../disk")
    monkeypatch.chdir(tmp_path / "project")
    assert job_name(Path("External/job004")) == "External/job004"
    assert job_name(tmp_path / "disk/job004") == str(tmp_path / "disk/job004")
