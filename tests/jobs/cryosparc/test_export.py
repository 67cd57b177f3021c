"""Geometry and names from RELION to CryoSPARC and back: a mark on a rectangular image stays on its own image, in place.

The answers are worked out by hand: a mark at row 300 and column 100 of 480 rows and 640 columns has the fractions
300/480 and 100/640. A swap, a flip and a shift of half a pixel each give other numbers.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import starfile

from relion_attn_picker.cli import group
from relion_attn_picker.cli._plain_command import run_plain_command
from relion_attn_picker.errors import InputError
from relion_attn_picker.io.cryosparc import read_cs
from relion_attn_picker.jobs.cryosparc.exchange import (
    export_picks,
    list_exposures,
    read_exposure_files,
)
from relion_attn_picker.jobs.cryosparc.importing import import_picks
from relion_attn_picker.relion.coordinates import open_coordinates
from relion_attn_picker.relion.job_files import write_coordinate_index, write_picks, write_truth
from relion_attn_picker.relion.micrographs import read_micrographs
from relion_attn_picker.relion.star import format_table
from tests.jobs.cryosparc.conftest import CSG, MARK, PATHS, SHAPE, UIDS, exposure_columns, write_exposures, write_job


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
    with pytest.raises(InputError, match="None of the first 2 micrographs is there"):
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
    done = import_picks([written.group], Path("micrographs.star"), "back", flip_y=flip)
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


def test_damaged_options_of_the_job(project: Path) -> None:
    picks = write_job(MARK)
    (picks / "picking_options.json").write_text('{"version": "1')
    with pytest.raises(InputError, match=r"picks/picking_options\.json is not what a picking job of attnpick writes"):
        export_picks(picks, read_exposure_files([CSG]), Path("out"))
    assert not Path("out").exists()


def test_coordinates_without_scores(project: Path) -> None:
    """Manual picks: a group with ``location`` only, and back without scores."""
    Path("picks").mkdir()
    Path("picks/manual.star").write_text("\ndata_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n100 300\n \n")
    write_coordinate_index(Path("picks/manualpick.star"), [PATHS[1]], ["picks/manual.star"])
    written = export_picks(Path("picks"), read_exposure_files([CSG]), Path("out"))
    assert "pick_stats" not in written.group.read_text()
    assert not [name for name in read_cs(written.table).dtype.names or () if name.startswith("pick_stats")]
    done = import_picks([written.table], None, "back")
    back = open_coordinates(done.index).read(PATHS[1])
    assert back is not None and back.score is None
    assert back.yx.tolist() == [[300, 100]]


def test_no_picks_at_all(project: Path) -> None:
    written = export_picks(write_job(), read_exposure_files([CSG]), Path("out"))
    assert len(read_cs(written.table)) == 0
    assert len(starfile.read(written.star)) == 0
    with pytest.raises(InputError, match="there are no picks in it"):
        import_picks([written.group], None, "back")


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


@pytest.mark.parametrize("flip", [False, True])
def test_half_a_pixel_at_the_edge_stays_inside(project: Path, flip: bool) -> None:
    """CryoSPARC has no fraction below 0, and RELION's Extract none either."""
    Path("picks").mkdir()
    Path("picks/a.star").write_text("\ndata_\n\nloop_\n_rlnCoordinateX #1\n_rlnCoordinateY #2\n-0.4 479.4\n9 -0.5\n \n")
    write_coordinate_index(Path("picks/autopick.star"), [PATHS[0]], ["picks/a.star"])
    written = export_picks(Path("picks"), read_exposure_files([CSG]), Path("out"), flip_y=flip)
    y = [0, 479.5] if flip else [479.4, 0]
    np.testing.assert_allclose(read_cs(written.table)["location/center_x_frac"] * 640, [0, 9], atol=1e-4)
    np.testing.assert_allclose(read_cs(written.table)["location/center_y_frac"] * 480, y, atol=1e-4)
    assert written.star is not None
    np.testing.assert_allclose(starfile.read(written.star)["rlnCoordinateY"], y, atol=1e-4)


def test_score_that_is_no_number(project: Path) -> None:
    write_job(MARK)
    score = np.array([np.nan], np.float32)
    write_picks(Path("picks/one_autopick.star"), np.array([MARK], np.float32), score, SHAPE)
    with pytest.raises(InputError, match="1 of 1 picks have no score that is a finite number"):
        export_picks(Path("picks"), read_exposure_files([CSG]), Path("out"))
    assert not Path("out").exists()


@pytest.mark.parametrize(
    ("options", "message"),
    [({"seed": -1}, "The seed is -1"), ({"min_distance": -1.0}, "is -1"), ({"min_distance": np.nan}, "is nan")],
)
def test_options_that_cannot_be_meant(project: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        export_picks(write_job(MARK), read_exposure_files([CSG]), Path("out"), **options)


@pytest.mark.parametrize("has_scores", [True, False])
def test_command_says_whether_there_are_scores(
    project: Path, capsys: pytest.CaptureFixture[str], has_scores: bool
) -> None:
    folder = write_job(MARK)
    if not has_scores:
        write_truth(folder / "one_autopick.star", np.array([MARK], np.float32))
    assert run_plain_command(group, ["cryosparc", "export", str(folder), "--exposures", str(CSG), "--out", "out"]) == 0
    told = capsys.readouterr().out
    assert ("In CryoSPARC, with scores (best):" in told) == has_scores
    assert ("'Inspect Picks'" in told) == has_scores
    assert ("In CryoSPARC (the picks have no scores):" in told) != has_scores


def write_particles_file(name: str, optics: dict[str, list[Any]], **more: float) -> Path:
    """Write one particle at ``MARK`` on the first micrograph, with an optics table."""
    row = {"rlnMicrographName": [PATHS[0]], "rlnOpticsGroup": [1]}
    row |= {"rlnCoordinateX": [float(MARK[1])], "rlnCoordinateY": [float(MARK[0])]}
    row |= {label: [value] for label, value in more.items()}
    Path(name).write_text(format_table("optics", {"rlnOpticsGroup": [1], **optics}) + format_table("particles", row))
    return Path(name)


def test_coordinates_of_another_pixel_size(project: Path) -> None:
    binned = write_particles_file("binned.star", {"rlnMicrographPixelSize": [3.0]})
    with pytest.raises(InputError, match=r"pixels of 3 Å, but .*_wide.mrc has 1.5 Å: attnpick convert --factor 2"):
        export_picks(binned, read_exposure_files([CSG]), Path("out"))
    assert not Path("out").exists()


def test_refined_centres_take_the_pixel_size_of_the_exposures(project: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Extract tells the pixel size of the movies, which were binned: with it twice the shift would be taken."""
    optics = {"rlnMicrographOriginalPixelSize": [0.75], "rlnImagePixelSize": [3.0]}
    refined = write_particles_file("refined.star", optics, rlnOriginXAngst=30.0, rlnOriginYAngst=-15.0)
    (row,) = read_cs(export_picks(refined, read_exposure_files([CSG]), Path("out")).table)
    assert row["location/center_y_frac"] == np.float32((MARK[0] + 10) / 480)
    assert row["location/center_x_frac"] == np.float32((MARK[1] - 20) / 640)
    assert caplog.text == ""


def test_micrographs_without_picks_take_no_scores_away(project: Path) -> None:
    """RELION's own picker leaves an empty file where it finds nothing."""
    picks = write_job(MARK)
    Path("picks/none_autopick.star").write_text("")
    write_coordinate_index(picks / "autopick.star", PATHS, ["picks/one_autopick.star", "picks/none_autopick.star"])
    written = export_picks(picks, read_exposure_files([CSG]), Path("out"))
    assert written.has_scores
    assert read_cs(written.table)["pick_stats/ncc_score"].tolist() == [np.float32(0.9)]
    write_truth(Path("picks/none_autopick.star"), np.array([MARK], dtype=np.float32))
    with pytest.raises(InputError, match=r"1 of 2 micrographs have picks without a score, the first .*_other.mrc"):
        export_picks(picks, read_exposure_files([CSG]), Path("out"))
