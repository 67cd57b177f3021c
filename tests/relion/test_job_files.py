"""What a job leaves for RELION, read back by independent readers."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import starfile

from relion_attn_picker.errors import InputError
from relion_attn_picker.relion.job_files import (
    read_failures,
    write_coordinate_index,
    write_coords_suffix,
    write_failures,
    write_picks,
    write_summary,
)
from relion_attn_picker.relion.star import write_table

HEADER = (
    "\n# version 30001\n\ndata_\n\nloop_ \n_rlnCoordinateX #1 \n_rlnCoordinateY #2 \n_rlnAutopickFigureOfMerit #3 \n"
    "_rlnClassNumber #4 \n_rlnAnglePsi #5 \n"
)


def points(*yx: tuple[float, float]) -> tuple[np.ndarray, np.ndarray]:  # type: ignore[type-arg]
    return np.array(yx, np.float32).reshape(-1, 2), np.full(len(yx), 0.5, np.float32)


def test_picks_to_the_byte(tmp_path: Path) -> None:
    write_picks(tmp_path / "m_autopick.star", *points((166.7, 273.3)), (480, 640))
    row = "  273.000000   167.000000     0.500000            0     0.000000 \n"
    assert (tmp_path / "m_autopick.star").read_text() == HEADER + row + " \n"


def test_no_picks_leave_a_header(tmp_path: Path) -> None:
    write_picks(tmp_path / "m_autopick.star", *points(), (480, 640))
    assert (tmp_path / "m_autopick.star").read_text() == HEADER + " \n"


def test_picks_stay_inside_a_rectangular_image(tmp_path: Path) -> None:
    write_picks(tmp_path / "m.star", *points((-3, -9), (479.8, 639.9), (900, 10)), (480, 640))
    table = starfile.read(tmp_path / "m.star")
    assert table["rlnCoordinateX"].tolist() == [0, 639, 10]
    assert table["rlnCoordinateY"].tolist() == [0, 479, 479]


def test_nothing_unfinished_is_left(tmp_path: Path) -> None:
    path = tmp_path / "m_autopick.star"
    path.write_text("earlier")
    write_picks(path, *points((1, 2)), (9, 9))
    assert [file.name for file in tmp_path.iterdir()] == ["m_autopick.star"]
    assert "earlier" not in path.read_text()


def test_index(tmp_path: Path) -> None:
    names = ["MotionCorr/job002/raw/a.mrc", "with blank.mrc", "12"]
    files = [f"External/job004/{number}_autopick.star" for number in range(3)]
    write_coordinate_index(tmp_path / "autopick.star", names, files)
    text = starfile.read(tmp_path / "autopick.star", always_dict=True, parse_as_string=["rlnMicrographName"])
    assert list(text) == ["coordinate_files"]
    assert text["coordinate_files"]["rlnMicrographName"].tolist() == names
    assert text["coordinate_files"]["rlnMicrographCoordinates"].tolist() == files


def test_coords_suffix_is_the_given_path(tmp_path: Path) -> None:
    write_coords_suffix(tmp_path / "coords_suffix_autopick.star", "CtfFind/job003/micrographs_ctf.star")
    assert (tmp_path / "coords_suffix_autopick.star").read_text() == "CtfFind/job003/micrographs_ctf.star\n"


def test_summary(tmp_path: Path) -> None:
    write_summary(tmp_path / "summary.star", ["a.mrc"], [0.069468], [197])
    table = starfile.read(tmp_path / "summary.star")
    assert table.to_dict("list") == {
        "rlnMicrographName": ["a.mrc"],
        "rlnAutopickFigureOfMerit": [0.069468],
        "rlnGroupNrParticles": [197],
    }


def read_reason(tmp_path: Path, reason: str) -> str:
    write_failures(tmp_path / "failed.star", ["a.mrc"], [reason])
    table = starfile.read(tmp_path / "failed.star")
    assert table.shape == (1, 2)
    return str(table.iloc[0, 1])


def test_reason_with_line_break(tmp_path: Path) -> None:
    assert read_reason(tmp_path, "a.mrc ends early #1:\nexpected more") == "a.mrc ends early #1: expected more"


@pytest.mark.parametrize("reason", ['"a.mrc" ends early', "the file's header is short"])
def test_reason_with_quotes(tmp_path: Path, reason: str) -> None:
    assert "a" in read_reason(tmp_path, reason)


@pytest.mark.parametrize("name", ["O'Brien/a.mrc", "Ann's own/a.mrc", "0012"])
def test_failed_name_to_the_letter(tmp_path: Path, name: str) -> None:
    write_failures(tmp_path / "failed.star", [name], ["12"])
    assert read_failures(tmp_path / "failed.star") == {name: "12"}


@pytest.mark.parametrize("name", ['a"b.mrc', "a\nb.mrc", "a\rb.mrc"])
def test_name_that_star_cannot_hold(tmp_path: Path, name: str) -> None:
    with pytest.raises(InputError, match="cannot be written into a STAR file"):
        write_table(tmp_path / "t.star", "", {"rlnMicrographName": [name]})
    assert list(tmp_path.iterdir()) == []


def test_lists_to_the_byte(tmp_path: Path) -> None:
    mic, file = "MotionCorr/job002/raw/sub/mic001.mrc", "External/job004/raw/sub/mic001_autopick.star"
    write_coordinate_index(tmp_path / "autopick.star", [mic], [file])
    write_summary(tmp_path / "summary.star", [mic], [0.069468], [197])
    assert (tmp_path / "autopick.star").read_text() == (
        "\n# version 30001\n\ndata_coordinate_files\n\nloop_ \n_rlnMicrographName #1 \n_rlnMicrographCoordinates #2 \n"
        f"{mic} {file} \n \n"
    )
    assert (tmp_path / "summary.star").read_text() == (
        "\n# version 30001\n\ndata_\n\nloop_ \n_rlnMicrographName #1 \n_rlnAutopickFigureOfMerit #2 \n"
        f"_rlnGroupNrParticles #3 \n{mic} 0.069468 197 \n \n"
    )
