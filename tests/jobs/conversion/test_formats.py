"""Conversions on a project: one off-centre mark on a rectangular micrograph goes through every format and back."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from relion_attn_picker.cli import group
from relion_attn_picker.cli._plain_command import run_plain_command
from relion_attn_picker.errors import InputError
from relion_attn_picker.jobs.conversion.formats import FORMATS, guess_format
from relion_attn_picker.jobs.conversion.job import ConversionOptions, convert
from relion_attn_picker.micrograph import Micrograph, OpticsGroup
from relion_attn_picker.point_set import MicrographPoints, gather
from relion_attn_picker.relion.micrographs import read_micrographs, write_micrographs
from relion_attn_picker.relion.point_sets import read_star_points, write_star_particles
from relion_attn_picker.relion.star import format_table
from tests.conftest import hold_elsewhere
from tests.jobs.conversion.conftest import EXPOSURES, HEIGHT, LIST, MARK, A, B, points

STAR = "data_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n1 2\n"


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


def test_refined_centres_take_the_pixel_size_of_the_list(caplog: pytest.LogCaptureFixture) -> None:
    """Movies of half the pixel size were binned: Extract tells theirs only, and twice the shift would be taken."""
    pixel_size = read_micrographs(LIST)[0].optics.pixel_size
    optics = {"rlnOpticsGroup": [1], "rlnMicrographOriginalPixelSize": [pixel_size / 2], "rlnImagePixelSize": [9.0]}
    row = {"rlnMicrographName": [A], "rlnOpticsGroup": [1], "rlnCoordinateX": [50.0], "rlnCoordinateY": [60.0]}
    row |= {"rlnOriginXAngst": [4 * pixel_size], "rlnOriginYAngst": [-2 * pixel_size]}
    Path("p.star").write_text(format_table("optics", optics) + format_table("particles", row))
    convert(Path("p.star"), Path("out"), ConversionOptions(target_format="table", micrographs=LIST))
    assert caplog.text == ""
    convert(Path("out"), Path("back.star"), ConversionOptions(source_format="table", micrographs=LIST))
    assert read_star_points(Path("back.star")).yx.tolist() == [[62, 46]]


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


@pytest.mark.parametrize(("target_format", "n_notes"), [("table", 1), ("cbox", 0)])
def test_lost_boxes_are_told(target_format: str, n_notes: int) -> None:
    Path("mic.box").write_text("92 17 40 40\n10 20 30 60\n")
    report = convert(Path("mic.box"), Path("out"), ConversionOptions(target_format=target_format))
    assert report.notes == ("table has no boxes: the sizes of 2 are lost; their centres stay.",)[:n_notes]


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


@pytest.mark.parametrize("source", ["STAR", "STAR/raw/b.v2_autopick.star"])
def test_star_files_of_one_micrograph_each(source: str) -> None:
    """Without a list their names are stems, by which RELION finds no micrograph, and says nothing."""
    Path("STAR/raw").mkdir(parents=True)
    Path("STAR/raw/b.v2_autopick.star").write_text(STAR)
    for target_format in ("relion", "star"):
        with pytest.raises(InputError, match="full names, which RELION needs: give --micrographs"):
            convert(Path(source), Path("out.star"), ConversionOptions(target_format=target_format))
    assert not Path("out.star").exists()
    report = convert(Path(source), Path("out.star"), ConversionOptions(micrographs=LIST))
    assert (report.match, report.without_coordinates) == ("stem", (A,))
    assert read_star_points(Path("out.star")).names == (B,)
    assert not read_star_points(Path("out.star")).has_stems
    convert(Path(source), Path("boxes"), ConversionOptions(target_format="box", box_size=8))
    assert Path("boxes/b.v2.box").exists()


def test_names_that_were_matched_are_no_stems() -> None:
    stems = gather([MicrographPoints("a", MARK), MicrographPoints("b", MARK)], has_stems=True)
    assert stems.select(np.array([True, False])).has_stems
    assert not stems.rename([A, None]).has_stems


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
        ({"match": "stem"}, "give --micrographs too"),
        ({"strip": "_autopick"}, "give --micrographs too"),
    ],
)
def test_options_that_cannot_be_meant(options: dict[str, object], message: str) -> None:
    with pytest.raises(InputError, match=message):
        ConversionOptions(**options)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"in/a.txt": "1 2\n", "in/a.csv": "3 4\n"}, "2 files hold coordinates of the micrograph 'a'"),
        ({"in/a_autopick.star": STAR, "in/a_manualpick.star": STAR}, "2 files hold coordinates of the micrograph 'a'"),
        ({"in/t.csv": "image_name,x_coord,y_coord\n"}, "names no micrograph: there is nothing to convert"),
    ],
)
def test_sources_that_cannot_be_told_apart_or_hold_nothing(files: dict[str, str], message: str) -> None:
    Path("in").mkdir()
    for name, text in files.items():
        Path(name).write_text(text)
    source = Path("in/t.csv") if Path("in/t.csv").exists() else Path("in")
    with pytest.raises(InputError, match=message):
        convert(source, Path("out"), ConversionOptions(target_format="table"))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.txt", "1 2\n1e30 5\n", "1 points that no image can hold, first x 1e[+]30, y 5 on a"),
        ("a.box", "1 2 10 1e30\n", "1 points that no image can hold, first x 6, y 5e[+]29, box 10×1e[+]30 on a"),
    ],
)
def test_points_that_no_image_can_hold(name: str, text: str, message: str) -> None:
    Path(name).write_text(text)
    with pytest.raises(InputError, match=message):
        convert(Path(name), Path("out"), ConversionOptions(target_format="box", box_size=10))
    assert not Path("out").exists()


@pytest.mark.parametrize(("target", "is_told"), [("out.star", True), ("job", True), ("out.txt", False)])
def test_scores_that_are_rounded_are_told(target: str, is_told: bool) -> None:
    scores = ["1e-9", "0.5", "0.1234567", "0.25", "-7.5", "nan"]
    names = [A, B]
    rows = "".join(f"{names[i % 2].split('/')[-1][:-4]},{i},{i},{score}\n" for i, score in enumerate(scores))
    Path("in.csv").write_text("image_name,x_coord,y_coord,score\n" + rows)
    formats = {"out.star": "star", "job": "relion", "out.txt": "topaz"}
    notes = convert(
        Path("in.csv"), Path(target), ConversionOptions(target_format=formats[target], micrographs=LIST)
    ).notes
    told = f"2 scores are rounded to 6 digits behind the point for {formats[target]}, 1 of them to 0."
    assert (told in notes) == is_told
    assert is_told or not any("rounded" in note for note in notes)


def test_single_precision_is_not_rounded_to_six_digits() -> None:
    """What CryoSPARC keeps in 24 bits and what STAR writes of it are the same number."""
    Path("b.v2.txt").write_text(f"112 37 {float(np.float32(0.9))!r}\n")
    assert convert(Path("b.v2.txt"), Path("o.star"), ConversionOptions(micrographs=LIST)).notes == ()


def test_points_without_a_score_among_others_are_told() -> None:
    Path("in.csv").write_text("image_name,x_coord,y_coord,score\na,1,2,nan\na,3,4,.5\n")
    report = convert(Path("in.csv"), Path("out"), ConversionOptions(target_format="table"))
    assert report.notes == ("1 of 2 points have no score: programs may read what stands there as 0.",)


@pytest.mark.parametrize(
    ("target", "target_format", "message"),
    [
        (
            "out.csv",
            "table",
            "is to be a folder, and has the name of a file: give a name without .csv, or one that ends",
        ),
        ("out.txt", "box", "is to be a folder, and has the name of a file"),
        (
            "out.star",
            "relion",
            "is to be a folder, and has the name of a file: give a name without .star, or --to star",
        ),
        ("folder", "star", "is a folder, and is to be one file"),
        ("folder", "topaz", "is a folder, and is to be one file"),
    ],
)
def test_files_and_folders_are_not_taken_for_each_other(target: str, target_format: str, message: str) -> None:
    Path("folder").mkdir()
    before = set(Path().iterdir())
    with pytest.raises(InputError, match=message):
        convert(Path("in.star"), Path(target), ConversionOptions(target_format=target_format, box_size=10))
    assert set(Path().iterdir()) == before


@pytest.mark.parametrize("target_format", ["box", "relion"])
def test_nothing_is_written_if_two_names_become_one(target_format: str) -> None:
    write_star_particles(Path("in.star"), gather([MicrographPoints(f"{f}.mrc", MARK) for f in ("J/a/m", "J/b/m")]))
    if target_format == "relion":
        write_star_particles(Path("in.star"), gather([MicrographPoints(f"J/m.{f}", MARK) for f in ("mrc", "tif")]))
    with pytest.raises(InputError, match="would"):
        convert(Path("in.star"), Path("out"), ConversionOptions(target_format=target_format, box_size=10))
    assert not Path("out").exists()


def test_picking_job_gets_no_other_coordinates() -> None:
    """An evaluation of its folder would go by its candidates, whatever its coordinate files say."""
    Path("picks").mkdir()
    Path("picks/picking_options.json").write_text("{}")
    with pytest.raises(InputError, match=r"picks is the folder of a picking job of attnpick, .* give another folder"):
        convert(Path("in.star"), Path("picks"), ConversionOptions(target_format="relion"))
    assert [path.name for path in Path("picks").iterdir()] == ["picking_options.json"]


def test_job_that_is_worked_in_is_not_written_into() -> None:
    options = ConversionOptions(target_format="relion")
    with hold_elsewhere(Path("job")) as holder:
        with pytest.raises(InputError, match=r"^job is being worked in by process"):
            convert(Path("in.star"), Path("job"), options)
        assert [path.name for path in Path("job").iterdir()] == [".attnpick.lock"]
        holder.communicate("")
    convert(Path("in.star"), Path("job"), options)
    assert Path("job/autopick.star").exists()
    assert not Path("job/.attnpick.lock").exists()


def test_file_without_suffix_is_told_by_its_content(tmp_path: Path) -> None:
    topaz, table = tmp_path / "topaz", tmp_path / "table"
    topaz.write_text("image_name\tx_coord\ty_coord\tscore\na\t1\t2\t0.5\n")
    table.write_text("1 2\n")
    assert [guess_format(each) for each in (topaz, table)] == ["topaz", "table"]


@pytest.mark.parametrize("suffix", [".txt", ".csv", ".tab", ".coords"])
def test_folder_of_tables(suffix: str) -> None:
    Path("tables").mkdir()
    Path(f"tables/a{suffix}").write_text("1,2\n")
    assert guess_format(Path("tables")) == "table"


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


@pytest.mark.parametrize(("target_format", "file"), [("box", "extra.box"), ("relion", "J/extra_autopick.star")])
def test_coordinates_of_other_micrographs_are_not_left_among_those_written(target_format: str, file: str) -> None:
    """RELION 3.1, and whoever reads the folder, would take them for coordinates of the same set."""
    options = ConversionOptions(target_format=target_format, box_size=10)
    convert(Path("in.star"), Path("out"), options)
    convert(Path("in.star"), Path("out"), options)
    other = Path("out") / file
    other.parent.mkdir(exist_ok=True)
    other.write_text("")
    before = {path: path.stat().st_mtime_ns for path in Path("out").rglob("*")}
    with pytest.raises(InputError, match=f"out has 1 files of coordinates that are not of these .* first {file}: rem"):
        convert(Path("in.star"), Path("out"), options)
    assert {path: path.stat().st_mtime_ns for path in Path("out").rglob("*")} == before


def test_a_list_for_relion_3_1_that_is_not_of_these_goes() -> None:
    convert(Path("in.star"), Path("out"), ConversionOptions(target_format="relion", micrographs=LIST))
    assert Path("out/coords_suffix_autopick.star").read_text().split() == [str(LIST)]
    convert(Path("in.star"), Path("out"), ConversionOptions(target_format="relion"))
    assert not Path("out/coords_suffix_autopick.star").exists()
