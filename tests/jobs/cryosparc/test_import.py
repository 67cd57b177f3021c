"""Picks and exposures that CryoSPARC made: read where they are, or refused in one sentence."""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest

from relion_attn_picker.cli import group
from relion_attn_picker.cli._plain_command import run_plain_command
from relion_attn_picker.errors import InputError
from relion_attn_picker.io.cryosparc import make_table, write_cs
from relion_attn_picker.jobs.cryosparc.exchange import (
    export_picks,
    list_exposures,
    read_exposure_files,
)
from relion_attn_picker.jobs.cryosparc.importing import import_picks
from relion_attn_picker.picks import Picks
from relion_attn_picker.relion.coordinates import open_coordinates
from tests.conftest import hold_elsewhere
from tests.jobs.cryosparc.conftest import CSG, MARK, PATHS, SHAPE, Array, exposure_columns, write_exposures, write_job


def picked_columns(**changes: Array) -> dict[str, Array]:
    """Return two picks of CryoSPARC on the first micrograph."""
    columns: dict[str, Array] = {
        "uid": np.array([1, 2], "u8"),
        "location/micrograph_path": np.array([PATHS[0]] * 2),
        "location/micrograph_shape": np.array([SHAPE] * 2, "<u4"),
        "location/center_x_frac": np.array([100 / 640, 0.5], "<f4"),
        "location/center_y_frac": np.array([300 / 480, 0.25], "<f4"),
    }
    return columns | {f"location/{name}": values for name, values in changes.items()}


def test_published_fractions_land_on_whole_pixels() -> None:
    """Structura's example tables hold fractions of 580 rows and 600 columns: all are whole pixels, none is between."""
    from relion_attn_picker.io.cryosparc_picks import read_located_picks

    yx = np.array([[0, 0], [1, 599], [579, 2], [290, 300]])
    columns = picked_columns() | {
        "uid": np.arange(4, dtype="u8"),
        "location/micrograph_path": np.array(["m.mrc"] * 4),
        "location/micrograph_shape": np.array([[580, 600]] * 4, "<u4"),
        "location/center_x_frac": (yx[:, 1] / 600).astype("<f4"),
        "location/center_y_frac": (yx[:, 0] / 580).astype("<f4"),
    }
    np.testing.assert_allclose(read_located_picks(columns).yx[0], yx, atol=1e-4)


def test_paths_that_are_python_texts() -> None:
    """A table of NumPy's own texts, which cryosparc-tools reads too."""
    from relion_attn_picker.io.cryosparc_picks import read_located_picks

    columns = picked_columns(micrograph_path=np.array(["J2/größe.mrc"] * 2))
    assert read_located_picks(columns).paths == ["J2/größe.mrc"]


def test_rows_of_several_micrographs_in_any_order(project: Path, rng: np.random.Generator) -> None:
    """Against a loop over the rows."""
    from relion_attn_picker.io.cryosparc_picks import read_located_picks

    shapes = {"a.mrc": (480, 640), "b.mrc": (640, 480), "c.mrc": (100, 300)}
    names = rng.choice(list(shapes), 60)
    fractions = rng.uniform(0, 0.99, (60, 2)).astype("<f4")
    columns = {
        "uid": np.arange(60, dtype="u8"),
        "location/micrograph_path": names,
        "location/micrograph_shape": np.array([shapes[name] for name in names], "<u4"),
        "location/center_x_frac": fractions[:, 1],
        "location/center_y_frac": fractions[:, 0],
    }
    located = read_located_picks(columns)
    assert located.paths == ["a.mrc", "b.mrc", "c.mrc"]
    for path, yx in zip(located.paths, located.yx, strict=True):
        expected = [
            (y * shapes[path][0], x * shapes[path][1])
            for name, (y, x) in zip(names, fractions.tolist(), strict=True)
            if name == path
        ]
        np.testing.assert_allclose(yx, expected, rtol=0, atol=0.0005)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"micrograph_shape": np.array([480, 480], "<u4")}, r"has the shape \(2,\): expected two numbers a row"),
        ({"micrograph_shape": np.array([SHAPE, (0, 640)], "<u4")}, r"Row 2: .* is \[0, 640\]: expected both above 0"),
        (
            {"micrograph_shape": np.array([SHAPE, SHAPE[::-1]], "<u4")},
            r"rows with the shapes \[480, 640\] and \[640, 480\]",
        ),
        ({"center_x_frac": np.array([0.1, np.nan], "<f4")}, "not a finite number"),
        ({"micrograph_psize_A": np.full(2, 3, "<f4")}, "1.5 Å per pixel in its STAR file and 3 in CryoSPARC"),
        ({"micrograph_path": np.array(["J9/x.mrc"] * 2)}, "None of the 1 micrographs with picks is listed in m.star"),
    ],
)
def test_bad_picks(project: Path, changes: dict[str, Array], sentence: str) -> None:
    list_exposures(read_exposure_files([CSG]), None, Path("m.star"))
    write_cs(Path("p.cs"), make_table(picked_columns(**changes)))
    with pytest.raises(InputError, match=sentence):
        import_picks([Path("p.cs")], Path("m.star"), "back")


def test_picks_without_location(project: Path) -> None:
    with pytest.raises(InputError, match="no column location/micrograph_path, only the slots micrograph_blob"):
        import_picks([Path("J5/J5_exposures.cs")], None, "back")


def test_picks_that_are_lost_are_told(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    list_exposures(read_exposure_files([CSG]), None, Path("m.star"))
    columns = picked_columns(micrograph_path=np.array([PATHS[0], "J9/x.mrc"]))
    write_cs(Path("p.cs"), make_table(columns | {"alignments2D/shift": np.ones((2, 2), "<f4")}))
    done = import_picks([Path("p.cs")], Path("m.star"), "back")
    assert (done.n_picks, done.n_micrographs) == (1, 1)
    assert "1 of 2 micrographs with picks are not listed in m.star" in caplog.text
    assert "shifts of an alignment, which are not applied" in caplog.text
    write_cs(Path("p.cs"), make_table(picked_columns(center_x_frac=np.array([0.1, 1.2], "<f4"))))
    assert import_picks([Path("p.cs")], None, "back").n_picks == 1
    assert "1 picks have their centre outside" in caplog.text


@pytest.mark.parametrize(
    ("scores", "written", "told"),
    [
        ([0.5, np.nan], [0.5, 0.0], "1 of 2 picks have no score that is a finite number: 0 is written"),
        ([np.nan, np.inf], None, "None of the 2 picks has a score that is a finite number: they are written without"),
    ],
)
def test_scores_that_are_no_numbers(
    project: Path, caplog: pytest.LogCaptureFixture, scores: list[float], written: list[float] | None, told: str
) -> None:
    write_cs(Path("p.cs"), make_table(picked_columns() | {"pick_stats/ncc_score": np.array(scores, "<f4")}))
    done = import_picks([Path("p.cs")], None, "back")
    assert told in caplog.text
    table = open_coordinates(done.index).read(PATHS[0])
    assert table is not None
    assert len(table.yx) == 2
    assert written is None if table.score is None else table.score.tolist() == written
    assert not any("nan" in path.read_text() for path in Path("back").rglob("*.star"))


def test_import_keeps_out_of_a_picking_job(project: Path) -> None:
    write_cs(Path("picks.cs"), make_table(picked_columns()))
    Path("picks").mkdir()
    Path("picks/picking_options.json").write_text("{}")
    with pytest.raises(InputError, match="picks is the folder of a picking job of attnpick"):
        import_picks([Path("picks.cs")], None, "picks")
    assert [path.name for path in Path("picks").iterdir()] == ["picking_options.json"]


def test_import_keeps_out_of_a_folder_that_is_worked_in(project: Path) -> None:
    write_cs(Path("in.cs"), make_table(picked_columns()))
    with hold_elsewhere(Path("job")) as holder:
        with pytest.raises(InputError, match=r"^job is being worked in by process"):
            import_picks([Path("in.cs")], None, "job")
        assert [path.name for path in Path("job").iterdir()] == [".attnpick.lock"]
        holder.communicate("")
    assert import_picks([Path("in.cs")], None, "job").n_picks == 2
    assert not Path("job/.attnpick.lock").exists()


def test_failed_commands_leave_no_folder(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    columns = exposure_columns() | {"micrograph_blob/path": np.array(["J2/gone.mrc", "J2/too.mrc"])}
    exposures = str(write_exposures(project, columns))
    write_cs(Path("same.cs"), make_table(picked_columns(micrograph_path=np.array(["a.mrc", "a.tif"]))))
    for command in (
        ["import", exposures, "--out", "new/back"],
        ["import", "same.cs", "--out", "new/back"],
        ["exposures", exposures, "--out", "new/m.star"],
    ):
        assert run_plain_command(group, ["cryosparc", *command]) == 1
        assert "Traceback" not in capsys.readouterr().err
        assert not Path("new").exists()


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("micrograph_blob/shape", np.array([SHAPE[::-1]] * 2, "<u4"), "has 640×480 pixels, but CryoSPARC says 480×640"),
        ("micrograph_blob/shape", np.array([480, 480], "<u4"), r"has the shape \(2,\)"),
        ("micrograph_blob/shape", np.array([SHAPE, (0, 0)], "<u4"), r"Row 2: .* is \[0, 0\]"),
        ("micrograph_blob/psize_A", np.array([1.5, 0], "<f4"), r"Row 2: .* is 0\.0: expected Å per pixel"),
        ("micrograph_blob/path", np.array([PATHS[0], PATHS[0]]), "twice: expected each once"),
        ("micrograph_blob/path", np.array([PATHS[0], ""]), "Row 2 has no micrograph_blob/path"),
        (
            "micrograph_blob/path",
            np.array(["J2/gone.mrc", "J2/too.mrc"]),
            r"None of the first 2 micrographs is there \(first: J2/gone\.mrc\): give --project_dir",
        ),
    ],
)
def test_bad_exposures(project: Path, name: str, values: Array, sentence: str) -> None:
    path = write_exposures(project, exposure_columns() | {name: values})
    with pytest.raises(InputError, match=sentence):
        list_exposures(read_exposure_files([path]), None, Path("m.star"))


@pytest.mark.parametrize("bad", [0, 1])
@pytest.mark.parametrize(("content", "reason"), [(None, "There is no micrograph at"), (b"", "is empty")])
def test_exposures_that_cannot_be_read_stay_listed(
    project: Path, caplog: pytest.LogCaptureFixture, bad: int, content: bytes | None, reason: str
) -> None:
    Path(PATHS[bad]).unlink()
    if content is not None:
        Path(PATHS[bad]).write_bytes(content)
    micrographs = list_exposures(read_exposure_files([CSG]), None, Path("m.star"))
    assert [micrograph.name for micrograph in micrographs] == PATHS
    (told,) = caplog.messages
    assert told.startswith("1 of 2 micrographs cannot be read, and stay listed")
    assert reason in told and PATHS[bad] in told


def test_another_shape_is_refused_beside_exposures_that_cannot_be_read(project: Path) -> None:
    Path(PATHS[0]).unlink()
    columns = exposure_columns() | {"micrograph_blob/shape": np.array([SHAPE[::-1]] * 2, "<u4")}
    path = write_exposures(project, columns)
    with pytest.raises(InputError, match="has 640×480 pixels, but CryoSPARC says 480×640"):
        list_exposures(read_exposure_files([path]), None, Path("m.star"))


def test_no_exposure_can_be_read(project: Path) -> None:
    for path in PATHS:
        Path(path).write_bytes(b"")
    with pytest.raises(InputError, match=f"{PATHS[0]} is empty"):
        list_exposures(read_exposure_files([CSG]), None, Path("m.star"))
    assert not Path("m.star").exists()


def test_passthrough_file_was_not_given(project: Path) -> None:
    with pytest.raises(InputError, match="no column micrograph_blob/path, only the slots ctf: give the"):
        read_exposure_files([Path("J5/J5_passthrough_exposures.cs")])


def test_what_is_not_known_is_left_out(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    columns = {
        name: values for name, values in exposure_columns().items() if name.startswith(("uid", "micrograph_blob"))
    }
    write_cs(Path("bare.cs"), make_table(columns))
    exposures = read_exposure_files([Path("bare.cs")])
    assert [(item.group, item.ctf, item.total_dose, item.optics.voltage) for item in exposures.items] == [
        (0, None, None, None)
    ] * 2
    assert "exposure group 0 is taken" in caplog.text
    list_exposures(exposures, None, Path("m.star"))
    assert "attnpickTotalDose" not in Path("m.star").read_text()
    usual = "voltage (300 kV), spherical aberration (2.7 mm), amplitude contrast (0.1)"
    assert caplog.text.count(f"CryoSPARC does not tell everything of 2 of 2 micrographs: the usual {usual} is") == 1


def test_a_known_microscope_is_not_called_usual(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    columns = exposure_columns()
    list_exposures(read_exposure_files([write_exposures(project, columns)]), None, Path("m.star"))
    assert "usual" not in caplog.text
    voltage = {"mscope_params/accel_kv": np.array([300, 0], "<f4")}
    list_exposures(read_exposure_files([write_exposures(project, columns | voltage)]), None, Path("m.star"))
    assert "of 1 of 2 micrographs: the usual voltage (300 kV) is written" in caplog.text


def test_pixel_size_of_a_header_is_told(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = write_exposures(project, exposure_columns() | {"micrograph_blob/psize_A": np.full(2, 0.75, "<f4")})
    with caplog.at_level(logging.WARNING):
        list_exposures(read_exposure_files([path]), None, Path("m.star"))
    assert caplog.text.count("its header says 1.5 Å per pixel, CryoSPARC 0.75; CryoSPARC is believed") == 1


def test_exposures_of_another_binning(project: Path, tiny_checkpoint: Path) -> None:
    """A job of this program knows the shape and the pixel size that it picked at."""
    list_exposures(read_exposure_files([CSG]), None, Path("micrographs.star"))
    given = ["--diameter", "72", "--gpu", "cpu", "--weights", str(tiny_checkpoint), "--j", "1", "--max_picks", "1"]
    assert run_plain_command(group, ["pick", "micrographs.star", "--out", "picked", *given]) == 0
    columns = exposure_columns()
    path = write_exposures(project, columns | {"micrograph_blob/shape": np.array([(960, 1280)] * 2, "<u4")})
    with pytest.raises(InputError, match=r"had 640×480 pixels when it was picked, but the exposure .* has 1280×960"):
        export_picks(Path("picked"), read_exposure_files([path]), Path("out"))
    path = write_exposures(project, columns | {"micrograph_blob/psize_A": np.full(2, 0.75, "<f4")})
    with pytest.raises(InputError, match=r"1\.5 Å per pixel in its STAR file and 0\.75 in CryoSPARC"):
        export_picks(Path("picked"), read_exposure_files([path]), Path("out"))


def test_pixel_size_that_was_given_counts_as_the_jobs(project: Path, tiny_checkpoint: Path) -> None:
    """The list has none or a wrong one: an export must not go by it, and has no option to say so."""
    Path("micrographs.star").write_text("data_\n\nloop_ \n_rlnMicrographName #1 \n" + "\n".join(PATHS) + "\n \n")
    given = ["--diameter", "72", "--gpu", "cpu", "--weights", str(tiny_checkpoint), "--j", "1", "--max_picks", "1"]
    pick = ["pick", "micrographs.star", "--out", "picked", *given, "--pixel_size"]
    assert run_plain_command(group, [*pick, "1.5"]) == 0
    assert export_picks(Path("picked"), read_exposure_files([CSG]), Path("out")).n_micrographs == 2
    assert run_plain_command(group, ["evaluate", "picked", "picked", "--diameter", "72"]) == 0
    assert run_plain_command(group, [*pick, "0.75"]) == 0
    with pytest.raises(InputError, match=r"0\.75 Å per pixel in its STAR file and 1\.5 in CryoSPARC"):
        export_picks(Path("picked"), read_exposure_files([CSG]), Path("out"))


def test_picks_of_one_micrograph_without_its_name(project: Path) -> None:
    write_job(MARK)
    with pytest.raises(InputError, match="of one micrograph without its name"):
        export_picks(Path("picks/one_autopick.star"), read_exposure_files([CSG]), Path("out"))


def test_picks_of_the_library(project: Path) -> None:
    """Fractions of a pixel survive where no STAR file is in between."""
    from relion_attn_picker.io.cryosparc_picks import ExposurePicks, make_pick_table

    (exposure, _) = read_exposure_files([CSG]).items
    micrograph = list_exposures(read_exposure_files([CSG]), None, Path("m.star"))[0]
    picks = Picks(micrograph, np.array([[300.25, 100.75]], np.float32), np.array([0.5], np.float32))
    (row,) = make_pick_table([ExposurePicks(exposure, picks.yx, picks.score)], np.random.default_rng(1))
    np.testing.assert_allclose(row["location/center_y_frac"] * 480, 300.25, atol=1e-4)
    np.testing.assert_allclose(row["location/center_x_frac"] * 640, 100.75, atol=1e-4)


def test_picks_on_images_of_another_shape(project: Path) -> None:
    """CryoSPARC need not tell the pixel size, but always the shape."""
    list_exposures(read_exposure_files([CSG]), None, Path("micrographs.star"))
    columns = picked_columns(micrograph_shape=np.array([[2 * side for side in SHAPE]] * 2, "<u4"))
    write_cs(Path("p.cs"), make_table(columns))
    with pytest.raises(InputError, match=r"_wide.mrc has 640×480 pixels, but CryoSPARC says 1280×960"):
        import_picks([Path("p.cs")], Path("micrographs.star"), "out")
    assert not Path("out").exists()


def test_image_that_cannot_be_read_keeps_no_picks_out(project: Path) -> None:
    """What is wrong with it, the job tells that needs it."""
    list_exposures(read_exposure_files([CSG]), None, Path("micrographs.star"))
    Path(PATHS[0]).write_bytes(b"cut short")
    write_cs(Path("two.cs"), make_table(picked_columns(micrograph_path=np.array(PATHS))))
    assert import_picks([Path("two.cs")], Path("micrographs.star"), "out").n_picks == 2


def test_coordinates_of_an_earlier_import_are_not_left_among_those_written(project: Path) -> None:
    write_cs(Path("one.cs"), make_table(picked_columns()))
    write_cs(Path("two.cs"), make_table(picked_columns(micrograph_path=np.array(PATHS))))
    import_picks([Path("two.cs")], None, "out")
    with pytest.raises(InputError, match=r"out has 1 files of coordinates that are not of these micrographs .*_other_"):
        import_picks([Path("one.cs")], None, "out")
    assert len(open_coordinates(Path("out")).micrograph_names or ()) == 2
