"""What the README and the examples show is what works."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from relion_attn_picker.cli import COMMANDS, group, main_external
from relion_attn_picker.cli._plain_command import run_plain_command
from relion_attn_picker.io.mrc import write_image
from relion_attn_picker.options import SimulationOptions
from relion_attn_picker.relion.job_files import write_coordinate_index, write_truth
from relion_attn_picker.simulation.particles import procedural_particle
from relion_attn_picker.simulation.project import write_project

ROOT = Path(__file__).parent.parent
README = (ROOT / "README.md").read_text() if (ROOT / "README.md").exists() else ""
needs_readme = pytest.mark.skipif(not README, reason="the README is not beside these tests")


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    options = SimulationOptions(count=1, shape=(300, 360), pixel_size=5.0, seed=2)
    write_project(tmp_path, procedural_particle(160.0, np.random.default_rng(1)), options)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@needs_readme
def test_python_example_of_the_readme_runs(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = "\n".join(re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL))
    code = code.replace("CtfFind/job003/micrographs_ctf.star", "micrographs.star").replace('"auto"', '"cpu"')
    exec(compile(code, "README.md", "exec"), {})
    told = capsys.readouterr().out
    assert "Micrographs/mic0001.mrc" in told
    assert "mode balanced: " in told
    assert Path("picks/Micrographs/mic0001_autopick.star").is_file()
    assert Path("picks/autopick.star").is_file()


@needs_readme
def test_readme_names_every_command() -> None:
    assert [name for name in COMMANDS if name not in README] == []


@needs_readme
def test_readme_names_options_that_exist() -> None:
    from relion_attn_picker.cli.external import command

    known = {name.lstrip("-") for parameter in command.params for name in [*parameter.opts, *parameter.secondary_opts]}
    (row,) = re.findall(r"\| Params, optional \| (.*) \|", README)
    assert set(re.findall(r"`(\w+)`", row)) <= known


def test_draw_picks(project: Path) -> None:
    with pytest.raises(SystemExit) as ended:
        main_external(["--o", "External/job001/", "--in_mics", "micrographs.star", "--diameter", "160", "--gpu", "cpu"])
    assert ended.value.code == 0
    script = ROOT / "examples/draw_picks.py"
    arguments = ["External/job001/", "Micrographs/mic0001.mrc", "truth.star", "160", "picks.png"]
    subprocess.run([sys.executable, str(script), *arguments], check=True)
    with Image.open("picks.png") as picture:
        assert len(picture.convert("RGB").getcolors(1 << 24) or []) > 100


SCRIPTS = (
    *("examples/quickstart.sh", "examples/tutorial.sh", "examples/train_weights.sh", "examples/environment.sh"),
    *("tests/run.sh", ".ci/run", "examples/measure_sparse.sh"),
    "tests/contract/cryosparc_environments.sh",
)


@pytest.mark.parametrize("script", SCRIPTS)
def test_scripts_are_valid_bash(script: str) -> None:
    assert subprocess.run(["bash", "-n", str(ROOT / script)], check=False).returncode == 0


STAND_IN = """#!/usr/bin/env bash
if [ "$1" = model ]; then cp "$3" "$4" && exit; fi
touch "$5/crops.h5" "$5/best.safetensors"
[ "$3" != "$FAILS" ]
"""


@pytest.mark.parametrize("fails", ["", "attention", "standard"])
def test_weights_of_a_training_that_failed_are_not_released(tmp_path: Path, fails: str) -> None:
    """Its best weights so far are there all the same."""
    script, attnpick = tmp_path / "examples/train_weights.sh", tmp_path / ".venv/bin/attnpick"
    for path, text in ((script, (ROOT / "examples/train_weights.sh").read_text()), (attnpick, STAND_IN)):
        path.parent.mkdir(parents=True)
        path.write_text(text)
    attnpick.chmod(0o755)
    command = ["bash", str(script), "data", str(tmp_path / "out")]
    ended = subprocess.run(command, check=False, env=os.environ | {"FAILS": fails}, capture_output=True, text=True)
    released = {path.name for path in (tmp_path / "out").glob("*.safetensors")}
    if fails:
        assert (ended.returncode, released) == (1, set()), ended.stderr
    else:
        assert (ended.returncode, released) == (0, {"attention.safetensors", "standard.safetensors"}), ended.stderr


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_command_has_help(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    if name == "external":
        with pytest.raises(SystemExit):
            main_external(["--help"])
    else:
        assert run_plain_command(group, [name, "--help"]) == 0
    printed = capsys.readouterr().out
    assert printed.startswith("Usage:")
    assert "None" not in printed


def test_measure_conversion() -> None:
    script = ROOT / "examples/measure_conversion.py"
    result = subprocess.run([sys.executable, str(script), "8000"], check=True, capture_output=True, text=True)
    numbers = [line.split()[0] for line in result.stdout.splitlines()]
    assert numbers == ["picks", "1000", "2000", "4000", "8000", "slope", "peak"]


def test_measure_drift_tells_a_drift_that_is_there(capsys: pytest.CaptureFixture[str]) -> None:
    drift = runpy.run_path(str(ROOT / "examples/measure_drift.py"))
    true_yx = np.array([[100.0 * number, 0.0] for number in range(10)])
    yx = np.concatenate([true_yx, true_yx + np.array([0, 1000])])
    score = np.concatenate([np.full(10, 1.0), np.full(10, -1.0)])
    micrographs = [
        drift["Scored"](score + 3 * defocus, yx, true_yx, 10.0, defocus, defocus % 2.0)
        for defocus in (0.5, 1.0, 2.0, 3.0)
    ]
    drift["print_table"](micrographs)
    found = dict(re.findall(r"^(\S.*?)  +.*best F1 ([\d.]+)$", capsys.readouterr().out, flags=re.MULTILINE))
    assert float(found["as they are"]) < 0.9
    assert [found[name] for name in ("level", "defocus", "best of each")] == ["1.000"] * 3
    assert float(found["contrast"]) < 0.9


def test_measure_repeatability(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Four picks of which three are found again, two pixels off; the diameter is 10 pixels."""
    monkeypatch.chdir(tmp_path)
    yx = np.array([[20.0, 30.0], [60.0, 70.0], [10.0, 80.0], [90.0, 15.0]], dtype=np.float32)
    for name, points in {"far_1": yx, "near_1": yx[:3] + np.array([2, 0])}.items():
        write_image(Path(f"{name}.mrc"), np.zeros((100, 120), dtype=np.float32), 2.0)
        write_truth(Path(f"{name}.star"), points.astype(np.float32))
    write_coordinate_index(Path("picks.star"), ["far_1.mrc", "near_1.mrc"], ["far_1.star", "near_1.star"])
    main = runpy.run_path(str(ROOT / "examples/measure_repeatability.py"))["main"]
    main("picks.star", "20", "far_", "near_")
    told = capsys.readouterr().out
    assert "1 pairs; 4 picks on far_, 3 on near_, 3 on both" in told
    assert "of far_ 0.750 (chance 0.000), of near_ 1.000 (chance 0.000)" in told
