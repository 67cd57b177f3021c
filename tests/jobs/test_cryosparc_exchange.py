"""Geometry and names between CryoSPARC and RELION: a mark on a rectangular image is where it was, on its own image.

The answers are worked out by hand: a mark at row 300 and column 100 of 480 rows and 640 columns has the fractions
300/480 and 100/640. A swap, a flip and a shift of half a pixel each give other numbers.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
import starfile

from relion_attn_picker.cli import group
from relion_attn_picker.cli._plain_command import run_plain_command
from relion_attn_picker.errors import InputError
from relion_attn_picker.io.cryosparc import make_table, read_cs, write_cs
from relion_attn_picker.jobs.cryosparc_exchange import (
    export_picks,
    import_picks,
    list_exposures,
    read_exposure_files,
)
from relion_attn_picker.picks import Picks
from relion_attn_picker.relion.coordinates import open_coordinates
from relion_attn_picker.relion.job import JobDirectory
from relion_attn_picker.relion.job_files import write_coordinate_index, write_picks
from relion_attn_picker.relion.micrographs import read_micrographs

Array = np.ndarray[Any, Any]

SHAPE, PIXEL_SIZE = (480, 640), 1.5
MARK = (300, 100)
"""Row and column: in no symmetric place."""

UIDS = np.array([12951868257382468663, 7], dtype="<u8")
PATHS = [f"J2/motioncorrected/{UIDS[0]:021d}_wide.mrc", f"J2/motioncorrected/{UIDS[1]:021d}_other.mrc"]


def exposure_columns() -> dict[str, Array]:
    """Return two exposures as CryoSPARC lists them."""
    return {
        "uid": UIDS,
        "micrograph_blob/path": np.array(PATHS),
        "micrograph_blob/idx": np.zeros(2, "<u4"),
        "micrograph_blob/shape": np.array([SHAPE, SHAPE], "<u4"),
        "micrograph_blob/psize_A": np.full(2, PIXEL_SIZE, "<f4"),
        "mscope_params/accel_kv": np.full(2, 300, "<f4"),
        "mscope_params/cs_mm": np.full(2, 2.7, "<f4"),
        "mscope_params/total_dose_e_per_A2": np.array([50.5, 51.25], "<f4"),
        "mscope_params/exp_group_id": np.array([3, 4], "<u4"),
        "ctf/amp_contrast": np.full(2, 0.07, "<f4"),
        "ctf/df1_A": np.array([15000, 16000], "<f4"),
        "ctf/df2_A": np.array([14000, 15500], "<f4"),
        "ctf/df_angle_rad": np.array([np.pi / 6, -np.pi / 4], "<f4"),
        "ctf/phase_shift_rad": np.array([0, np.pi / 2], "<f4"),
    }


def write_exposures(folder: Path, columns: Mapping[str, Array]) -> Path:
    """Write ``J5/J5_exposures.csg`` with ``ctf`` in a passthrough file of another order, and return its path."""
    own = {name: values for name, values in columns.items() if not name.startswith("ctf/")}
    other = {name: values[::-1] for name, values in columns.items() if name == "uid" or name.startswith("ctf/")}
    (folder / "J5").mkdir(exist_ok=True)
    write_cs(folder / "J5/J5_exposures.cs", make_table(own))
    write_cs(folder / "J5/J5_passthrough_exposures.cs", make_table(other))
    files = {"micrograph_blob": "J5_exposures", "mscope_params": "J5_exposures", "ctf": "J5_passthrough_exposures"}
    lines = "".join(
        f"  {slot}:\n    metafile: '>{name}.cs'\n    num_items: 2\n    type: exposure.{slot}\n"
        for slot, name in files.items()
    )
    (folder / "J5/J5_exposures.csg").write_text(f"group:\n  type: exposure\nresults:\n{lines}version: v4.5.3\n")
    return folder / "J5/J5_exposures.csg"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A CryoSPARC project, the current folder: two rectangular micrographs with a dark particle at ``MARK``."""
    generator = np.random.default_rng(3)
    y, x = np.indices(SHAPE)
    for path in PATHS:
        image = generator.normal(0, 0.3, SHAPE) - 5 * np.exp(-((y - MARK[0]) ** 2 + (x - MARK[1]) ** 2) / (2 * 12**2))
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        mrcfile.write(tmp_path / path, image.astype(np.float32), voxel_size=PIXEL_SIZE)
    write_exposures(tmp_path, exposure_columns())
    monkeypatch.chdir(tmp_path)
    return tmp_path


CSG = Path("J5/J5_exposures.csg")


def write_job(*yx: tuple[float, float], name: str = PATHS[0]) -> Path:
    """Write a picking job by hand, with the picks ``yx`` on one micrograph, scores falling from 0.9."""
    points = np.array(yx, np.float32).reshape(-1, 2)
    score = np.linspace(0.9, 0.8, len(points), dtype=np.float32)
    Path("picks").mkdir(exist_ok=True)
    write_picks(Path("picks/one_autopick.star"), points, score, SHAPE)
    write_coordinate_index(Path("picks/autopick.star"), [name], ["picks/one_autopick.star"])
    return Path("picks")


def test_exposures_become_a_list(project: Path) -> None:
    exposures = read_exposure_files([CSG])
    assert list_exposures(exposures, None, Path("micrographs.star")) == read_micrographs(Path("micrographs.star"))
    first, second = read_micrographs(Path("micrographs.star"))
    assert [first.name, second.name] == PATHS
    assert (first.optics.pixel_size, first.optics.voltage, first.optics.spherical_aberration) == (1.5, 300, 2.7)
    assert first.optics.amplitude_contrast == 0.07
    assert (first.optics.index, second.optics.index) == (1, 2)
    assert first.ctf is not None and second.ctf is not None
    assert (first.ctf.defocus_u, first.ctf.defocus_v) == (15000, 14000)
    np.testing.assert_allclose([first.ctf.defocus_angle, second.ctf.defocus_angle], [30, -45], rtol=1e-5)
    np.testing.assert_allclose([first.ctf.phase_shift, second.ctf.phase_shift], [0, 90], rtol=1e-5)
    table = starfile.read("micrographs.star")["micrographs"]
    assert table["attnpickTotalDose"].tolist() == [50.5, 51.25]


def test_list_from_another_folder(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (project / "elsewhere").mkdir()
    monkeypatch.chdir(project / "elsewhere")
    exposures = read_exposure_files([project / CSG])
    for project_dir in (None, project, Path("..")):
        micrographs = list_exposures(exposures, project_dir, Path("m.star"))
        assert [micrograph.name for micrograph in micrographs] == [str(project / path) for path in PATHS]


def test_exported_copy(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Paths with '>' are relative to the copy's own folder; picks are written without it."""
    columns = exposure_columns() | {"micrograph_blob/path": np.array([">mics/" + Path(path).name for path in PATHS])}
    copy = project / "exports/copy"
    copy.mkdir(parents=True)
    (copy / "mics").symlink_to(project / "J2/motioncorrected")
    exposures = read_exposure_files([write_exposures(copy, columns)])
    with pytest.raises(InputError, match="There is no micrograph"):
        list_exposures(exposures, None, Path("m.star"))
    (copy / "J5/mics").symlink_to(project / "J2/motioncorrected")
    micrographs = list_exposures(exposures, None, Path("m.star"))
    assert micrographs[0].name == f"exports/copy/J5/mics/{Path(PATHS[0]).name}"
    written = export_picks(write_job(MARK), exposures, Path("out"))
    assert read_cs(written.table)["location/micrograph_path"].tolist() == [f"mics/{Path(PATHS[0]).name}".encode()]
    assert "without its mark '>'" in caplog.text


def test_a_mark_goes_to_cryosparc(project: Path) -> None:
    written = export_picks(write_job(MARK), read_exposure_files([CSG]), Path("out"), seed=1)
    (row,) = read_cs(written.table)
    assert row["location/micrograph_shape"].tolist() == [480, 640]
    assert row["location/center_y_frac"] == np.float32(300 / 480)
    assert row["location/center_x_frac"] == np.float32(100 / 640)
    assert row["location/micrograph_uid"] == UIDS[0]
    assert row["location/micrograph_path"] == PATHS[0].encode()
    assert row["location/exp_group_id"] == 3
    assert row["location/micrograph_psize_A"] == np.float32(1.5)
    assert row["pick_stats/ncc_score"] == row["pick_stats/power"] == np.float32(0.9)
    particles = starfile.read(written.star)
    assert particles["rlnMicrographName"].tolist() == [Path(PATHS[0]).name]
    assert particles[["rlnCoordinateY", "rlnCoordinateX"]].to_numpy().tolist() == [[300, 100]]
    np.testing.assert_allclose(particles["rlnAutopickFigureOfMerit"], [0.9], atol=1e-6)


def test_types_are_those_that_the_server_asks_for(project: Path) -> None:
    """Name, type and shape, from a reply of a 4.7.1 server that cryosparc-tools keeps for its own tests."""
    written = export_picks(write_job(MARK), read_exposure_files([CSG]), Path("out"), min_distance=90.0)
    dtype = read_cs(written.table).dtype
    expected = {
        "uid": ("<u8", ()),
        "location/micrograph_uid": ("<u8", ()),
        "location/exp_group_id": ("<u4", ()),
        "location/micrograph_path": (f"|S{len(PATHS[0]) + 1}", ()),
        "location/micrograph_shape": ("<u4", (2,)),
        "location/micrograph_psize_A": ("<f4", ()),
        "location/center_x_frac": ("<f4", ()),
        "location/center_y_frac": ("<f4", ()),
        "location/min_dist_A": ("<f4", ()),
        "pick_stats/ncc_score": ("<f4", ()),
        "pick_stats/power": ("<f4", ()),
        "pick_stats/template_idx": ("<u4", ()),
        "pick_stats/angle_rad": ("<f4", ()),
    }
    assert {name: (dtype[name].base.str, dtype[name].shape) for name in dtype.names or ()} == expected


@pytest.mark.parametrize("flip", [False, True])
def test_there_and_back(project: Path, flip: bool, rng: np.random.Generator) -> None:
    """All whole pixels near the corners and 200 others; the file between is mirrored or not."""
    corners = [(0, 0), (0, 639), (479, 0), (479, 639), (1, 2)]
    points = corners + [(int(y), int(x)) for y, x in rng.integers(0, SHAPE, (200, 2))]
    list_exposures(read_exposure_files([CSG]), None, Path("micrographs.star"))
    written = export_picks(write_job(*points), read_exposure_files([CSG]), Path("out"), flip_y=flip)
    stored = np.rint(read_cs(written.table)["location/center_y_frac"].astype(float) * 480)
    assert stored.tolist() == [479 - y if flip else y for y, _ in points]
    assert starfile.read(written.star)["rlnCoordinateY"].tolist() == stored.tolist()
    done = import_picks([written.group], Path("micrographs.star"), JobDirectory.open("back"), flip_y=flip)
    back = open_coordinates(done.index).read(PATHS[0])
    assert back is not None and back.score is not None
    assert [tuple(row) for row in back.yx.tolist()] == points
    np.testing.assert_allclose(back.score, np.linspace(0.9, 0.8, len(points)), atol=2e-6)


def test_a_particle_is_picked_and_goes_there_and_back(project: Path, tiny_checkpoint: Path) -> None:
    """The whole way of a user, by the command line."""
    assert run_plain_command(group, ["cryosparc", "exposures", str(CSG)]) == 0
    given = ["--diameter", "72", "--threshold", "0.99", "--gpu", "cpu", "--weights", str(tiny_checkpoint), "--j", "1"]
    assert run_plain_command(group, ["pick", "micrographs.star", "--out", "picked", *given]) == 0
    arguments = ["cryosparc", "export", "picked", "--exposures", str(CSG), "--out", "out", "--seed", "5"]
    assert run_plain_command(group, arguments) == 0
    table = read_cs(Path("out/attnpick_picks.cs"))
    assert sorted(table["location/micrograph_path"].tolist()) == sorted(path.encode() for path in PATHS)
    np.testing.assert_allclose(table["location/center_y_frac"] * 480, 300, atol=1.01)
    np.testing.assert_allclose(table["location/center_x_frac"] * 640, 100, atol=1.01)
    np.testing.assert_allclose(table["location/min_dist_A"], 0.6 * 72, rtol=1e-6)
    arguments = ["cryosparc", "import", "out/attnpick_picks.csg", "--micrographs", "micrographs.star", "--out", "back"]
    assert run_plain_command(group, arguments) == 0
    for path in PATHS:
        picked, back = open_coordinates(Path("picked")).read(path), open_coordinates(Path("back")).read(path)
        assert picked is not None and back is not None
        np.testing.assert_array_equal(picked.yx, back.yx)
    assert run_plain_command(group, ["evaluate", "back", "picked", "--diameter", "72", "--pixel_size", "1.5"]) == 0
    assert run_plain_command(group, [*arguments[:-2], "--flip_y", "--out", "mirrored"]) == 0
    mirrored = open_coordinates(Path("mirrored")).read(PATHS[0])
    assert mirrored is not None
    np.testing.assert_allclose(mirrored.yx[0], [479 - 300, 100], atol=1.01)


def test_instructions_are_printed(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_job(MARK)
    assert run_plain_command(group, ["cryosparc", "export", "picks", "--exposures", str(CSG), "--out", "out"]) == 0
    printed = capsys.readouterr().out
    assert "1 picks on 1 micrographs" in printed
    assert f"path of the .csg file: {project}/out/attnpick_picks.csg" in printed
    for field in ("Ignore raw data", "Ignore pose data", "Remove leading UID in input micrograph path"):
        assert field in printed


def test_uids_are_new_each_time(project: Path) -> None:
    """Two sets of picks with the same uids would be taken for the same particles."""
    job, exposures = write_job(MARK, (10, 20)), read_exposure_files([CSG])
    uids = [read_cs(export_picks(job, exposures, Path("out"), seed=seed).table)["uid"] for seed in (None, None, 1, 1)]
    assert len(set(uids[0]) | set(uids[1]) | set(uids[2])) == 6
    np.testing.assert_array_equal(uids[2], uids[3])


def test_coordinates_without_scores(project: Path) -> None:
    """Manual picks: a group with ``location`` only, and back without scores."""
    Path("picks").mkdir()
    Path("picks/manual.star").write_text("\ndata_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n100 300\n \n")
    write_coordinate_index(Path("picks/manualpick.star"), [PATHS[1]], ["picks/manual.star"])
    written = export_picks(Path("picks"), read_exposure_files([CSG]), Path("out"))
    assert "pick_stats" not in written.group.read_text()
    assert not [name for name in read_cs(written.table).dtype.names or () if name.startswith("pick_stats")]
    done = import_picks([written.table], None, JobDirectory.open("back"))
    back = open_coordinates(done.index).read(PATHS[1])
    assert back is not None and back.score is None
    assert back.yx.tolist() == [[300, 100]]


def test_no_picks_at_all(project: Path) -> None:
    written = export_picks(write_job(), read_exposure_files([CSG]), Path("out"))
    assert len(read_cs(written.table)) == 0
    assert len(starfile.read(written.star)) == 0
    with pytest.raises(InputError, match="there are no picks in it"):
        import_picks([written.group], None, JobDirectory.open("back"))


def test_names_of_another_program(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    job = write_job(MARK, name="Micrographs/wide.mrc")
    assert (
        read_cs(export_picks(job, read_exposure_files([CSG]), Path("out")).table)["location/micrograph_uid"] == UIDS[0]
    )
    names = ["Micrographs/wide.mrc", "Micrographs/unknown.mrc"]
    write_coordinate_index(job / "autopick.star", names, ["picks/one_autopick.star"] * 2)
    assert export_picks(job, read_exposure_files([CSG]), Path("out")).n_picks == 1
    assert "1 of 2 micrographs are not among the exposures" in caplog.text
    write_coordinate_index(job / "autopick.star", names[1:], ["picks/one_autopick.star"])
    with pytest.raises(InputError, match=r"None of the 1 micrographs of picks is among the 2 exposures.*unknown\.mrc"):
        export_picks(job, read_exposure_files([CSG]), Path("out"))


def test_equal_file_names_get_no_star(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = ["J2/x/m.mrc", "J2/y/m.mrc"]
    path = write_exposures(project, exposure_columns() | {"micrograph_blob/path": np.array(names)})
    job = write_job(MARK)
    write_coordinate_index(job / "autopick.star", names, ["picks/one_autopick.star"] * 2)
    written = export_picks(job, read_exposure_files([path]), Path("out"))
    assert (written.star, written.n_picks) == (None, 2)
    assert "same file name" in caplog.text


def test_picks_outside_the_micrograph(project: Path) -> None:
    Path("picks").mkdir()
    Path("picks/a.star").write_text("\ndata_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n10 10\n100 480\n \n")
    write_coordinate_index(Path("picks/autopick.star"), [PATHS[0]], ["picks/a.star"])
    with pytest.raises(InputError, match="1 picks outside its 640×480 pixels, the first at x = 100, y = 480"):
        export_picks(Path("picks"), read_exposure_files([CSG]), Path("out"))


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
        import_picks([Path("p.cs")], Path("m.star"), JobDirectory.open("back"))


def test_picks_without_location(project: Path) -> None:
    with pytest.raises(InputError, match="no column location/micrograph_path, only the slots micrograph_blob"):
        import_picks([Path("J5/J5_exposures.cs")], None, JobDirectory.open("back"))


def test_picks_that_are_lost_are_told(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    list_exposures(read_exposure_files([CSG]), None, Path("m.star"))
    columns = picked_columns(micrograph_path=np.array([PATHS[0], "J9/x.mrc"]))
    write_cs(Path("p.cs"), make_table(columns | {"alignments2D/shift": np.ones((2, 2), "<f4")}))
    done = import_picks([Path("p.cs")], Path("m.star"), JobDirectory.open("back"))
    assert (done.n_picks, done.n_micrographs) == (1, 1)
    assert "1 of 2 micrographs with picks are not listed in m.star" in caplog.text
    assert "shifts of an alignment, which are not applied" in caplog.text
    write_cs(Path("p.cs"), make_table(picked_columns(center_x_frac=np.array([0.1, 1.2], "<f4"))))
    assert import_picks([Path("p.cs")], None, JobDirectory.open("back")).n_picks == 1
    assert "1 picks have their centre outside" in caplog.text


@pytest.mark.parametrize(
    ("name", "values", "sentence"),
    [
        ("micrograph_blob/shape", np.array([SHAPE[::-1]] * 2, "<u4"), "has 640×480 pixels, but CryoSPARC says 480×640"),
        ("micrograph_blob/shape", np.array([480, 480], "<u4"), r"has the shape \(2,\)"),
        ("micrograph_blob/shape", np.array([SHAPE, (0, 0)], "<u4"), r"Row 2: .* is \[0, 0\]"),
        ("micrograph_blob/psize_A", np.array([1.5, 0], "<f4"), r"Row 2: .* is 0\.0: expected Å per pixel"),
        ("micrograph_blob/path", np.array([PATHS[0], PATHS[0]]), "twice: expected each once"),
        ("micrograph_blob/path", np.array([PATHS[0], ""]), "Row 2 has no micrograph_blob/path"),
        ("micrograph_blob/path", np.array(["J2/gone.mrc", PATHS[0]]), "There is no micrograph .*give --project_dir"),
        ("micrograph_blob/path", np.array([PATHS[0], "J2/gone.mrc"]), "There is no micrograph at J2/gone.mrc"),
    ],
)
def test_bad_exposures(project: Path, name: str, values: Array, sentence: str) -> None:
    path = write_exposures(project, exposure_columns() | {name: values})
    with pytest.raises(InputError, match=sentence):
        list_exposures(read_exposure_files([path]), None, Path("m.star"))


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
