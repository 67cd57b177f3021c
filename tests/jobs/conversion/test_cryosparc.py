"""Conversions to and from the tables of CryoSPARC, which need its list of exposures."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from relion_attn_picker.cli import group
from relion_attn_picker.cli._plain_command import run_plain_command
from relion_attn_picker.errors import InputError
from relion_attn_picker.io.cryosparc import make_table, read_cs, write_cs
from relion_attn_picker.jobs.conversion.job import ConversionOptions, convert
from relion_attn_picker.micrograph import Micrograph, OpticsGroup
from relion_attn_picker.point_set import MicrographPoints, gather
from relion_attn_picker.relion.micrographs import write_micrographs
from relion_attn_picker.relion.point_sets import read_star_points, write_star_particles
from relion_attn_picker.relion.star import format_table
from tests.jobs.conversion.conftest import (
    EXPOSURES,
    HEIGHT,
    LIST,
    MARK,
    PATHS,
    UIDS,
    WIDTH,
    A,
    B,
    write_exposures,
)

TO_CRYOSPARC = ConversionOptions(target_format="cs", exposures=EXPOSURES)


def test_golden_cs_of_the_mark() -> None:
    """Fractions by hand: row 37 of 120, column 112 of 200."""
    convert(Path("in.star"), Path("out.cs"), TO_CRYOSPARC)
    row = read_cs(Path("out.cs"))[0]
    assert row["location/center_y_frac"] == np.float32(37 / 120)
    assert row["location/center_x_frac"] == np.float32(112 / 200)
    assert row["location/micrograph_shape"].tolist() == [120, 200]
    assert row["location/micrograph_path"].decode() == PATHS[0]
    assert row["location/micrograph_uid"] == UIDS[0]
    assert row["location/exp_group_id"] == 3
    assert row["location/micrograph_psize_A"] == 2
    assert row["pick_stats/ncc_score"] == row["pick_stats/power"] == np.float32(0.75)
    created, _, group = Path("out.csg").read_text().partition("\n")
    assert created.startswith("created: ")
    assert group == (
        "group:\n  description: Particle picks\n  name: particles\n  title: 'out'\n  type: particle\nresults:\n"
        "  location:\n    metafile: '>out.cs'\n    num_items: 3\n    type: particle.location\n"
        "  pick_stats:\n    metafile: '>out.cs'\n    num_items: 3\n    type: particle.pick_stats\n"
        "version: 'v4.7.1'\n"
    )


def write_located(*yx: tuple[float, float]) -> None:
    """Write ``in.cs`` by hand: picks at these fractions of the first micrograph."""
    columns = {
        "uid": np.arange(len(yx), dtype="<u8"),
        "location/micrograph_path": np.array([PATHS[0]] * len(yx)),
        "location/micrograph_shape": np.array([[120, 200]] * len(yx), "<u4"),
        "location/micrograph_psize_A": np.full(len(yx), 2, "<f4"),
        "location/center_x_frac": np.array([x for _, x in yx], "<f4"),
        "location/center_y_frac": np.array([y for y, _ in yx], "<f4"),
    }
    write_cs(Path("in.cs"), make_table(columns))


def test_golden_star_of_a_mark_in_cryosparc() -> None:
    write_located((37 / 120, 112 / 200))
    report = convert(Path("in.cs"), Path("out.star"), ConversionOptions(micrographs=LIST))
    assert f'\n"{A}"   112.000000    37.000000 \n' in Path("out.star").read_text()
    assert (report.match, report.without_coordinates) == ("stem-no-uid", (B,))


def test_cs_outside_its_micrograph_is_dealt_with_as_every_format() -> None:
    write_located((0.5, 0.5), (0.5, 1.25))
    with pytest.raises(InputError, match="1 of 2 points lie outside their images, first x 250, y 60"):
        convert(Path("in.cs"), Path("out.star"), ConversionOptions(micrographs=LIST))
    convert(Path("in.cs"), Path("out.star"), ConversionOptions(micrographs=LIST, outside="drop"))
    np.testing.assert_array_equal(read_star_points(Path("out.star")).yx, [[60, 100]])


def test_boxes_find_their_exposures_by_stem() -> None:
    Path("boxes").mkdir()
    Path("boxes/größe a.box").write_text("92 17 40 40\n")
    convert(Path("boxes"), Path("out.cs"), TO_CRYOSPARC)
    (row,) = read_cs(Path("out.cs"))
    assert (row["location/micrograph_uid"], row["location/center_x_frac"]) == (UIDS[0], np.float32(112 / 200))
    Path("boxes/größe a.box").rename("boxes/größe a_picked.box")
    options = ConversionOptions(target_format="cs", exposures=EXPOSURES, strip="_picked", match="stem")
    with pytest.raises(InputError, match=r"None of the 1 micrographs \(first: größe a\) is among the 2 exposures"):
        convert(Path("boxes"), Path("again.cs"), options)


def test_star_files_of_one_micrograph_each_find_their_exposures() -> None:
    Path("größe a_autopick.star").write_text("data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n112 37\n")
    convert(Path("größe a_autopick.star"), Path("out.cs"), TO_CRYOSPARC)
    (row,) = read_cs(Path("out.cs"))
    assert (row["location/micrograph_uid"], row["location/center_x_frac"]) == (UIDS[0], np.float32(112 / 200))


def test_flip_y_for_cryosparc_takes_the_heights_of_its_exposures() -> None:
    options = ConversionOptions(target_format="cs", exposures=EXPOSURES, flip_y=True)
    convert(Path("in.star"), Path("out.cs"), options)
    assert read_cs(Path("out.cs"))["location/center_y_frac"][0] == np.float32((119 - 37) / 120)


@pytest.mark.parametrize("seed", range(3))
def test_thousandths_of_a_pixel_survive_star_cs_star(seed: int) -> None:
    """Up to the largest camera: 11,520 × 8,184 pixels."""
    shape = (8184, 11520)
    write_exposures(shape=shape)
    yx = np.round(np.random.default_rng(seed).uniform(0, np.array(shape) - 1, (500, 2)), 3)
    write_star_particles(Path("in.star"), gather([MicrographPoints(PATHS[0], yx)]))
    convert(Path("in.star"), Path("out.cs"), TO_CRYOSPARC)
    write_micrographs(Path("l.star"), [Micrograph(PATHS[0], OpticsGroup(1, "g", 2.0))])
    convert(Path("out.cs"), Path("back.star"), ConversionOptions(micrographs=Path("l.star")))
    assert Path("back.star").read_text() == Path("in.star").read_text()


def test_exposures_that_lack_a_micrograph_are_told() -> None:
    write_star_particles(Path("in.star"), gather([MicrographPoints(A, MARK), MicrographPoints("m/other.mrc", MARK)]))
    report = convert(Path("in.star"), Path("out.cs"), TO_CRYOSPARC)
    assert report.unmatched == ("m/other.mrc",)
    assert (
        "1 names in the coordinates are not in the list of exposures, and their points are left out" in report.notes[0]
    )
    assert len(read_cs(Path("out.cs"))) == 1


@pytest.mark.parametrize(
    ("target", "options", "message"),
    [
        ("out.cs", {}, "needs CryoSPARC's own list of the micrographs.* give --exposures"),
        ("out.star", {"exposures": EXPOSURES}, "--exposures is for writing picks for CryoSPARC, not star"),
        ("out", {"exposures": EXPOSURES, "target_format": "cs"}, r"out must end in .cs or .csg"),
        ("out.cs", {"exposures": (Path("in.star"),)}, "in.star is not a .cs file of CryoSPARC"),
    ],
)
def test_bad_requests_for_cryosparc(target: str, options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        convert(Path("in.star"), Path(target), ConversionOptions(**options))  # type: ignore[arg-type]
    assert not Path(target).exists()


def test_exposures_that_contradict() -> None:
    write_exposures(shape=(WIDTH, HEIGHT))
    options = ConversionOptions(micrographs=LIST, exposures=EXPOSURES)
    with pytest.raises(InputError, match="has 200×120 pixels, but CryoSPARC says 120×200"):
        convert(Path("in.star"), Path("out.cs"), options)
    write_exposures(1, 1)
    with pytest.raises(InputError, match="has 2 Å per pixel in its STAR file and 1 in CryoSPARC"):
        convert(Path("in.star"), Path("out.cs"), options)
    write_star_particles(Path("in.star"), gather([MicrographPoints("other.mrc", MARK)]))
    with pytest.raises(InputError, match=r"None of the 1 micrographs \(first: other.mrc\) is among the 2 exposures"):
        convert(Path("in.star"), Path("out.cs"), TO_CRYOSPARC)


def test_pixel_size_of_exposures_without_points_does_not_matter() -> None:
    write_located((0.5, 0.5))
    write_exposures(2, 4)
    convert(Path("in.cs"), Path("out.cs"), TO_CRYOSPARC)
    assert read_cs(Path("out.cs"))["location/micrograph_uid"].tolist() == UIDS[:1]
    write_exposures(4, 2)
    with pytest.raises(InputError, match=r"pixels of 2 Å, but .*größe a\.mrc has 4 Å: give --factor 0\.5"):
        convert(Path("in.cs"), Path("again.cs"), TO_CRYOSPARC)


def test_some_scores_are_not_enough_for_cryosparc() -> None:
    scores = (np.array([np.nan]), np.array([0.5]))
    points = [MicrographPoints(name, MARK, score) for name, score in zip((A, B), scores, strict=True)]
    write_star_particles(Path("in.star"), gather(points))
    with pytest.raises(InputError, match="Some points have a score and others none"):
        convert(Path("in.star"), Path("out.cs"), TO_CRYOSPARC)


@pytest.mark.parametrize("name", ["star", "relion", "table", "cbox", "box"])
def test_scores_of_no_point_are_left_out(name: str) -> None:
    """Of a column of nan RELION reads 0 everywhere, and ``evaluate`` refuses it."""
    write_located((0.5, 0.5), (0.25, 0.25))
    rows = read_cs(Path("in.cs"))
    columns = {field: rows[field] for field in rows.dtype.names or ()}
    write_cs(Path("in.cs"), make_table(columns | {"pick_stats/ncc_score": np.full(2, np.nan, "<f4")}))
    target = Path("out.star" if name == "star" else "out")
    report = convert(Path("in.cs"), target, ConversionOptions(target_format=name, micrographs=LIST, box_size=10))
    assert report.notes == ("None of the 2 points has a score: they are written without.",)
    written = [target] if name == "star" else [path for path in target.rglob("*") if path.is_file()]
    assert not any(word in path.read_text() for path in written for word in ("nan", "FigureOfMerit"))


def test_scores_of_no_point_are_left_out_for_cryosparc() -> None:
    write_star_particles(Path("in.star"), gather([MicrographPoints(A, MARK, np.array([np.nan]))]))
    report = convert(Path("in.star"), Path("out.cs"), TO_CRYOSPARC)
    assert report.notes == ("None of the 1 points has a score: they are written without.",)
    assert "pick_stats/ncc_score" not in (read_cs(Path("out.cs")).dtype.names or ())


def test_folder_is_no_result_of_cryosparc() -> None:
    Path("J5").mkdir()
    write_located((0.5, 0.5))
    Path("in.cs").rename("J5/in.cs")
    with pytest.raises(InputError, match=r"J5 is a folder: give the \.csg file"):
        convert(Path("J5"), Path("out.star"), ConversionOptions(micrographs=LIST))


def test_command_writes_for_cryosparc(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_plain_command(group, ["convert", "in.star", "out.cs", "--exposures", "exposures.cs"]) == 0
    assert "3 points on 2 micrographs, star to cs. Written: out.cs and out.cs.conversion" in capsys.readouterr().out
    assert run_plain_command(group, ["convert", "in.star", "again.cs"]) == 1
    assert "give --exposures, the .csg file" in capsys.readouterr().err


def test_coordinates_on_images_of_another_shape() -> None:
    """Particles of super-resolution movies, on the list of the binned micrographs; CryoSPARC need not tell the Å."""
    columns = {
        "uid": np.arange(1, dtype="<u8"),
        "location/micrograph_path": np.array([PATHS[0]]),
        "location/micrograph_shape": np.array([[240, 400]], "<u4"),
        "location/center_x_frac": np.array([112 / 200], "<f4"),
        "location/center_y_frac": np.array([37 / 120], "<f4"),
    }
    write_cs(Path("in.cs"), make_table(columns))
    with pytest.raises(InputError, match=r"of an image of 400×240 pixels, but it has 200×120: give --factor 0\.5"):
        convert(Path("in.cs"), Path("out.star"), ConversionOptions(micrographs=LIST))
    convert(Path("in.cs"), Path("out.star"), ConversionOptions(micrographs=LIST, factor=0.5))
    np.testing.assert_allclose(read_star_points(Path("out.star")).yx, [MARK[0]], atol=1e-3)


@pytest.mark.parametrize("factor", [1.0, 2.0])
def test_refined_centres_take_the_pixel_size_of_the_exposures(factor: float, caplog: pytest.LogCaptureFixture) -> None:
    """Movies of half the pixel size were binned: Extract tells theirs only, and twice the shift would be taken.

    With a factor, the pixels are those of smaller images, and so is the shift.
    """
    optics = {"rlnOpticsGroup": [1], "rlnMicrographOriginalPixelSize": [1.0], "rlnImagePixelSize": [9.0]}
    row = {"rlnMicrographName": [PATHS[0]], "rlnOpticsGroup": [1]}
    row |= {"rlnCoordinateX": [50.0 / factor], "rlnCoordinateY": [60.0 / factor]}
    row |= {"rlnOriginXAngst": [8.0], "rlnOriginYAngst": [-4.0]}
    Path("p.star").write_text(format_table("optics", optics) + format_table("particles", row))
    convert(Path("p.star"), Path("out.cs"), replace(TO_CRYOSPARC, factor=factor))
    assert caplog.text == ""
    (found,) = read_cs(Path("out.cs"))
    assert (found["location/center_y_frac"], found["location/center_x_frac"]) == pytest.approx((62 / 120, 46 / 200))
