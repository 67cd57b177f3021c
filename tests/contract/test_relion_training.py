"""RELION 3.1 itself: its own picks and particles train, what was trained picks, and it reads every file of ours."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import mrcfile
import numpy as np
import pytest
import starfile

from relion_attn_picker.relion.coordinates import open_coordinates
from tests.contract.test_relion_3_1 import (
    BOX,
    COORDINATES,
    DIAMETER,
    IMPORTED,
    LOGFILE,
    SUCCEEDED,
    TIMEOUT,
    Project,
    picking_options,
)

pytestmark = [
    pytest.mark.relion,
    pytest.mark.slow,
    pytest.mark.skipif(shutil.which("relion_pipeliner") is None, reason="RELION is not installed (relion_pipeliner)"),
]

FEW_STEPS = {"steps": 2, "validate_every": 1, "batch_size": 2, "crops": 16, "learning_rate": 1e-5}
Centres = Mapping[str, list[tuple[int, int]]]


@pytest.fixture(scope="module")
def centres(marked_micrographs: Centres) -> Centres:
    """Micrographs of one size, which RELION's own picker demands: one without particles, the same one twice with."""
    wide = marked_micrographs["Micrographs/wide.mrc"]
    return {"Micrographs/empty.mrc": [], "Micrographs/wide.mrc": wide, "Micrographs/wide_again.mrc": wide}


@pytest.fixture(scope="module")
def project(marked_project: Path, centres: Centres, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project after its import."""
    folder = tmp_path_factory.mktemp("training")
    (folder / "Micrographs").mkdir()
    for name in centres:
        (folder / name).symlink_to(marked_project / name.replace("_again", ""))
    project = Project(folder)
    assert project.status(project.import_micrographs()) == SUCCEEDED
    return project


@pytest.fixture(scope="module")
def log_picked(project: Project) -> str:
    """A job of RELION's own Laplacian-of-Gaussian picker: its particles are dark, as ours."""
    options = {"log_diam_min": 60, "log_diam_max": 110, "log_adjust_thr": 1, "log_invert": "No", "nr_mpi": 1}
    job = project.run("AutoPick", fn_input_autopick=IMPORTED, do_log="Yes", **options)
    assert project.status(job) == SUCCEEDED
    return job


def job_fields(executable: Path, params: Mapping[str, object], **inputs: str) -> dict[str, object]:
    """Return the fields of an External job's tabs."""
    fields: dict[str, object] = {"fn_exe": executable, "nr_threads": 1, **inputs}
    for number, (label, value) in enumerate(params.items(), start=1):
        fields |= {f"param{number}_label": label, f"param{number}_value": value}
    return fields


def run_training(project: Project, executable: Path, checkpoint: Path, **inputs: str) -> str:
    params = {"diameter": DIAMETER, "gpu": "cpu", "weights": checkpoint, "hold_out": 1, **FEW_STEPS}
    executable = executable.with_name("attnpick-train-external")
    job = project.run("External", **job_fields(executable, params, in_mic=IMPORTED, **inputs))
    told = (project.folder / job / "run.err").read_text()
    assert told == "" or (told.startswith("WARNING: No step made the weights better") and told.count("\n") == 1)
    assert project.status(job) == SUCCEEDED
    return job


@pytest.fixture(scope="module")
def trained(project: Project, log_picked: str, external_executable: Path, tiny_checkpoint: Path) -> str:
    """A training on the picks of RELION's own picker."""
    return run_training(
        project, external_executable, tiny_checkpoint, in_coords=f"{log_picked}coords_suffix_autopick.star"
    )


def test_log_picks_of_relion_are_read(project: Project, log_picked: str, centres: Centres) -> None:
    """Its picks lie on the marks, read by us as RELION itself prints them."""
    ours = open_coordinates(project.folder / log_picked, project.folder)
    for name, marks in centres.items():
        table = ours.read(name)
        assert table is not None
        for centre in marks:
            assert np.hypot(*(table.yx - centre).T).min() < 12, (name, centre, table.yx)
        file = project.folder / log_picked / name.replace(".mrc", "_autopick.star")
        if file.stat().st_size:
            np.testing.assert_allclose(print_table(file, "", "rlnCoordinateX", "rlnCoordinateY"), table.yx[:, ::-1])


def print_table(path: Path, block: str, *columns: str) -> np.ndarray:  # type: ignore[type-arg]
    """Return what RELION's own reader sees in a table of numbers."""
    result = subprocess.run(
        ["relion_star_printtable", path, f"data_{block}", *columns],
        capture_output=True,
        text=True,
        timeout=TIMEOUT,
        check=True,
    )
    rows = [line.split() for line in result.stdout.splitlines() if line.strip()]
    return np.array(rows, dtype=np.float64).reshape(-1, len(columns))


def test_training_is_registered(project: Project, trained: str) -> None:
    nodes = project.nodes()
    assert nodes[f"{trained}logfile.pdf"] == LOGFILE
    assert (project.folder / trained / "best.safetensors").is_file()
    assert "Trained on 2 micrographs; 1 were held out" in (project.folder / trained / "run.out").read_text()


def test_trained_weights_pick_and_extract_centred(
    project: Project, trained: str, external_executable: Path, centres: Centres
) -> None:
    """Import, External (train), External (pick) with the job's folder as weights, Extract."""
    picked = project.run("External", **picking_options(external_executable, Path(trained)))
    assert (project.folder / picked / "run.err").read_text() == ""
    assert project.nodes()[f"{picked}coords_suffix_autopick.star"] == COORDINATES
    boxes = project.boxes(project.extract(f"{picked}coords_suffix_autopick.star"))
    assert len(boxes) == sum(map(len, centres.values()))
    for _, box in boxes:
        y, x = np.unravel_index(box.argmin(), box.shape)
        assert max(abs(y - BOX // 2), abs(x - BOX // 2)) <= 2
    read_every_table(project, picked)
    coordinates = f"{picked}coords_suffix_autopick.star"
    executable = external_executable.with_name("attnpick-select-external")
    selected = project.run("External", **job_fields(executable, {"threshold": 0.999}, in_coords=coordinates))
    assert (project.folder / selected / "run.err").read_text() == ""
    assert project.nodes()[f"{selected}coords_suffix_autopick.star"] == COORDINATES
    fewer = project.boxes(project.extract(f"{selected}coords_suffix_autopick.star"))
    assert 0 < len(fewer) <= len(boxes)


def read_every_table(project: Project, job: str) -> None:
    """Let RELION print every column of numbers of a picking job's STAR files; rows and values are ours."""
    files = sorted((project.folder / job).rglob("*.star"))
    read = 0
    for path in files:
        if path.name in ("job.star", "job_pipeline.star", "default_pipeline.star") or "coords_suffix" in path.name:
            continue
        (block, table) = next(iter(starfile.read(path, always_dict=True).items()))
        columns = [str(label) for label in table.columns if str(label).startswith("rln")]
        numbers = [label for label in columns if table[label].dtype.kind in "if"]
        if numbers and len(table):
            np.testing.assert_allclose(print_table(path, str(block), *numbers), table[numbers].to_numpy(), rtol=1e-5)
            read += 1
    assert read >= 3


def test_particles_of_extract_train(
    project: Project, log_picked: str, external_executable: Path, tiny_checkpoint: Path
) -> None:
    extracted = project.extract(f"{log_picked}coords_suffix_autopick.star")
    job = run_training(project, external_executable, tiny_checkpoint, in_part=f"{extracted}particles.star")
    assert (project.folder / job / "best.safetensors").is_file()


def test_manual_picks_train(
    project: Project, external_executable: Path, tiny_checkpoint: Path, centres: Centres
) -> None:
    """The file of RELION 3.1's manual picker: -999 stands where nothing is known."""
    folder = project.folder / "ManualPick/job099"
    labels = ["CoordinateX", "CoordinateY", "ClassNumber", "AnglePsi", "AutopickFigureOfMerit"]
    header = "".join(f"_rln{label} #{number} \n" for number, label in enumerate(labels, start=1))
    for name, marks in centres.items():
        rows = "".join(f"{x:12.6f} {y:12.6f}         -999  -999.000000  -999.000000 \n" for y, x in marks)
        path = folder / name.replace(".mrc", "_manualpick.star")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"\n# version 30001\n\ndata_\n\nloop_ \n{header}{rows} \n")
    (folder / "coords_suffix_manualpick.star").write_text(IMPORTED + "\n")
    coordinates = "ManualPick/job099/coords_suffix_manualpick.star"
    job = run_training(project, external_executable, tiny_checkpoint, in_coords=coordinates)
    assert "Trained on 2 micrographs; 1 were held out" in (project.folder / job / "run.out").read_text()


GUI = Path(__file__).parent.parent.parent / "examples/relion_gui"


@pytest.mark.parametrize("name", ["pick", "select", "train"])
def test_job_files_of_the_examples(tmp_path: Path, name: str) -> None:
    """RELION loads them, and the fields are where our page says that they are."""
    project = Project(tmp_path)
    path = GUI / "relion_3.1" / name / "job.star"
    project.pipeliner("--addJobFromStar", str(path))
    options = starfile.read(tmp_path / "External/job001/job.star")["joboptions_values"]
    ours = starfile.read(path)["joboptions_values"]
    values, expected = (
        {
            key: str(value).strip()
            for key, value in zip(table["rlnJobOptionVariable"], table["rlnJobOptionValue"], strict=True)
        }
        for table in (options, ours)
    )
    assert values == expected


def test_tutorial(tmp_path: Path) -> None:
    """The short form of the tutorial: from an empty folder to figures before and after."""
    script = Path(__file__).parent.parent.parent / "examples/tutorial.sh"
    short = ["count=3", "width=300", "height=280", "class_iterations=2", "classes=2", "steps=2", "threads=1"]
    bin_folder = Path(sys.executable).parent
    result = subprocess.run(
        ["bash", script, tmp_path / "project", *short],
        env={
            **os.environ,
            "OMP_NUM_THREADS": "1",
            "PATH": f"{bin_folder}:{os.environ['PATH']}",
            "PYTHON": sys.executable,
        },
        capture_output=True,
        text=True,
        timeout=5 * TIMEOUT,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr
    assert re.findall(r"== (\w+/job\d+/)\n", result.stdout) == [
        "Import/job001/",
        "External/job002/",
        "Extract/job003/",
        "Class2D/job004/",
        "External/job005/",
        "External/job006/",
    ]
    assert len(re.findall(r"^F1 +0\.\d+", result.stdout, re.MULTILINE)) == 2
    averages = mrcfile.read(tmp_path / "project/Class2D/job004/run_it002_classes.mrcs")
    assert averages.shape[0] == 2 and np.isfinite(averages).all()
    assert (tmp_path / "project/Select/good/classes.png").stat().st_size > 1000
