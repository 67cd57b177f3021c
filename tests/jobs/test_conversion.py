"""Conversions on a project: one off-centre mark on a rectangular micrograph goes through every format and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from relion_attn_picker.cli import group
from relion_attn_picker.cli._plain_command import run_plain_command
from relion_attn_picker.errors import InputError
from relion_attn_picker.io.cryosparc import make_table, read_cs, write_cs
from relion_attn_picker.io.mrc import write_image
from relion_attn_picker.jobs.conversion import ConversionOptions, convert
from relion_attn_picker.jobs.coordinate_formats import FORMATS, guess_format
from relion_attn_picker.micrograph import Micrograph, OpticsGroup
from relion_attn_picker.point_set import MicrographPoints, PointSet, gather
from relion_attn_picker.relion.micrographs import write_micrographs
from relion_attn_picker.relion.point_sets import read_star_points, write_star_particles
from relion_attn_picker.relion.star import write_table

HEIGHT, WIDTH = 120, 200
A, B = "MotionCorr/job002/raw/größe a.mrc", "MotionCorr/job002/raw/b.v2.mrc"
MARK = np.array([[37.0, 112.0]])
LIST = Path("micrographs.star")
UIDS = [12951868257382468663, 7]
PATHS = [f"J2/imported/{UIDS[0]:021d}_größe a.mrc", f"J2/imported/{UIDS[1]:021d}_b.v2.mrc"]
EXPOSURES = (Path("exposures.cs"),)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: two rectangular micrographs, one with a blank in its name, and points on them."""
    monkeypatch.chdir(tmp_path)
    Path("MotionCorr/job002/raw").mkdir(parents=True)
    image = np.random.default_rng(0).normal(size=(HEIGHT, WIDTH)).astype(np.float32)
    for name in (A, B):
        write_image(Path(name), image, 2.0)
    write_micrographs(LIST, [Micrograph(name, OpticsGroup(1, "g", 2.0)) for name in (A, B)])
    write_star_particles(Path("in.star"), points())
    write_exposures()
    return tmp_path


def write_exposures(pixel_size: float = 2.0, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> None:
    """Write CryoSPARC's list of both micrographs, under its own paths."""
    columns = {
        "uid": np.array(UIDS, "<u8"),
        "micrograph_blob/path": np.array(PATHS),
        "micrograph_blob/shape": np.array([shape] * 2, "<u4"),
        "micrograph_blob/psize_A": np.full(2, pixel_size, "<f4"),
        "mscope_params/exp_group_id": np.array([3, 4], "<u4"),
    }
    write_cs(EXPOSURES[0], make_table(columns))


def points() -> PointSet:
    more = np.array([[5.0, 190.0], [100.0, 3.0]])
    return gather([MicrographPoints(A, MARK, np.array([0.75])), MicrographPoints(B, more, np.array([0.5, 0.25]))])


def target(name: str) -> Path:
    return Path({"topaz": "out.txt", "star": "out.star", "cs": "out.csg"}.get(name, "out"))


@pytest.mark.parametrize("name", FORMATS)
def test_there_and_back(name: str) -> None:
    exposures = EXPOSURES if name == "cs" else ()
    options = ConversionOptions(target_format=name, micrographs=LIST, exposures=exposures, box_size=41)
    convert(Path("in.star"), target(name), options)
    source = None if name != "table" else "table"
    back = ConversionOptions(source_format=source, target_format="star", micrographs=LIST)
    report = convert(target(name), Path("back.star"), back)
    found, expected = read_star_points(Path("back.star")), points()
    assert set(found.names) == set(expected.names)
    by_name = {each.name: each for each in found.micrographs()}
    np.testing.assert_array_equal(by_name[A].yx, MARK)
    np.testing.assert_array_equal(by_name[B].yx, [[5, 190], [100, 3]])
    assert (by_name[A].score is not None) == FORMATS[name].keeps_scores
    assert report.unmatched == report.without_coordinates == ()


def test_golden_box_file_of_the_mark() -> None:
    convert(Path("in.star"), Path("out"), ConversionOptions(target_format="box", box_size=40))
    assert Path("out/größe a.box").read_text() == "92\t17\t40\t40\n"


def test_golden_relion_job() -> None:
    Path("boxes").mkdir()
    Path("boxes/größe a.box").write_text("92 17 40 40\n")
    Path("boxes/b.v2.box").write_text("")
    report = convert(Path("boxes"), Path("job"), ConversionOptions(target_format="relion", micrographs=LIST))
    assert (report.match, report.n_points, report.n_micrographs) == ("stem", 1, 2)
    assert Path("job/raw/größe a_autopick.star").read_text() == (
        "\n# version 30001\n\ndata_\n\nloop_ \n_rlnCoordinateX #1 \n_rlnCoordinateY #2 \n"
        "  112.000000    37.000000 \n \n"
    )
    assert f'"{A}" "job/raw/größe a_autopick.star"' in Path("job/autopick.star").read_text()
    assert Path("job/coords_suffix_autopick.star").read_text() == "micrographs.star\n"
    np.testing.assert_array_equal(read_star_points(Path("job")).yx, MARK)
    np.testing.assert_array_equal(read_star_points(Path("job/coords_suffix_autopick.star")).yx, MARK)


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
    write_exposures(pixel_size=1.0)
    with pytest.raises(InputError, match="has 2 Å per pixel in its STAR file and 1 in CryoSPARC"):
        convert(Path("in.star"), Path("out.cs"), options)
    write_star_particles(Path("in.star"), gather([MicrographPoints("other.mrc", MARK)]))
    with pytest.raises(InputError, match=r"None of the 1 micrographs \(first: other.mrc\) is among the 2 exposures"):
        convert(Path("in.star"), Path("out.cs"), TO_CRYOSPARC)


def test_some_scores_are_not_enough_for_cryosparc() -> None:
    write_star_particles(Path("in.star"), gather([MicrographPoints(A, MARK, np.array([np.nan]))]))
    with pytest.raises(InputError, match="Some points have a score and others none"):
        convert(Path("in.star"), Path("out.cs"), TO_CRYOSPARC)


def test_folder_is_no_result_of_cryosparc() -> None:
    Path("J5").mkdir()
    write_located((0.5, 0.5))
    Path("in.cs").rename("J5/in.cs")
    with pytest.raises(InputError, match=r"J5 is a folder: give the \.csg file"):
        convert(Path("J5"), Path("out.star"), ConversionOptions(micrographs=LIST))


def test_flip_y_counts_from_the_other_end() -> None:
    convert(Path("in.star"), Path("out.star"), ConversionOptions(micrographs=LIST, flip_y=True))
    found = read_star_points(Path("out.star"))
    np.testing.assert_array_equal(found.yx[0], [HEIGHT - 1 - 37, 112])
    convert(Path("out.star"), Path("again.star"), ConversionOptions(micrographs=LIST, flip_y=True))
    np.testing.assert_array_equal(read_star_points(Path("again.star")).yx, points().yx)


def test_factor_has_no_offset() -> None:
    Path("t.txt").write_text("image_name\tx_coord\ty_coord\nb.v2\t10\t3\n")
    convert(Path("t.txt"), Path("out.star"), ConversionOptions(micrographs=LIST, factor=8))
    np.testing.assert_array_equal(read_star_points(Path("out.star")).yx, [[24, 80]])


def test_fractions_stay_in_a_table_and_are_rounded_for_relion() -> None:
    write_star_particles(Path("in.star"), gather([MicrographPoints(A, MARK + 0.333333)]))
    convert(Path("in.star"), Path("out.star"), ConversionOptions())
    assert Path("out.star").read_text() == Path("in.star").read_text()
    report = convert(Path("in.star"), Path("job"), ConversionOptions(target_format="relion"))
    assert report.notes == ("1 points are rounded to whole pixels for relion.",)
    np.testing.assert_array_equal(read_star_points(Path("job")).yx, MARK)
    convert(Path("in.star"), Path("job"), ConversionOptions(target_format="relion", whole_pixels=False))
    np.testing.assert_array_equal(read_star_points(Path("job")).yx, MARK + 0.333333)


def test_mixed_boxes_stay() -> None:
    Path("mic.box").write_text("92 17 40 40\n10 20 30 60\n")
    convert(Path("mic.box"), Path("out"), ConversionOptions(target_format="cbox"))
    convert(Path("out"), Path("back"), ConversionOptions(target_format="box"))
    assert Path("back/mic.box").read_text() == "92\t17\t40\t40\n10\t20\t30\t60\n"


def test_one_unmatched_name_is_told() -> None:
    Path("t.txt").write_text("image_name\tx_coord\ty_coord\nb.v2\t10\t3\nother\t1\t1\n")
    report = convert(Path("t.txt"), Path("out.star"), ConversionOptions(micrographs=LIST))
    assert report.unmatched == ("other",)
    assert report.without_coordinates == (A,)
    assert "1 names in the coordinates are not in the list by the rule 'stem'" in report.notes[0]
    assert read_star_points(Path("out.star")).names == (B,)


def test_duplicates_and_lost_scores_are_told() -> None:
    write_star_particles(Path("in.star"), gather([MicrographPoints(A, np.repeat(MARK, 3, axis=0), np.arange(3.0))]))
    notes = convert(Path("in.star"), Path("out"), ConversionOptions(target_format="box", box_size=8)).notes
    assert notes[0] == f"2 points lie exactly on another of their micrograph, first on {A}; they are kept."
    assert notes[1] == "box has no scores: those of 3 points are lost."


@pytest.mark.parametrize(
    ("outside", "kept"), [("drop", [[5, 6]]), ("clip", [[5, 6], [119, 3]]), ("keep", [[5, 6], [150, 3]])]
)
def test_points_outside(outside: str, kept: list[list[int]]) -> None:
    write_star_particles(Path("in.star"), gather([MicrographPoints(A, np.array([[5.0, 6.0], [150.0, 3.0]]))]))
    report = convert(Path("in.star"), Path("out.star"), ConversionOptions(micrographs=LIST, outside=outside))
    np.testing.assert_array_equal(read_star_points(Path("out.star")).yx, kept)
    assert "1 of 2 points lie outside their images, first x 3, y 150" in report.notes[0]


def test_images_that_are_not_here_are_told() -> None:
    Path(A).unlink()
    report = convert(Path("in.star"), Path("out.star"), ConversionOptions(micrographs=LIST))
    assert report.notes == ("The images are not at hand: whether points lie outside them is not checked.",)


def test_flip_needs_the_images() -> None:
    Path(A).unlink()
    with pytest.raises(InputError, match="There is no micrograph at"):
        convert(Path("in.star"), Path("out.star"), ConversionOptions(micrographs=LIST, flip_y=True))


def test_exchanged_axes_are_suspected() -> None:
    write_star_particles(Path("in.star"), gather([MicrographPoints(A, np.array([[150.0, 3.0], [5.0, 6.0]]))]))
    with pytest.raises(InputError, match="with x and y exchanged all would lie inside: choose --outside"):
        convert(Path("in.star"), Path("out.star"), ConversionOptions(micrographs=LIST))
    assert not Path("out.star").exists()


def test_pixel_size_that_contradicts() -> None:
    write_table(Path("o.star"), "optics", {"rlnOpticsGroup": [1], "rlnMicrographPixelSize": [4.0]})
    Path("p.star").write_text(Path("o.star").read_text() + Path("in.star").read_text())
    with pytest.raises(InputError, match=r"pixels of 4 Å, but .* has 2 Å: give --factor 2"):
        convert(Path("p.star"), Path("out.star"), ConversionOptions(micrographs=LIST))
    options = ConversionOptions(micrographs=LIST, factor=2, outside="keep")
    convert(Path("p.star"), Path("out.star"), options)
    np.testing.assert_array_equal(read_star_points(Path("out.star")).yx[0], 2 * MARK[0])


def test_folder_of_star_files_without_a_list() -> None:
    Path("STAR").mkdir()
    Path("STAR/b.v2_autopick.star").write_text("data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n112 37\n")
    assert read_star_points(Path("STAR")).names == ("b.v2",)
    convert(Path("STAR"), Path("out.star"), ConversionOptions(micrographs=LIST, match="stem"))
    assert read_star_points(Path("out.star")).names == (B,)


@pytest.mark.parametrize(
    ("source", "content", "options", "message"),
    [
        ("absent.box", None, {}, "no coordinates at absent.box"),
        ("a.xyz", "1 2\n", {}, "no suffix of a known format"),
        ("a.box", "1 2 3 4\n", {"target_format": "relion"}, "full names, which RELION needs: give --micrographs"),
        ("a.txt", "1 2\n", {"target_format": "box"}, "have no boxes, which box needs: give --box_size"),
        ("a.txt", "1 2\n", {"target_format": "pdf"}, "no format 'pdf': choose from relion, star, cs, box"),
        ("a.txt", "1 2\n", {"micrographs": LIST}, r"None of the 1 names in the coordinates \(first: a\)"),
        ("a.txt", "nan 2\n", {"target_format": "cbox"}, "not finite"),
    ],
)
def test_bad_input(source: str, content: str | None, options: dict[str, object], message: str) -> None:
    if content is not None:
        Path(source).write_text(content)
    with pytest.raises(InputError, match=message):
        convert(Path(source), Path("out.star"), ConversionOptions(**options))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"factor": 0.0}, "The factor is 0"),
        ({"box_size": 0}, "The box size is 0"),
        ({"outside": "hide"}, "no choice 'hide'"),
        ({"flip_y": True}, "needs the heights of the images: give --micrographs"),
    ],
)
def test_options_that_cannot_be_meant(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ConversionOptions(**options)  # type: ignore[arg-type]


def test_guesses() -> None:
    for name, text in {
        "a.box": "1 2 3 4",
        "a.cbox": "1 2 3 4 5",
        "a.csv": "1,2",
        "t.txt": "image_name\tx_coord\ty_coord",
    }.items():
        Path(name).write_text(text + "\n")
    assert [guess_format(Path(name)) for name in ("a.box", "a.cbox", "a.csv", "t.txt", "in.star")] == [
        *("box", "cbox", "table", "topaz", "star")
    ]
    with pytest.raises(InputError, match="holds files of box and cbox and cs and star: give --from"):
        guess_format(Path())


def test_command_tells_and_leaves_a_report(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_plain_command(group, ["convert", "in.star", "out", "--to", "box", "--box-size", "40"]) == 0
    out, err = capsys.readouterr()
    assert "3 points on 2 micrographs, star to box. Written: out and out.conversion.json" in out
    assert err == "WARNING: box has no scores: those of 3 points are lost.\n"
    report = json.loads(Path("out.conversion.json").read_text())
    assert report["n_points"] == 3
    assert run_plain_command(group, ["convert", "absent", "out.star"]) == 1
    assert capsys.readouterr().err == "ERROR: There are no coordinates at absent: check the path.\n"


def test_command_writes_for_cryosparc(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_plain_command(group, ["convert", "in.star", "out.cs", "--exposures", "exposures.cs"]) == 0
    assert "3 points on 2 micrographs, star to cs. Written: out.cs and out.cs.conversion" in capsys.readouterr().out
    assert run_plain_command(group, ["convert", "in.star", "again.cs"]) == 1
    assert "give --exposures, the .csg file" in capsys.readouterr().err


@pytest.mark.parametrize("seed", range(3))
def test_random_sets_survive_star_cbox_star(seed: int) -> None:
    rng = np.random.default_rng(seed)
    some = [
        MicrographPoints(f"m/mic {i}.mrc", np.round(rng.uniform(0, 5000, (n, 2)), 6), np.round(rng.random(n), 6))
        for i, n in enumerate(rng.integers(1, 30, 7))
    ]
    write_star_particles(Path("in.star"), gather(some))
    convert(Path("in.star"), Path("out"), ConversionOptions(target_format="cbox", box_size=33))
    write_micrographs(Path("l.star"), [Micrograph(each.name, OpticsGroup(1, "g", 2.0)) for each in some])
    convert(Path("out"), Path("back.star"), ConversionOptions(micrographs=Path("l.star")))
    assert Path("back.star").read_text() == Path("in.star").read_text()
