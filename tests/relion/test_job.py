"""The job folder: markers, flavour, output nodes."""

from __future__ import annotations

from pathlib import Path

import pytest

from relion_attn_picker.errors import InputError
from relion_attn_picker.relion.job import JobDirectory, Outcome

GOLDEN = Path(__file__).parent / "golden"
JOB = "External/job004/"
JOB_STARS = {
    "3.1": "\n# version 30001\n\ndata_job\n\n_rlnJobType 99\n_rlnJobIsContinue 0\n",
    "4.0": "\n# version 30001\n\ndata_job\n\n_rlnJobTypeLabel relion.external\n_rlnJobIsTomo 0\n",
    "5.0": "\n# version 50001\n\ndata_job\n\n_rlnJobTypeLabel relion.external\n_rlnJobIsTomo 0\n",
    "unknown": None,
}
MARKERS = {f"RELION_JOB_{end}" for end in ("EXIT_SUCCESS", "EXIT_FAILURE", "EXIT_ABORTED", "ABORT_NOW")}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """RELION starts jobs in the project folder; here it is a new one."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


def markers() -> set[str]:
    return MARKERS & {path.name for path in Path(JOB).iterdir()}


@pytest.mark.parametrize("flavour", JOB_STARS)
def test_output_nodes_by_flavour(flavour: str) -> None:
    Path(JOB).mkdir(parents=True)
    if (text := JOB_STARS[flavour]) is not None:
        Path(JOB, "job.star").write_text(text)
    JobDirectory.open(JOB).write_output_nodes()
    assert Path(JOB, "RELION_OUTPUT_NODES.star").read_bytes() == (GOLDEN / f"nodes_{flavour}.star").read_bytes()


@pytest.mark.parametrize("given", ["External/job004", "External/job004/", "External/job004//"])
def test_name_ends_in_one_slash(given: str) -> None:
    assert JobDirectory.open(given).name == JOB


@pytest.mark.parametrize("given", ["", " "])
def test_blank_name_is_not_the_root(given: str) -> None:
    with pytest.raises(InputError, match="The name of the job's folder is empty"):
        JobDirectory.open(given)


def test_open_leaves_the_markers_to_whoever_holds_the_folder() -> None:
    Path(JOB).mkdir(parents=True)
    for marker in MARKERS:
        Path(JOB, marker).touch()
    job = JobDirectory.open(JOB)
    assert markers() == MARKERS
    job.remove_markers()
    assert markers() == set()


def test_marker_that_cannot_be_removed() -> None:
    Path(JOB, "RELION_JOB_ABORT_NOW").mkdir(parents=True)
    with pytest.raises(InputError, match="markers in the job folder External/job004/ cannot be removed"):
        JobDirectory.open(JOB).remove_markers()


def test_open_keeps_other_files() -> None:
    Path(JOB).mkdir(parents=True)
    Path(JOB, "mic_autopick.star").write_text("kept")
    JobDirectory.open(JOB)
    assert Path(JOB, "mic_autopick.star").read_text() == "kept"


@pytest.mark.parametrize(
    ("outcome", "marker", "code"),
    [
        (Outcome.SUCCESS, "RELION_JOB_EXIT_SUCCESS", 0),
        (Outcome.FAILURE, "RELION_JOB_EXIT_FAILURE", 1),
        (Outcome.ABORTED, "RELION_JOB_EXIT_ABORTED", 2),
    ],
)
def test_finish_leaves_one_marker(outcome: Outcome, marker: str, code: int) -> None:
    job = JobDirectory.open(JOB)
    job.finish(outcome)
    assert markers() == {marker}
    assert Path(JOB, marker).stat().st_size == 0
    assert outcome.exit_code == code


def test_finishing_again_replaces_the_marker() -> None:
    job = JobDirectory.open(JOB)
    job.finish(Outcome.SUCCESS)
    job.finish(Outcome.FAILURE)
    assert markers() == {"RELION_JOB_EXIT_FAILURE"}


def test_abort_request_is_seen_and_answered() -> None:
    job = JobDirectory.open(JOB)
    assert not job.abort_requested()
    Path(JOB, "RELION_JOB_ABORT_NOW").touch()
    assert job.abort_requested()
    job.finish(Outcome.ABORTED)
    assert markers() == {"RELION_JOB_EXIT_ABORTED"}


def test_a_file_in_place_of_the_folder() -> None:
    Path("External").write_text("a file")
    with pytest.raises(InputError, match="job folder External/job004/ cannot be made or written to"):
        JobDirectory.open(JOB)


def test_tomography_job() -> None:
    Path(JOB).mkdir(parents=True)
    Path(JOB, "job.star").write_text(JOB_STARS["5.0"].replace("IsTomo 0", "IsTomo 1"))  # type: ignore[union-attr]
    with pytest.raises(InputError, match="tomography"):
        JobDirectory.open(JOB).refuse_tomography()


@pytest.mark.parametrize("flavour", JOB_STARS)
def test_single_particle_job_is_not_refused(flavour: str) -> None:
    Path(JOB).mkdir(parents=True)
    if (text := JOB_STARS[flavour]) is not None:
        Path(JOB, "job.star").write_text(text)
    job = JobDirectory.open(JOB)
    job.refuse_tomography()
    assert markers() == set()


def test_micrographs_with_the_same_coordinate_file() -> None:
    names = ["MotionCorr/job002/raw/a.mrc", "MotionCorr/job005/raw/a.mrc"]
    with pytest.raises(InputError, match=r"job002/raw/a\.mrc and .*job005/raw/a\.mrc would get the same"):
        JobDirectory.open(JOB).coordinate_paths(names)


def test_output_name_begins_with_the_given_folder() -> None:
    job = JobDirectory.open(JOB)
    (path,) = job.coordinate_paths(["MotionCorr/job002/raw/a.mrc"])
    assert job.output_name(path) == "External/job004/raw/a_autopick.star"


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ("Mics/a.mrc", "Mics/a.tif"),
        ("./Mics/a.mrc", "Mics/a.mrc"),
        ("Mics//a.mrc", "Mics/a.mrc"),
        ("/d/a.mrc", "d/a.mrc"),
    ],
)
def test_different_names_of_the_same_coordinate_file(first: str, second: str) -> None:
    with pytest.raises(InputError, match="would get the same coordinate file"):
        JobDirectory.open(JOB).coordinate_paths([first, second])


def test_absolute_name_stays_inside_the_job() -> None:
    (path,) = JobDirectory.open(JOB).coordinate_paths(["/data/x/m2.mrc"])
    assert path == Path("External/job004/data/x/m2_autopick.star")


def test_name_that_leaves_the_job_is_refused() -> None:
    with pytest.raises(InputError, match=r"\.\./a\.mrc would be written outside the job folder"):
        JobDirectory.open(JOB).coordinate_paths(["../a.mrc"])


def test_job_star_of_ccpem_pipeliner_is_that_of_5_0() -> None:
    Path(JOB).mkdir(parents=True)
    text = "# version 50001\n# CCP-EM Pipeliner version 1.6.1\n\ndata_job\n\n_rlnJobTypeLabel   relion.external\n"
    Path(JOB, "job.star").write_text(text)
    assert JobDirectory.open(JOB).flavour.name == "5.0"
