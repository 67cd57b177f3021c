"""RELION 3.1 itself runs the External job, registers what it made, and cuts centred boxes from it."""

from __future__ import annotations

import os
import shutil
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest
import starfile

from relion_attn_picker.micrograph import CtfParameters, Micrograph, OpticsGroup
from relion_attn_picker.relion.coordinates import open_coordinates
from relion_attn_picker.relion.job import JobDirectory
from relion_attn_picker.relion.job_files import write_coords_suffix, write_picks
from relion_attn_picker.relion.micrographs import write_micrographs

pytestmark = [
    pytest.mark.relion,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("relion_pipeliner") is None, reason="RELION is not installed (relion_pipeliner)"),
]

SUCCEEDED, FAILED, ABORTED = 2, 3, 4
MICROGRAPHS, COORDINATES, PARTICLES, LOGFILE = 1, 2, 3, 13
IMPORTED = "Import/job001/micrographs.star"
BOX = 64
DIAMETER = 72.0
THRESHOLD = 0.99
"""So high that the darkest noise of the micrograph without particles stays below it."""
TIMEOUT = 120
MARKERS = {f"RELION_JOB_{end}" for end in ("EXIT_SUCCESS", "EXIT_FAILURE", "EXIT_ABORTED", "ABORT_NOW")}


class Project:
    """A RELION project, driven as its GUI would: jobs are added with options, then run."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        pipeline = "\n# version 30001\n\ndata_pipeline_general\n\n_rlnPipeLineJobCounter 1\n \n"
        (folder / "default_pipeline.star").write_text(pipeline)

    def add(self, kind: str, **options: object) -> str:
        """Add a job and return its name."""
        text = ";".join(f"{key} == {value}" for key, value in options.items())
        self.pipeliner("--addJob", kind, "--addJobOptions", text)
        return str(self.processes()["rlnPipeLineProcessName"].iloc[-1])

    def run(self, kind: str, **options: object) -> str:
        """Add a job, run it until RELION sees its end, and return its name."""
        job = self.add(kind, **options)
        self.pipeliner("--RunJobs", job, "--sec_wait_after", "1")
        return job

    def import_micrographs(self) -> str:
        microscope = {"angpix": 1.5, "kV": 300, "Cs": 2.7, "Q0": 0.1}
        return self.run("Import", do_raw="Yes", fn_in_raw="Micrographs/*.mrc", is_multiframe="No", **microscope)

    def extract(self, coords_suffix: str) -> str:
        options = {"extract_size": BOX, "do_norm": "No", "do_invert": "No", "nr_mpi": 1}
        return self.run("Extract", star_mics=IMPORTED, coords_suffix=coords_suffix, **options)

    def pipeliner(self, *arguments: str) -> None:
        subprocess.run(
            ["relion_pipeliner", *arguments],
            cwd=self.folder,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            capture_output=True,
            text=True,
            timeout=TIMEOUT,
            check=True,
        )

    def tables(self) -> dict[str, Any]:
        tables: dict[str, Any] = starfile.read(self.folder / "default_pipeline.star", always_dict=True)
        return tables

    def processes(self) -> Any:
        return self.tables()["pipeline_processes"]

    def status(self, job: str) -> int:
        table = self.processes().set_index("rlnPipeLineProcessName")
        return int(table.loc[job, "rlnPipeLineProcessStatus"])

    def nodes(self) -> dict[str, int]:
        table = self.tables()["pipeline_nodes"]
        return dict(zip(table["rlnPipeLineNodeName"], table["rlnPipeLineNodeType"], strict=True))

    def markers(self, job: str) -> set[str]:
        return MARKERS & {path.name for path in (self.folder / job).iterdir()}

    def boxes(self, job: str) -> list[tuple[str, np.ndarray[Any, Any]]]:
        """Return of each extracted particle its micrograph's name and its box."""
        table = starfile.read(self.folder / job / "particles.star")["particles"]
        result = []
        for name, micrograph in zip(table["rlnImageName"], table["rlnMicrographName"], strict=True):
            number, _, stack = name.partition("@")
            result.append((micrograph, mrcfile.read(self.folder / stack)[int(number) - 1]))
        return result


def picking_options(executable: Path, checkpoint: Path, **params: object) -> dict[str, object]:
    """Return the fields of the External job's tabs."""
    params = {"diameter": DIAMETER, "threshold": THRESHOLD, "gpu": "cpu", "weights": checkpoint, **params}
    fields: dict[str, object] = {"fn_exe": executable, "in_mic": IMPORTED, "nr_threads": 1}
    for number, (label, value) in enumerate(params.items(), start=1):
        fields |= {f"param{number}_label": label, f"param{number}_value": value}
    return fields


@pytest.fixture(scope="module")
def project(marked_project: Path) -> Project:
    """The project after its import."""
    project = Project(marked_project)
    assert project.status(project.import_micrographs()) == SUCCEEDED
    return project


@pytest.fixture(scope="module")
def picked(project: Project, external_executable: Path, tiny_checkpoint: Path) -> str:
    """The finished picking job."""
    return project.run("External", **picking_options(external_executable, tiny_checkpoint))


def test_picking_succeeds_and_warns_of_nothing(project: Project, picked: str) -> None:
    assert (project.folder / picked / "run.err").read_text() == ""
    assert project.status(picked) == SUCCEEDED
    assert project.markers(picked) == {"RELION_JOB_EXIT_SUCCESS"}
    assert " Total number of particles from 3 micrographs is 7\n" in (project.folder / picked / "run.out").read_text()


def test_relion_registers_the_output_nodes(project: Project, picked: str) -> None:
    nodes = project.nodes()
    assert nodes[IMPORTED] == MICROGRAPHS
    assert nodes[f"{picked}coords_suffix_autopick.star"] == COORDINATES
    assert nodes[f"{picked}logfile.pdf"] == LOGFILE
    assert (project.folder / ".Nodes" / str(COORDINATES) / picked / "coords_suffix_autopick.star").exists()


def test_every_pick_is_extracted_centred(
    project: Project, picked: str, marked_micrographs: Mapping[str, list[tuple[int, int]]]
) -> None:
    """The picks come from a map of half the size, so they may be off by a pixel or two, but by no more."""
    job = project.extract(f"{picked}coords_suffix_autopick.star")
    boxes = project.boxes(job)
    assert project.status(job) == SUCCEEDED
    assert project.nodes()[f"{job}particles.star"] == PARTICLES
    expected = {name: len(centres) for name, centres in marked_micrographs.items() if centres}
    names = [name for name, _ in boxes]
    assert {name: names.count(name) for name in names} == expected
    for _, box in boxes:
        y, x = np.unravel_index(box.argmin(), box.shape)
        assert max(abs(y - BOX // 2), abs(x - BOX // 2)) <= 2


def test_known_pixels_are_extracted_exactly(
    project: Project, marked_micrographs: Mapping[str, list[tuple[int, int]]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The frame of a coordinate file, to the pixel: no picker takes part."""
    monkeypatch.chdir(project.folder)
    folder = JobDirectory.open("External/by_hand/")
    write_coords_suffix(folder.path / "coords_suffix_autopick.star", IMPORTED)
    for name, path in zip(marked_micrographs, folder.coordinate_paths(list(marked_micrographs)), strict=True):
        path.parent.mkdir(parents=True, exist_ok=True)
        yx = np.array(marked_micrographs[name], np.float32).reshape(-1, 2)
        write_picks(path, yx, np.ones(len(yx), np.float32), mrcfile.read(name).shape)
    job = project.extract("External/by_hand/coords_suffix_autopick.star")
    boxes = project.boxes(job)
    assert len(boxes) == sum(map(len, marked_micrographs.values()))
    marks = np.array([np.unravel_index(box.argmin(), box.shape) for _, box in boxes])
    np.testing.assert_array_equal(marks, BOX // 2)


def test_picks_at_the_very_edge_do_not_end_extract(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """One box completely outside would; ``write_picks`` keeps every centre inside."""
    monkeypatch.chdir(project.folder)
    folder = JobDirectory.open("External/at_the_edge/")
    write_coords_suffix(folder.path / "coords_suffix_autopick.star", IMPORTED)
    (path,) = folder.coordinate_paths(["Micrographs/wide.mrc"])
    path.parent.mkdir(parents=True, exist_ok=True)
    yx = np.array([(-200, -200), (0, 639), (479.6, 0), (999, 999)], np.float32)
    write_picks(path, yx, np.ones(4, np.float32), (480, 640))
    job = project.extract("External/at_the_edge/coords_suffix_autopick.star")
    assert project.status(job) == SUCCEEDED
    assert len(project.boxes(job)) == 4


def test_bad_diameter_fails(project: Project, external_executable: Path, tiny_checkpoint: Path) -> None:
    job = project.run("External", **picking_options(external_executable, tiny_checkpoint, diameter=-5))
    assert project.markers(job) == {"RELION_JOB_EXIT_FAILURE"}
    assert project.status(job) == FAILED
    error = (project.folder / job / "run.err").read_text()
    assert error.startswith("ERROR: ") and "diameter" in error
    assert "Traceback" not in error


def test_empty_value_field_fails_with_its_reason(
    project: Project, external_executable: Path, tiny_checkpoint: Path
) -> None:
    """RELION writes a label without its value, and the next word of the command line is ``--j``."""
    options = picking_options(external_executable, tiny_checkpoint, threshold="")
    job = project.run("External", **options)
    assert project.status(job) == FAILED
    assert "--threshold has no value" in (project.folder / job / "run.err").read_text()


def test_abort(tmp_path: Path, external_executable: Path, tiny_checkpoint: Path) -> None:
    """A job is told to stop after its first micrograph: it stops, says so, and keeps what it did."""
    n_micrographs = 400
    image = np.random.default_rng(1).normal(size=(128, 160)).astype(np.float32)
    (tmp_path / "Micrographs").mkdir()
    mrcfile.write(tmp_path / "first.mrc", image, voxel_size=1.5)
    for number in range(n_micrographs):
        (tmp_path / f"Micrographs/mic{number:03}.mrc").hardlink_to(tmp_path / "first.mrc")
    project = Project(tmp_path)
    project.import_micrographs()
    wrapper = tmp_path / "wrapper.sh"
    wrapper.write_text(
        f'#!/bin/sh\n"{external_executable}" "$@"\necho $? > exit_code.part\nmv exit_code.part exit_code\n'
    )
    wrapper.chmod(0o755)
    job = project.add("External", **picking_options(wrapper, tiny_checkpoint))
    with subprocess.Popen(
        ["relion_pipeliner", "--RunJobs", job, "--sec_wait_after", "1"],
        cwd=tmp_path,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as pipeliner:
        wait_for(lambda: any((tmp_path / job).glob("Micrographs/*_autopick.star")))
        (tmp_path / job / "RELION_JOB_ABORT_NOW").touch()
        pipeliner.wait(TIMEOUT)
    wait_for((tmp_path / "exit_code").exists)
    assert project.markers(job) == {"RELION_JOB_EXIT_ABORTED"}
    assert project.status(job) == ABORTED
    assert (tmp_path / "exit_code").read_text().strip() == "2"
    n_done = len(list((tmp_path / job).glob("Micrographs/*_autopick.star")))
    assert 0 < n_done < n_micrographs
    assert len(starfile.read(tmp_path / job / "autopick.star")) == n_done


def wait_for(condition: Any) -> None:
    end = time.monotonic() + TIMEOUT
    while not condition():
        assert time.monotonic() < end, "nothing happened in time"
        time.sleep(0.05)


def test_refined_centres_are_those_of_relions_recentring(
    marked_project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Particles were rescaled, then refined by some Å; RELION extracts them anew where we say that they are."""
    monkeypatch.chdir(tmp_path)
    Path("Micrographs").symlink_to(marked_project / "Micrographs")
    name = "Micrographs/wide.mrc"
    write_micrographs(Path("mics.star"), [Micrograph(name, OpticsGroup(1, "one", 1.5), CtfParameters(1e4, 1e4, 0))])
    (path,) = JobDirectory.open("Picked/").coordinate_paths([name])
    path.parent.mkdir()
    write_picks(path, np.array([[100, 200], [150, 90]], np.float32), np.ones(2, np.float32), (480, 640))
    preprocess("--coord_dir Picked/ --coord_suffix _autopick.star", "First")
    tables = starfile.read("First/particles.star")
    tables["particles"]["rlnOriginXAngst"] = [12.0, -6.0]
    tables["particles"]["rlnOriginYAngst"] = [3.0, -30.0]
    starfile.write(tables, "refined.star")
    ours = open_coordinates(Path("refined.star")).read(name)
    preprocess("--reextract_data_star refined.star --recenter --recenter_x 0 --recenter_y 0 --recenter_z 0", "Second")
    relions = starfile.read("Second/particles.star")["particles"]
    assert ours is not None
    np.testing.assert_array_equal(ours.yx, relions[["rlnCoordinateY", "rlnCoordinateX"]].to_numpy())
    assert "does not tell the pixel size of the micrographs" in caplog.text


def preprocess(source: str, folder: str) -> None:
    """Run RELION's program behind Extract, with boxes of 64 pixels scaled to 32."""
    command = f"relion_preprocess --i mics.star {source} --part_star {folder}/particles.star --part_dir {folder}/"
    options = "--extract --extract_size 64 --scale 32"
    subprocess.run([*command.split(), *options.split()], capture_output=True, timeout=TIMEOUT, check=True)
