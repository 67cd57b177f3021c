"""CCP-EM's pipeliner, a client independent of RELION, runs the External job and believes its exit code."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
import starfile

from relion_attn_picker.micrograph import Micrograph, OpticsGroup
from relion_attn_picker.relion.job import JobDirectory
from relion_attn_picker.relion.labels import FLAVOURS
from relion_attn_picker.relion.micrographs import write_micrographs

pytestmark = pytest.mark.skipif(
    importlib.util.find_spec("pipeliner") is None, reason="ccpem-pipeliner is not installed (module pipeliner)"
)

TIMEOUT = 120
RUN_JOB = """
import json, sys, time
from pathlib import Path
from pipeliner.api.manage_project import PipelinerProject

project = PipelinerProject(make_new_project=True)
end = time.monotonic() + float(sys.argv[2])
for fields in json.loads(sys.argv[1]):
    before = set(Path().glob("*/job*"))
    project.run_job(fields)
    (folder,) = set(Path().glob("*/job*")) - before
    while not list(folder.glob("PIPELINER_JOB_EXIT_*")):
        if time.monotonic() > end:
            sys.exit("the job did not end in time")
        time.sleep(0.2)
"""
"""In a process of its own: the package's warnings are not ours to fail at, and its project is the working directory."""


def run_with_pipeliner(project: Path, executable: Path, diameter: float, checkpoint: Path) -> Path:
    """Run the External job in ``project`` and return its folder."""
    params = {"diameter": diameter, "threshold": 0.99, "gpu": "cpu", "weights": checkpoint}
    fields = {
        "_rlnJobTypeLabel": "relion.external",
        "fn_exe": str(executable),
        "in_mic": "micrographs.star",
        "fn_output": "autopick.star",
        "output_nodetype": "MicrographCoordsGroup",
        "output_kwds": "relion:::autopick",
    }
    for number, (label, value) in enumerate(params.items(), start=1):
        fields |= {f"param{number}_label": label, f"param{number}_value": str(value)}
    run_jobs(project, executable, fields)
    return project / "External/job001"


def run_jobs(project: Path, executable: Path, *jobs: dict[str, str]) -> None:
    """Run jobs one after the other, each to its end."""
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", RUN_JOB, json.dumps(jobs), str(TIMEOUT)],
        cwd=project,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PATH": f"{executable.parent}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=2 * TIMEOUT,
        check=False,
    )
    assert result.returncode == 0, result.stdout + result.stderr


def ending(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if "JOB_EXIT" in path.name}


@pytest.fixture
def project(marked_project: Path, tmp_path: Path) -> Path:
    """A new project folder with the marked micrographs."""
    (tmp_path / "Micrographs").symlink_to(marked_project / "Micrographs")
    names = sorted(f"Micrographs/{path.name}" for path in (marked_project / "Micrographs").iterdir())
    write_micrographs(tmp_path / "micrographs.star", [Micrograph(name, OpticsGroup(1, "one", 1.5)) for name in names])
    return tmp_path


@pytest.mark.slow
def test_job_succeeds(project: Path, external_executable: Path, tiny_checkpoint: Path) -> None:
    folder = run_with_pipeliner(project, external_executable, 72, tiny_checkpoint)
    assert ending(folder) == {"PIPELINER_JOB_EXIT_SUCCESS", "RELION_JOB_EXIT_SUCCESS"}
    listed = starfile.read(folder / "autopick.star")["rlnMicrographCoordinates"].tolist()
    assert listed == [f"External/job001/Micrographs/{name}_autopick.star" for name in ("empty", "tall", "wide")]
    assert [len(starfile.read(project / name)) for name in listed] == [0, 3, 4]
    nodes = (project / "default_pipeline.star").read_text()
    assert "External/job001/autopick.star" in nodes
    assert "MicrographCoordsGroup.star.relion.autopick" in nodes


@pytest.mark.slow
def test_failing_job_is_seen_as_failed(project: Path, external_executable: Path, tiny_checkpoint: Path) -> None:
    folder = run_with_pipeliner(project, external_executable, -72, tiny_checkpoint)
    assert ending(folder) == {"PIPELINER_JOB_EXIT_FAILED", "RELION_JOB_EXIT_FAILURE"}
    assert "diameter" in (folder / "run.err").read_text()


@pytest.mark.slow
def test_native_jobs(project: Path, external_executable: Path, tiny_checkpoint: Path) -> None:
    """Pick, cut the picks anew, train on them, and pick with what was trained: found by the package's entry points."""
    shared = {"gpu": "cpu", "diameter": "72", "in_mics": "micrographs.star"}
    pick = {"_rlnJobTypeLabel": "attnpick.autopick", "threshold": "0.9", **shared}
    select = {"_rlnJobTypeLabel": "attnpick.autopick.select", "threshold": "0.99"}
    train = {"_rlnJobTypeLabel": "attnpick.autopick.train", "steps": "1", "other_args": "--batch_size 2 --crops 40"}
    run_jobs(
        project,
        external_executable,
        {**pick, "weights": str(tiny_checkpoint)},
        {**select, "in_coords": "AutoPick/job001/autopick.star"},
        {**shared, **train, "in_coords": "AutoPick/job002/autopick.star", "weights": str(tiny_checkpoint)},
        {**pick, "weights": "AutoPick/job003/best.safetensors"},
    )
    for number in range(1, 5):
        folder = project / f"AutoPick/job{number:03}"
        assert ending(folder) == {"PIPELINER_JOB_EXIT_SUCCESS", "RELION_JOB_EXIT_SUCCESS"}, folder
    assert len(starfile.read(project / "AutoPick/job002/Micrographs/wide_autopick.star")) == 4
    nodes = (project / "default_pipeline.star").read_text()
    for name, kind in (
        ("job001/autopick.star", "MicrographCoordsGroup.star.attnpick.autopick"),
        ("job003/best.safetensors", "MlModel.safetensors.attnpick"),
        ("job003/logfile.pdf", "LogFile.pdf.attnpick"),
    ):
        assert re.search(rf"AutoPick/{name}\s+{kind}\s", nodes), nodes


@pytest.mark.parametrize("flavour", FLAVOURS)
def test_output_nodes_are_valid_cif(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, flavour: str) -> None:
    """The pipeliner reads STAR files with gemmi, which is stricter than RELION."""
    cif = pytest.importorskip("gemmi.cif", reason="gemmi is not installed")
    monkeypatch.chdir(tmp_path)
    JobDirectory("External/job004/", FLAVOURS[flavour]).path.mkdir(parents=True)
    JobDirectory("External/job004/", FLAVOURS[flavour]).write_output_nodes()
    block = cif.read("External/job004/RELION_OUTPUT_NODES.star").sole_block()
    assert block.name == "output_nodes"
    names = [row[0] for row in block.find("_rlnPipeLineNode", ["Name"])]
    assert names == ["External/job004/" + str(row[0]) for row in FLAVOURS[flavour].rows]


@pytest.mark.parametrize("name", ["data_2024/a.mrc", "with blank.mrc", "it's.mrc", "a#b.mrc", "_a.mrc", "[1].mrc"])
def test_odd_names_are_valid_cif(tmp_path: Path, name: str) -> None:
    """Beyond ASCII there is no valid CIF 1.1; RELION reads such names all the same."""
    cif = pytest.importorskip("gemmi.cif", reason="gemmi is not installed")
    path = tmp_path / "micrographs.star"
    write_micrographs(path, [Micrograph(name, OpticsGroup(1, "one", 1.5))])
    column = cif.read(str(path)).find_block("micrographs").find_loop("_rlnMicrographName")
    assert [cif.as_string(value) for value in column] == [name]


VALIDATE = """
from relion_attn_picker.ccpem_jobs import AttnpickAutopick, AttnpickSelect

for job in (AttnpickAutopick(), AttnpickSelect()):
    for text in ("0", "1", "-0.5", "0.0005", "0.9999", ""):
        job.joboptions["threshold"].value = text
        told = [each.message for each in job.validate_joboptions() if job.joboptions["threshold"] in each.raised_by]
        print(job.joboptions["threshold"].get_string(), "|", *told)
"""


def test_threshold_field_refuses_what_the_program_does() -> None:
    """Both ends too, which the limits of the pipeliner's own fields allow."""
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", VALIDATE], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    refused = [
        f"{text} | The threshold is {text}: expected a number above 0 and below 1, such as 0.3."
        for text in ("0.0", "1.0", "-0.5")
    ]
    assert [line.strip() for line in result.stdout.splitlines()] == [*refused, "0.0005 |", "0.9999 |", "|"] * 2


CUT = """
from relion_attn_picker.ccpem_jobs import AttnpickAutopick, AttnpickSelect

for job in (AttnpickAutopick(), AttnpickSelect()):
    job.output_dir = "AutoPick/job001/"
    job.joboptions[job.own_options[0]].value = "in.star"
    if "diameter" in job.joboptions:
        job.joboptions["diameter"].value = "150"
    for cut in ({"mode": "precision"}, {"target_precision": "0.9"}, {"mode": "best"}, {"target_precision": "1.5"},
                {"mode": "recall", "threshold": "0.5"}):
        for name in ("threshold", "mode", "target_precision"):
            job.joboptions[name].value = cut.get(name, "")
        told = {each.message for each in job.additional_joboption_validation()}
        words = [str(word) for word in job.get_commands()[0].cmd]
        print(*words[words.index("in.star") + 1 :], "|", *told)
"""


def test_fields_of_the_cut_reach_the_program_or_are_refused_in_its_words() -> None:
    result = subprocess.run([sys.executable, "-W", "ignore", "-c", CUT], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    told = [
        "",
        "",
        "The mode is 'best': expected one of precision, balanced, recall.",
        "The target precision is 1.5: expected a number between 0 and 1, such as 0.9.",
        "The mode recall chooses the threshold, and a threshold, a target or a count is given too: give one.",
    ]
    given = [
        "--mode precision",
        "--target_precision 0.9",
        "--mode best",
        "--target_precision 1.5",
        "--threshold 0.5 --mode recall",
    ]
    lines = [line.strip() for line in result.stdout.splitlines()]
    pick, select = lines[: len(told)], lines[len(told) :]
    assert select == [f"{words} | {sentence}".strip() for words, sentence in zip(given, told, strict=True)]
    for line, words, sentence in zip(pick, given, told, strict=True):
        assert words in line and line.endswith(f"| {sentence}".strip())


READ_JOBS = """
import json, sys
from pipeliner.job_factory import read_job

for path in sys.argv[1:]:
    job = read_job(path)
    job.output_dir = "External/job001/"
    print(json.dumps(job.get_commands()[0].cmd))
"""
EXAMPLES = {
    "pick": "attnpick-external --in_mics CtfFind/job003/micrographs_ctf.star --diameter 150",
    "train": "attnpick-train-external --in_mics CtfFind/job003/micrographs_ctf.star --in_parts "
    "Select/job008/particles.star --diameter 150",
    "select": "attnpick-select-external --in_coords External/job004/autopick.star --threshold 0.5",
}


def test_job_files_of_the_examples() -> None:
    """The pipeliner reads the files of 4.0 and 5.0, and makes the commands that our page promises."""
    folder = Path(__file__).parent.parent.parent / "examples/relion_gui/relion_4_and_5"
    paths = [str(folder / name / "job.star") for name in EXAMPLES]
    result = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", READ_JOBS, *paths], capture_output=True, text=True, check=False
    )
    assert result.returncode == 0, result.stderr
    for line, expected in zip(result.stdout.splitlines()[-3:], EXAMPLES.values(), strict=True):
        words = [str(word) for word in json.loads(line)]
        at = words.index("--o")
        assert words[:at] + words[at + 2 : -2] == expected.split()
        assert words[at : at + 2] + words[-2:] == ["--o", "External/job001/", "--j", "4"]
