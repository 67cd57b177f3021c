"""Micrographs STAR files of four RELIONs, good and bad."""

from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from relion_attn_picker.errors import InputError
from relion_attn_picker.micrograph import CtfParameters, Micrograph, OpticsGroup
from relion_attn_picker.relion.micrographs import read_micrographs, write_micrographs

OPTICS = ["rlnOpticsGroupName", "rlnOpticsGroup", "rlnMicrographPixelSize", "rlnVoltage"]
LISTED = ["rlnMicrographName", "rlnOpticsGroup"]
GROUP_1 = "opticsGroup1 1 1.5 300"
OLD = ["rlnMicrographName", "rlnMagnification", "rlnDetectorPixelSize", "rlnVoltage"]


def table(block: str, labels: list[str], *rows: str) -> str:
    header = "".join(f"_{label} #{number} \n" for number, label in enumerate(labels, start=1))
    return f"\n# version 30001\n\ndata_{block}\n\nloop_ \n{header}" + "".join(f"{row} \n" for row in rows) + " \n"


def star(tmp_path: Path, *tables: str) -> Path:
    path = tmp_path / "micrographs.star"
    path.write_bytes("".join(tables).encode())
    return path


def good(*rows: str) -> str:
    return table("optics", OPTICS, GROUP_1) + table("micrographs", LISTED, *rows)


def test_names_and_optics(tmp_path: Path) -> None:
    a, b = read_micrographs(star(tmp_path, good("raw/a.mrc 1", "b.mrc 1")))
    assert (a.name, b.name) == ("raw/a.mrc", "b.mrc")
    assert (a.optics.pixel_size, a.optics.voltage, a.optics.name) == (1.5, 300, "opticsGroup1")
    assert a.ctf is None


def test_unsorted_groups_of_different_pixel_size(tmp_path: Path) -> None:
    text = table("optics", OPTICS, "b 7 0.8 300", "a 2 1.2 200") + table("micrographs", LISTED, "x 2", "y 7", "z 2")
    assert [m.optics.pixel_size for m in read_micrographs(star(tmp_path, text))] == [1.2, 0.8, 1.2]


def test_relion_3_0_pixel_size(tmp_path: Path) -> None:
    text = table("", OLD, "a.mrc 50000 5 300", "b.mrc 25000 5 300", "c.mrc 50000 5 300")
    a, b, c = read_micrographs(star(tmp_path, text))
    assert (a.optics.pixel_size, b.optics.pixel_size) == (1.0, 2.0)
    assert a.optics == c.optics != b.optics


def test_given_pixel_size_wins(tmp_path: Path) -> None:
    assert read_micrographs(star(tmp_path, good("a.mrc 1")), 0.9)[0].optics.pixel_size == 0.9


def test_given_pixel_size_in_place_of_none(tmp_path: Path) -> None:
    path = star(tmp_path, table("", ["rlnMicrographName"], "a.mrc"))
    assert read_micrographs(path, 0.9)[0].optics.pixel_size == 0.9


def test_image_pixel_size_is_taken_with_a_warning(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    labels = [label.replace("MicrographPixel", "ImagePixel") for label in OPTICS]
    path = star(tmp_path, table("optics", labels, GROUP_1), table("micrographs", LISTED, "a.mrc 1"))
    with caplog.at_level(logging.WARNING):
        assert read_micrographs(path)[0].optics.pixel_size == 1.5
    assert "rlnImagePixelSize is taken" in caplog.text


def test_image_pixel_size_is_not_taken_where_one_is_given(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    labels = [label.replace("MicrographPixel", "ImagePixel") for label in OPTICS]
    path = star(tmp_path, table("optics", labels, GROUP_1), table("micrographs", LISTED, "a.mrc 1"))
    assert read_micrographs(path, 0.9)[0].optics.pixel_size == 0.9
    assert not caplog.text


def test_ctf(tmp_path: Path) -> None:
    labels = [*LISTED, "rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle", "rlnPhaseShift"]
    path = star(tmp_path, table("optics", OPTICS, GROUP_1), table("micrographs", labels, "a 1 12000 11000 30 90"))
    ctf = read_micrographs(path)[0].ctf
    assert ctf is not None
    assert (ctf.defocus_u, ctf.defocus_v, ctf.defocus_angle, ctf.phase_shift) == (12000, 11000, 30, 90)


@pytest.mark.parametrize("name", ["12", "0012", "1e5", "été/µ.mrc", "a=b,c.mrc"])
def test_name_to_the_letter(tmp_path: Path, name: str) -> None:
    assert read_micrographs(star(tmp_path, good(f"{name} 1")))[0].name == name


@pytest.mark.parametrize("quote", ["'", '"'])
@pytest.mark.parametrize("name", ["a b.mrc", "Ann's a b.mrc"])
def test_quoted_name_with_blank(tmp_path: Path, name: str, quote: str) -> None:
    assert read_micrographs(star(tmp_path, good(f"{quote}{name}{quote} 1")))[0].name == name


@pytest.mark.parametrize("name", ["a'b.mrc", "a#b.mrc", "data_001.mrc", "data_2024/a#b.mrc"])
def test_name_that_starfile_alone_spoils(tmp_path: Path, name: str) -> None:
    assert [m.name for m in read_micrographs(star(tmp_path, good(f"{name} 1", "c.mrc 1")))] == [name, "c.mrc"]


def test_line_ends_of_windows(tmp_path: Path) -> None:
    path = star(tmp_path, good("a.mrc 1").replace("\n", "\r\n"))
    assert [m.name for m in read_micrographs(path)] == ["a.mrc"]


def test_twenty_thousand_rows_are_fast(tmp_path: Path) -> None:
    path = star(tmp_path, good(*(f"MotionCorr/job002/m{number}.mrc 1" for number in range(20_000))))
    read_micrographs(path)
    start = time.perf_counter()
    assert len(read_micrographs(path)) == 20_000
    assert time.perf_counter() - start < 2


BAD = {
    "no_rows": (good(), "."),
    "undefined_group": (good("a.mrc 2"), "group"),
    "duplicate_names": (good("a.mrc 1", "a.mrc 1"), r"a\.mrc"),
    "empty_name": (good('"" 1'), "rlnMicrographName"),
    "too_many_words": (good("a.mrc 1 5"), "STAR"),
    "duplicate_group": (
        table("optics", OPTICS, GROUP_1, GROUP_1) + table("micrographs", LISTED, "a.mrc 1"),
        "group",
    ),
    "zero_pixel_size": (
        table("optics", OPTICS, "g 1 0 300") + table("micrographs", LISTED, "a.mrc 1"),
        "pixel size|PixelSize",
    ),
    "nan_pixel_size": (
        table("optics", OPTICS, "g 1 nan 300") + table("micrographs", LISTED, "a.mrc 1"),
        "pixel size|PixelSize",
    ),
    "no_pixel_size": (
        table("optics", LISTED[1:], "1") + table("micrographs", LISTED, "a.mrc 1"),
        "--pixel_size",
    ),
    "relion_3_0_without_pixel_size": (table("", ["rlnMicrographName"], "a.mrc"), "--pixel_size"),
    "movies": (table("optics", OPTICS, GROUP_1) + table("movies", ["rlnMicrographMovieName"], "a.tif"), "movie"),
    "particles": (
        table("optics", OPTICS, GROUP_1) + table("particles", ["rlnImageName", "rlnMicrographName"], "1@a.mrcs a.mrc"),
        "particle",
    ),
    "tomograms": (table("global", ["rlnTomoName"], "t1"), "tomography"),
    "tilt_series": (table("t1", ["rlnMicrographName", "rlnTomoNominalStageTiltAngle"], "a.mrc 3"), "tomography"),
    "text": ("hello\nthis is no STAR file\n", "STAR"),
    "empty_file": ("", "STAR"),
}


@pytest.mark.parametrize(("text", "message"), BAD.values(), ids=BAD)
def test_bad_files(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read_micrographs(star(tmp_path, text))
    assert "micrographs.star" in str(caught.value) or "ptics group" in str(caught.value)


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no STAR file at .*absent\.star"):
        read_micrographs(tmp_path / "absent.star")


def test_binary_file(tmp_path: Path) -> None:
    (tmp_path / "x.star").write_bytes(bytes(range(256)) * 20)
    with pytest.raises(InputError, match="STAR"):
        read_micrographs(tmp_path / "x.star")


@pytest.mark.parametrize("version", ["30001", "50001"])
def test_later_versions_differ_in_a_comment_only(tmp_path: Path, version: str) -> None:
    path = star(tmp_path, good("a.mrc 1").replace("30001", version))
    assert [m.name for m in read_micrographs(path)] == ["a.mrc"]


MESSAGES = {
    "no micrographs": (good(), "lists no micrographs: its table 'micrographs' is empty."),
    "undefined group": (
        good("a.mrc 2"),
        "micrographs belong to optics group 2, which its optics table does not define (it has 1).",
    ),
    "broken group": (good("a.mrc 1.5"), "has the optics group 1.5: expected a whole number."),
    "group in words": (
        good("a.mrc 1", "b.mrc one", "c.mrc 1"),
        "has the optics group 'one': expected a whole number.",
    ),
    "endless group": (good("a.mrc inf"), "has the optics group inf: expected a whole number."),
    "same name twice": (
        good("a.mrc 1", "b.mrc 1", "a.mrc 1"),
        "lists the micrograph a.mrc twice: each may occur once.",
    ),
    "no pixel size": (
        table("optics", LISTED[1:], "1") + table("micrographs", LISTED, "a.mrc 1"),
        "its optics table has no rlnMicrographPixelSize: give --pixel_size in Å per pixel.",
    ),
    "optics only": (
        table("optics", OPTICS, GROUP_1),
        "has an optics table but no table of micrographs: give a micrographs STAR file.",
    ),
    "coordinates": (
        table("coordinate_files", ["rlnMicrographName", "rlnMicrographCoordinates"], "a.mrc a.star"),
        "lists coordinates, not micrographs: give the STAR file of the micrographs.",
    ),
}


@pytest.mark.parametrize(("text", "message"), MESSAGES.values(), ids=MESSAGES)
def test_message(tmp_path: Path, text: str, message: str) -> None:
    path = star(tmp_path, text)
    with pytest.raises(InputError) as caught:
        read_micrographs(path)
    assert str(caught.value).removeprefix(str(path)).lstrip(": ") == message


@pytest.mark.parametrize("pixel_size", [0.0, -1.0, float("nan"), float("inf")])
def test_given_pixel_size_must_be_one(tmp_path: Path, pixel_size: float) -> None:
    with pytest.raises(InputError, match="expected a positive number of Å per pixel"):
        read_micrographs(star(tmp_path, good("a.mrc 1")), pixel_size)


def test_unknown_defocus_is_no_defocus(tmp_path: Path) -> None:
    labels = [*LISTED, "rlnDefocusU", "rlnDefocusV", "rlnDefocusAngle"]
    path = star(tmp_path, table("optics", OPTICS, GROUP_1), table("micrographs", labels, "a 1 nan nan 0", "b 1 9 8 7"))
    a, b = read_micrographs(path)
    assert a.ctf is None
    assert b.ctf == CtfParameters(9, 8, 7)


@pytest.mark.parametrize("name", ["a.mrc", "with blank.mrc", "0012", "été.mrc", "a'b.mrc", "a#b.mrc", "data_1/a.mrc"])
@pytest.mark.parametrize("folder", ["", "O'Brien/", "Ann's own/", "the 'best' ones/", "O'B#1/", "'one'/"])
def test_what_is_written_is_read_back(tmp_path: Path, folder: str, name: str) -> None:
    groups = OpticsGroup(7, "by night", 0.85, 200, 0.0, 0.0), OpticsGroup(2, "two", 1.5, 300, 2.7, 0.1)
    ctfs = CtfParameters(12000.5, 11000, -30, 90), CtfParameters(1, 2, 3)
    micrographs = [Micrograph(folder + name, groups[0], ctfs[0]), Micrograph("other.mrc", groups[1], ctfs[1])]
    write_micrographs(tmp_path / "m.star", micrographs)
    assert read_micrographs(tmp_path / "m.star") == micrographs


def test_two_groups_of_one_number_are_not_written(tmp_path: Path) -> None:
    micrographs = [Micrograph(name, OpticsGroup(1, "one", pixel)) for name, pixel in (("a", 1.0), ("b", 2.0))]
    with pytest.raises(InputError, match="two different optics groups of one number"):
        write_micrographs(tmp_path / "m.star", micrographs)
