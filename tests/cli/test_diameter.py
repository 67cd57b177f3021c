"""``attnpick diameter`` and ``--diameter auto``: asked once, kept by Continue, refused in one sentence."""

from __future__ import annotations

import json
import os
import re
import signal
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from relion_attn_picker.cli import group
from relion_attn_picker.cli._plain_command import run_plain_command
from relion_attn_picker.inference.diameter import DIAMETERS, TOP_OVER_DIAMETER, ScaleScan
from relion_attn_picker.inference.weights import find_weights
from relion_attn_picker.jobs import diameter_job
from relion_attn_picker.options import InferenceOptions

if TYPE_CHECKING:
    from relion_attn_picker.inference.predictor import Predictor
    from relion_attn_picker.picks import FloatArray
    from tests.cli.conftest import Project

A = "Micrographs/a.mrc"


class Scanner:
    """Stands for the network: a hill of scores with its top at ``top`` Å, ``height`` logits high."""

    def __init__(self) -> None:
        self.top, self.height = 100 * TOP_OVER_DIAMETER, 1.4
        self.pixel_sizes: list[float] = []

    def scan(self, image: FloatArray, pixel_size: float, predictor: Predictor) -> ScaleScan:
        """As ``inference.diameter.scan_diameters``."""
        self.pixel_sizes.append(pixel_size)
        counts = np.full(len(DIAMETERS), 5)
        response = self.height - np.log(DIAMETERS / self.top) ** 2
        return ScaleScan(response, counts, np.ones((len(DIAMETERS), 49, 49)), counts)


@pytest.fixture
def scanner(project: Project, monkeypatch: pytest.MonkeyPatch) -> Scanner:
    """What is asked instead of a network."""
    scanner = Scanner()
    monkeypatch.setattr(diameter_job, "load_predictor", lambda *_: None)
    monkeypatch.setattr(diameter_job, "scan_diameters", scanner.scan)
    return scanner


def run_auto(project: Project, *more: str):  # type: ignore[no-untyped-def]
    return project.run_only(*project.arguments, "--diameter", "auto", "--threshold", "0.9", "--j", "1", *more)


def test_job_picks_with_the_estimate(project: Project, scanner: Scanner) -> None:
    run = run_auto(project).assert_succeeded()
    assert "Particle diameter: 100 ± 1" in run.out
    saved = json.loads((project.job / "picking_options.json").read_text())
    assert saved["options"]["particle_diameter"] == pytest.approx(100)
    assert saved["diameter_estimate"]["n_micrographs"] == 2
    expected = project.picks_text()
    project.job.rename(project.folder / "kept")
    project.run().assert_succeeded()
    assert project.picks_text() == expected


def test_continue_keeps_the_estimate(project: Project, scanner: Scanner) -> None:
    run_auto(project).assert_succeeded()
    scanner.top = 300.0
    run = run_auto(project, "--threshold", "0.5").assert_succeeded()
    assert "Particle diameter, as estimated before: 100 ±" in run.out
    assert "done before" in run.out
    assert scanner.pixel_sizes == [4.0, 4.0]


def test_another_pixel_size_is_another_estimate(project: Project, scanner: Scanner) -> None:
    run_auto(project).assert_succeeded()
    run_auto(project, "--pixel_size", "2").assert_succeeded()
    assert scanner.pixel_sizes == [4.0, 4.0, 2.0, 2.0]


def test_a_damaged_estimate_is_made_anew(project: Project, scanner: Scanner) -> None:
    run_auto(project).assert_succeeded()
    path = project.job / "picking_options.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"diameter_estimate": {"pixel_size": 4.0, "what": 1}}))
    assert "Particle diameter: 100 ±" in run_auto(project).assert_succeeded().out


def test_job_without_an_answer_fails(project: Project, scanner: Scanner) -> None:
    scanner.height = 0.2
    run_auto(project).assert_failed_with("diameter cannot be estimated: the best .* give the diameter in Å")
    assert not (project.job / "autopick.star").exists()


def test_abort_is_seen_between_micrographs(project: Project, scanner: Scanner, monkeypatch: pytest.MonkeyPatch) -> None:
    """RELION touches the file while the first micrograph is looked at; what goes on was told before."""

    def scan_and_press_abort(*arguments: Any) -> ScaleScan:
        (project.job / "RELION_JOB_ABORT_NOW").touch()
        return scanner.scan(*arguments)

    monkeypatch.setattr(diameter_job, "scan_diameters", scan_and_press_abort)
    run = run_auto(project)
    assert (run.code, run.markers) == (2, ["RELION_JOB_EXIT_ABORTED"])
    assert run.err == "Aborted. The job was asked to stop. What is done is kept: the same job again goes on.\n"
    assert run.out == " Estimating the particle diameter on 2 micrographs ...\n"
    assert scanner.pixel_sizes == [4.0]


def test_signal_while_estimating(project: Project, scanner: Scanner, monkeypatch: pytest.MonkeyPatch) -> None:
    def be_stopped(*_: object) -> None:
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(10)

    monkeypatch.setattr(diameter_job, "scan_diameters", be_stopped)
    run = run_auto(project)
    assert (run.code, run.markers) == (2, ["RELION_JOB_EXIT_ABORTED"])
    assert run.err == "Aborted. The job got the signal SIGTERM. What is done is kept: the same job again goes on.\n"


def diameter(*arguments: str) -> int:
    return run_plain_command(group, ["diameter", *arguments, "--gpu", "cpu", "--j", "1"])


def test_command_tells_scores_and_diameter(
    project: Project, scanner: Scanner, capsys: pytest.CaptureFixture[str]
) -> None:
    assert diameter("Micrographs/*.mrc", "--out", "diameter.png") == 0
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 1 + len(DIAMETERS) + 2
    assert lines[1].split() == ["40", "Å", "0.60", "10"]
    assert lines[-2] == "Particle diameter: 100 ± 15 Å (from 2 micrographs, 10 particles)"
    assert Path("diameter.png").read_bytes()[:4] == b"\x89PNG"


def test_command_shows_the_scores_even_without_an_answer(
    project: Project, scanner: Scanner, capsys: pytest.CaptureFixture[str]
) -> None:
    scanner.height = 0.2
    assert diameter("micrographs.star") == 1
    captured = capsys.readouterr()
    assert "best scores" in captured.out
    assert "Particle diameter" not in captured.out
    assert captured.err.startswith("ERROR: The particle diameter cannot be estimated: ")


def test_damaged_micrographs_are_left_out(
    project: Project, scanner: Scanner, capsys: pytest.CaptureFixture[str]
) -> None:
    (project.folder / A).write_bytes(b"no image")
    assert diameter("micrographs.star") == 0
    captured = capsys.readouterr()
    assert f"WARNING: {A} is not looked at: " in captured.err
    assert "(from 1 micrograph, 5 particles)" in captured.out
    (project.folder / "Micrographs/b.mrc").unlink()
    assert diameter("micrographs.star") == 1
    assert "cannot be estimated, for no micrograph can be read: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ("--count 0", "number of micrographs to look at is 0: expected 1 or more"),
        ("--pixel_size 0", "The pixel size is 0: expected Å per pixel"),
        ("--weights nothing.safetensors", "nothing.safetensors"),
        ("--out micrographs.star", "The picture would go to micrographs.star: expected a name that ends in .png."),
        ("--out absent/d.png", "There is no folder absent for the picture: make it, or give another."),
    ],
)
def test_impossible_options(
    project: Project, capsys: pytest.CaptureFixture[str], arguments: str, sentence: str
) -> None:
    assert diameter("micrographs.star", *arguments.split()) == 1
    assert sentence in capsys.readouterr().err


def test_cryosparc_needs_a_number(project: Project, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["cryosparc", "run", "--project", "P1", "--workspace", "W1", "--job", "J1", "--diameter", "auto"]
    assert run_plain_command(group, [*arguments, "--gpu", "cpu"]) == 1
    assert "--diameter auto is not for this command" in capsys.readouterr().err


def test_micrographs_are_taken_from_the_whole_list(project: Project) -> None:
    listed = list(range(100))
    assert diameter_job.sample_evenly(listed, 4) == [12, 37, 62, 87]  # type: ignore[arg-type, comparison-overlap]
    assert diameter_job.sample_evenly(listed[:3], 6) == [0, 1, 2]  # type: ignore[arg-type, comparison-overlap]


def test_a_hybrid_looks_with_its_attention_network(monkeypatch: pytest.MonkeyPatch) -> None:
    paths: list[Path] = []
    monkeypatch.setattr(diameter_job, "load_predictor", lambda path, _: paths.append(path))
    for variant in ("hybrid", "attention", "standard"):
        diameter_job.load_scout(find_weights(variant, None), InferenceOptions(gpu="cpu", threads=1))
    assert [path.name for path in paths] == ["attention.safetensors", "attention.safetensors", "standard.safetensors"]


def test_released_weights_refuse_noise(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], rng: np.random.Generator
) -> None:
    from relion_attn_picker.io.mrc import write_image

    write_image(tmp_path / "noise.mrc", rng.normal(size=(700, 700)).astype(np.float32), 2.0)
    assert diameter(str(tmp_path / "noise.mrc")) == 1
    assert "cannot be estimated: the best candidates reach a score of" in capsys.readouterr().err


def test_released_weights_know_apoferritin(shared_data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Its shell is 120 Å wide (held-out micrographs are at the end of the list, one of which is taken)."""
    from relion_attn_picker.relion.micrographs import read_micrographs

    project = shared_data / "apoferritin_10146"
    path = project / read_micrographs(project / "micrographs.star")[-1].name
    assert diameter(str(path), "--pixel_size", "1.5") == 0
    found = re.search(r"Particle diameter: (\d+) ± (\d+) Å \(from 1 micrograph", capsys.readouterr().out)
    assert found is not None
    assert abs(int(found[1]) - 120) <= 2 * int(found[2]) <= 60
