"""Every command whose results would go where no folder or file can be made says so in one sentence."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from relion_attn_picker.cli import group
from relion_attn_picker.cli._job_command import run_job_command
from relion_attn_picker.cli._plain_command import run_plain_command
from relion_attn_picker.cli.external import command as external
from relion_attn_picker.io.mrc import write_image
from relion_attn_picker.micrograph import Micrograph, OpticsGroup
from relion_attn_picker.point_set import MicrographPoints, gather
from relion_attn_picker.relion.micrographs import write_micrographs
from relion_attn_picker.relion.point_sets import write_star_particles
from tests.cli.conftest import draw_discs, place_discs

COMMANDS = {
    "train": "train --data m.star t.star 100 --hold_out 1 --gpu cpu --j 1 --out PLACE",
    "self-train": "self-train --data m.star t.star 100 --hold_out 1 --unlabelled u.star 100 --gpu cpu --out PLACE",
    "compare": "compare --data m.star t.star 100 --attention WEIGHTS --standard STANDARD --gpu cpu --j 1 --out PLACE",
    "convert to star": "convert t.star PLACE/out.star",
    "convert to a job": "convert t.star PLACE --to relion",
    "convert to tables": "convert t.star PLACE --to table",
    "evaluate": "evaluate t.star t.star --diameter 100 --pixel_size 4 --out PLACE",
    "attention": "attention m.star --diameter 100 --weights WEIGHTS --gpu cpu --j 1 --out PLACE",
    "pick": "pick m.star --diameter 100 --weights WEIGHTS --gpu cpu --j 1 --out PLACE",
    "simulate": "simulate --out PLACE --count 1 --width 128 --height 128 --pixel_size 4",
}
INTO_A_FOLDER = {
    "diameter": "diameter m.star --out PLACE/x.png",
    "convert to a job": "convert t.star PLACE --to relion",
    "release": "model release WEIGHTS PLACE/x.safetensors",
    "pick": "pick m.star --diameter 100 --weights WEIGHTS --gpu cpu --j 1 --out PLACE",
}
BLANK = {name: command for name, command in COMMANDS.items() if command.endswith(" PLACE")} | {
    "simulate": COMMANDS["simulate"],
    "convert": "convert t.star PLACE --to relion",
    "diameter": "diameter m.star --out PLACE",
    "calibrate": "calibrate --data m.star t.star 100 --out PLACE",
    "release": "model release WEIGHTS PLACE",
    "select": "select PLACE --threshold 0.5",
    "cryosparc exposures": "cryosparc exposures m.cs --out PLACE",
    "cryosparc export": "cryosparc export t.star --exposures m.cs --out PLACE",
    "cryosparc import": "cryosparc import p.cs --out PLACE",
    "cryosparc run": "cryosparc run --project P1 --workspace W1 --job J1 --diameter 100 --out PLACE",
}


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: two labelled micrographs, ``m.star`` and ``t.star``, and an unlabelled one, ``u.star``."""
    monkeypatch.chdir(tmp_path)
    optics = OpticsGroup(1, "opticsGroup1", 4.0)
    for seed, name in enumerate(["a.mrc", "b.mrc", "c.mrc"]):
        write_image(Path(name), draw_discs(seed), 4.0)
    write_micrographs(Path("m.star"), [Micrograph("a.mrc", optics), Micrograph("b.mrc", optics)])
    write_micrographs(Path("u.star"), [Micrograph("c.mrc", optics)])
    truth = [MicrographPoints(name, np.rint(place_discs(seed))) for seed, name in enumerate(["a.mrc", "b.mrc"])]
    write_star_particles(Path("t.star"), gather(truth))
    Path("file").write_text("in the way")
    return tmp_path


def run(command: str, place: str, pair: dict[str, Path]) -> int:
    if place.startswith("/proc") and not Path("/proc/self").is_dir():
        pytest.skip("no /proc on this system")
    given = {"WEIGHTS": str(pair["attention"]), "STANDARD": str(pair["standard"])}
    words = [given.get(word, word.replace("PLACE", place)) for word in command.split()]
    return run_plain_command(group, words)


def assert_refused(code: int, err: str, place: str) -> None:
    errors = [line for line in err.splitlines() if line.startswith("ERROR: ")]
    assert code == 1
    assert len(errors) == 1, err
    above = place.removesuffix("/x")  # which the report of a conversion would go to
    assert re.search(rf"older (/.*/)?{above}(/x)?/? cannot be made or written to \(", errors[0]), err
    assert "Traceback" not in err
    assert Path("file").read_text() == "in the way"


@pytest.mark.parametrize("place", ["/proc/x", "file/x"])
@pytest.mark.parametrize("command", COMMANDS.values(), ids=COMMANDS)
def test_place_that_takes_no_folder(
    command: str, place: str, tiny_pair: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused(run(command, place, tiny_pair), capsys.readouterr().err, place)


@pytest.mark.parametrize("command", INTO_A_FOLDER.values(), ids=INTO_A_FOLDER)
def test_folder_that_takes_no_file(
    command: str, tiny_pair: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    assert_refused(run(command, "/proc", tiny_pair), capsys.readouterr().err, "/proc")


@pytest.mark.parametrize("place", ["", "  "])
@pytest.mark.parametrize("command", BLANK.values(), ids=BLANK)
def test_blank_place_is_no_place(
    command: str, place: str, tiny_pair: dict[str, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    before = set(Path().iterdir())
    assert run(command, place, tiny_pair) == 1
    assert re.fullmatch(
        r"ERROR: (--out|TARGET|OUT|JOB) is empty: expected the folder or file for the results; give .*\n",
        capsys.readouterr().err,
    )
    assert set(Path().iterdir()) == before


def test_blank_folder_of_a_job(capsys: pytest.CaptureFixture[str]) -> None:
    before = set(Path().iterdir())
    assert run_job_command(external, ["--o", " ", "--in_mics", "m.star", "--diameter", "100"], "--o") == 1
    assert capsys.readouterr().err.startswith("ERROR: The name of the job's folder is empty: expected ")
    assert set(Path().iterdir()) == before
