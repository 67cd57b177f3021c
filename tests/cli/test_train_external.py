"""The training job from outside: what it leaves, that it stops and goes on, and what it says to bad input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pypdf import PdfReader

from relion_attn_picker.cli.train_external import command as train_external
from relion_attn_picker.jobs.training import external as external_training
from relion_attn_picker.jobs.training.labelled_data import MOST_HELD_OUT, TrainingData, read_labels, split_source
from relion_attn_picker.model_spec import BEST_NAME
from relion_attn_picker.relion import labels
from relion_attn_picker.relion.job import JobDirectory
from relion_attn_picker.relion.job_files import write_coordinate_index, write_truth
from relion_attn_picker.relion.star import format_table
from relion_attn_picker.training.crops import LabelledSource
from tests.cli.conftest import DIAMETER, Project, Run

JOB = "External/job002/"
SMALL = ["--steps", "4", "--validate_every", "2", "--batch_size", "2", "--crops", "8", "--gpu", "cpu", "--j", "1"]
NAMES = ["Micrographs/a.mrc", "Micrographs/b.mrc"]


@pytest.fixture
def labelled(real_project: Project) -> Project:
    """The project with the discs' centres as a ManualPick job of RELION 4.0 leaves them."""
    folder = Path("ManualPick/job005/Micrographs")
    folder.mkdir(parents=True)
    files = [f"ManualPick/job005/Micrographs/{name}_manualpick.star" for name in "ab"]
    for name, file in zip(NAMES, files, strict=True):
        write_truth(Path(file), real_project.centres[name].astype(np.float32))
    write_coordinate_index(Path("ManualPick/job005/manualpick.star"), NAMES, files)
    return real_project


def train(project: Project, *more: str, job: str = JOB) -> Run:
    given = f"--o {job} --in_mics micrographs.star --weights {project.weights} --diameter {DIAMETER}"
    return project.run_command(train_external, [*given.split(), *SMALL, *more], Path(job))


MANUAL = ("--in_coords", "ManualPick/job005/manualpick.star")


@pytest.mark.parametrize("flavour", ["3.1", "4.0"])
def test_trained_weights_go_into_a_picking_job(
    labelled: Project, flavour: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(external_training, "is_start", lambda best: False)  # so few steps may gain nothing
    Path(JOB).mkdir(parents=True)
    job_star = {"3.1": "_rlnJobType 99\n", "4.0": "# version 30001\n_rlnJobTypeLabel relion.external\n"}
    Path(JOB, "job.star").write_text(job_star[flavour])
    run = train(labelled, *MANUAL, "--pipeline-control", JOB).assert_succeeded()
    assert "Trained on 1 micrographs; 1 were held out." in run.out
    assert f"of a picking job: {JOB}best.safetensors" in run.out
    nodes = Path(JOB, "RELION_OUTPUT_NODES.star").read_text()
    assert (f"{JOB}logfile.pdf 13" if flavour == "3.1" else f"{JOB}logfile.pdf LogFile.pdf.relion") in nodes
    assert (f"{JOB}best.safetensors MlModel" in nodes) == (flavour == "4.0")
    assert len(PdfReader(Path(JOB, "logfile.pdf")).pages) == 2
    for weights in (JOB, f"{JOB}best.safetensors"):
        labelled.run("--weights", weights).assert_succeeded()
        assert f"Picking 2 micrographs with {BEST_NAME}" in labelled.run("--weights", weights).out


def test_weights_that_gained_nothing_are_not_recommended(labelled: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(external_training, "is_start", lambda best: True)
    run = train(labelled, *MANUAL).assert_succeeded()
    assert "Pick with the weights that it started from: no step made them better" in run.out
    assert "of a picking job" not in run.out


def test_stopped_training_goes_on(labelled: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it is stopped, Continue ends with the very weights of a training that was not."""
    train(labelled, *MANUAL, job="External/job003/").assert_succeeded()
    calls = iter(range(100))
    for allowed in (1, 3, 5):
        until = next(calls) + allowed
        monkeypatch.setattr(JobDirectory, "abort_requested", lambda job, until=until: next(calls) >= until)
        run = train(labelled, *MANUAL)
        assert (run.code, run.markers) == (2, ["RELION_JOB_EXIT_ABORTED"]), run.err
    monkeypatch.undo()
    monkeypatch.chdir(labelled.folder)
    run = train(labelled, *MANUAL).assert_succeeded()
    assert "Going on after step" in run.out
    best, expected = (Path(job, BEST_NAME).read_bytes() for job in (JOB, "External/job003/"))
    assert best == expected


def test_finished_training_is_left_as_it_is(labelled: Project) -> None:
    train(labelled, *MANUAL).assert_succeeded()
    before = Path(JOB, BEST_NAME).read_bytes()
    train(labelled, *MANUAL).assert_succeeded()
    assert Path(JOB, BEST_NAME).read_bytes() == before


def write_class2d_particles(path: Path, centres: dict[str, np.ndarray]) -> None:  # type: ignore[type-arg]
    """Particles as Class2D leaves them: moved off by whole Å that rlnOrigin tells; boxes are scaled to 8 Å."""
    shift_yx = np.array([12.0, -20.0])
    rows = [(name, y, x) for name, yx in centres.items() for y, x in yx + shift_yx / 4.0]
    optics = {"rlnOpticsGroup": [1], "rlnMicrographOriginalPixelSize": [1.0], "rlnImagePixelSize": [8.0]}
    particles = {
        "rlnCoordinateX": [float(x) for _, _, x in rows],
        "rlnCoordinateY": [float(y) for _, y, _ in rows],
        "rlnImageName": [f"{number:06}@Extract/job004/a.mrcs" for number in range(1, len(rows) + 1)],
        "rlnMicrographName": [name for name, _, _ in rows],
        "rlnOpticsGroup": [1] * len(rows),
        "rlnOriginXAngst": [-20.0] * len(rows),
        "rlnOriginYAngst": [12.0] * len(rows),
    }
    path.write_text(format_table("optics", optics) + format_table("particles", particles))


def test_particles_are_learnt_at_their_refined_centres(labelled: Project) -> None:
    write_class2d_particles(Path("particles.star"), labelled.centres)
    data = TrainingData(
        micrographs_star=Path("micrographs.star"), coordinates=Path("particles.star"), particle_diameter=DIAMETER
    )
    labels = read_labels(data)
    assert [micrograph.name for micrograph in labels.micrographs] == NAMES
    for name, yx in zip(NAMES, labels.yx, strict=True):
        np.testing.assert_allclose(yx, labelled.centres[name], atol=1e-4)
    train(labelled, "--in_parts", "particles.star").assert_succeeded()


@pytest.mark.parametrize(
    ("more", "sentence"),
    [
        ("", "learns from 'Input coordinates' or from 'Input particles', and neither is given"),
        ("--in_coords a.star --in_parts b.star", "and both are given: fill one"),
        ("--in_coords a.star --in_mask m.mrc", "--in_mask is not for training: empty that field"),
        ("--in_coords absent.star", r"There are no coordinates at absent\.star"),
        ("--in_parts micrographs.star", "micrographs.star holds no coordinates"),
        (
            "--in_coords ManualPick/job005/manualpick.star --weights ManualPick",
            r"ManualPick holds no best\.safetensors",
        ),
        ("MANUAL --hold_out 2", "has 2 labelled micrographs, of which 2 shall"),
        ("MANUAL --hold_out 0", "No micrograph is held out for validation"),
        (
            "--in_coords ManualPick/job005/manualpick.star --variant standard",
            "variant attention, but standard was given",
        ),
        ("MANUAL --batch_size 64", "There are 8 crops for batches of 64"),
        ("MANUAL --steps 0", "steps is 0: expected 1 or more"),
    ],
)
def test_bad_input(labelled: Project, more: str, sentence: str) -> None:
    train(labelled, *more.replace("MANUAL", " ".join(MANUAL)).split()).assert_failed_with(sentence)


def test_other_options_do_not_go_on(labelled: Project) -> None:
    train(labelled, *MANUAL).assert_succeeded()
    train(labelled, *MANUAL, "--learning_rate", "1e-4").assert_failed_with("holds a training with other options")


def test_particles_of_other_micrographs(labelled: Project) -> None:
    write_class2d_particles(Path("particles.star"), {"Other/a.mrc": np.ones((3, 2))})
    train(labelled, "--in_parts", "particles.star").assert_failed_with(
        r"None of the 2 micrographs is listed in particles\.star: names must be equal to the letter, folders included"
    )


def test_few_are_held_out_of_many() -> None:
    """Twenty thousand labelled micrographs: a fifth of them would fill the memory."""
    source = LabelledSource("many", "", [lambda: None] * 20_000)  # type: ignore[list-item, return-value]
    trained_on, held_out = split_source(source, None)
    assert (len(trained_on.micrographs), len(held_out.micrographs)) == (20_000 - MOST_HELD_OUT, MOST_HELD_OUT)


def test_the_model_has_one_name() -> None:
    assert labels.MODEL_FILE == BEST_NAME
