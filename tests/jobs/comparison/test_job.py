"""``attnpick compare`` from checkpoints and from a training, on two small micrographs."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from relion_attn_picker.cli import group
from relion_attn_picker.cli._plain_command import run_plain_command
from relion_attn_picker.errors import InputError
from relion_attn_picker.evaluation.comparison_result import Comparison
from relion_attn_picker.inference.combination import LogitScale
from relion_attn_picker.io.mrc import write_image
from relion_attn_picker.jobs.comparison import analysis, job, picking
from relion_attn_picker.jobs.comparison.job import ComparisonRequest
from relion_attn_picker.jobs.comparison.request import LabelledTestSet, NetworkPair
from relion_attn_picker.micrograph import Micrograph, OpticsGroup
from relion_attn_picker.options import NETWORKS
from relion_attn_picker.picks import ProbabilityMap
from relion_attn_picker.relion.job_files import write_coordinate_index, write_truth
from tests.conftest import hold_elsewhere, write_tiny_checkpoint

Compare = Callable[..., int]


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Six simulated micrographs with their truth."""
    folder = tmp_path_factory.mktemp("compared") / "simulated"
    arguments = f"simulate --out {folder} --count 6 --width 400 --height 320 --diameter 120 --pixel_size 5"
    assert run_plain_command(group, [*arguments.split(), "--snr", "1", "4", "--dirt", "none"]) == 0
    return folder


def read_diameter(project: Path) -> float:
    found = re.search(r'"diameter": ([\d.]+)', (project / "simulation.json").read_text())
    assert found is not None
    return float(found[1])


@pytest.fixture
def compare(project: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Compare:
    """The command on the simulated micrographs, with few resamples."""
    monkeypatch.chdir(tmp_path)
    draw = analysis.draw_weights
    monkeypatch.setattr(analysis, "draw_weights", lambda n, rng: draw(n, rng, 40))
    diameter = read_diameter(project)

    def run(*more: str) -> int:
        data = ["--data", str(project / "micrographs.star"), str(project / "truth.star"), str(diameter)]
        return run_plain_command(group, ["compare", "--out", "out", *data, "--gpu", "cpu", "--j", "1", *more])

    return run


@pytest.fixture
def checkpoints(tmp_path: Path) -> list[str]:
    """Three hand-made pairs; a seed in the header makes each file another."""
    arguments = []
    for seed in "123":
        for name in ("attention", "standard"):
            path = write_tiny_checkpoint(tmp_path / f"{name}-{seed}.safetensors", name)
            path.write_bytes(path.read_bytes().replace(b"by hand", f"by han{seed}".encode()))
            arguments += [f"--{name}", path.name]
    return arguments


def test_interrupted_scale_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half a ``scale.json`` would end every further run in the folder."""

    def interrupted(self: Path, target: Path) -> None:
        raise KeyboardInterrupt

    pair = NetworkPair(*(write_tiny_checkpoint(tmp_path / f"{name}.safetensors", name) for name in NETWORKS))
    (tmp_path / "set").mkdir()
    cache = picking._Cache(
        tmp_path / "set", LabelledTestSet("one", 100.0, [], [], [], tmp_path, {}, label_digest=""), pair, "float32"
    )
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", interrupted)
        cache.write_scale(LogitScale(2.0, 0.5))
    assert not list((tmp_path / "set").iterdir())
    assert cache.read_scale() is None
    cache.write_scale(LogitScale(2.0, 0.5))
    assert cache.read_scale() == LogitScale(2.0, 0.5)


def test_scale_found_at_another_diameter_is_none(tmp_path: Path) -> None:
    """Told another diameter, the networks see other images: all is picked again, and so must the scale be found."""
    pair = NetworkPair(*(write_tiny_checkpoint(tmp_path / f"{name}.safetensors", name) for name in NETWORKS))
    caches = [
        picking._Cache(
            tmp_path, LabelledTestSet("one", diameter, [], [], [], tmp_path, {}, label_digest=""), pair, "float32"
        )
        for diameter in (100.0, 120.0)
    ]
    caches[0].write_scale(LogitScale(2.0, 0.5))
    assert [cache.read_scale() for cache in caches] == [LogitScale(2.0, 0.5), None]


def test_candidates_of_another_run_are_none(tmp_path: Path, rng: np.random.Generator) -> None:
    """A run with other labels that was killed between a micrograph's candidates and its pixels leaves both at odds."""
    pair = NetworkPair(*(write_tiny_checkpoint(tmp_path / f"{name}.safetensors", name) for name in NETWORKS))
    micrograph = Micrograph("a.mrc", OpticsGroup(1, "optics", 5.0))
    write_image(tmp_path / "a.mrc", np.zeros((96, 96), np.float32), 5.0)
    maps = {name: ProbabilityMap(rng.random((96, 96), np.float32), 5.0) for name in NETWORKS}

    def open_with(*labels: tuple[float, float]) -> tuple[picking._Cache, LabelledTestSet]:
        truth = np.array(labels, dtype=np.float32)
        one = LabelledTestSet("one", 120.0, [micrograph], [truth], [truth[:0]], tmp_path, {}, label_digest="")
        return picking._Cache(tmp_path, one, pair, "float32"), one

    ours, one = open_with((30.0, 40.0))
    ours.write(one, 0, maps, (96, 96), LogitScale(), dict.fromkeys(NETWORKS, 1.0))
    assert open_with((30.0, 40.0))[0].has(micrograph)
    theirs, other = open_with((60.0, 50.0))
    theirs._pixels.append = lambda record: pytest.fail("killed")  # type: ignore[method-assign]
    with pytest.raises(pytest.fail.Exception, match="killed"):
        theirs.write(other, 0, maps, (96, 96), LogitScale(), dict.fromkeys(NETWORKS, 1.0))
    assert not open_with((30.0, 40.0))[0].has(micrograph)


def test_released_pair_is_compared_if_nothing_is_given(compare: Compare, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[ComparisonRequest] = []

    def stop(folder: Path, request: ComparisonRequest, start_report: object) -> Comparison:
        seen.append(request)
        raise InputError("enough")

    monkeypatch.setattr(job, "run_comparison", stop)
    assert compare() == 1
    (request,) = seen
    assert [path.name for path in (*request.attention, *request.standard)] == [
        "attention.safetensors",
        "standard.safetensors",
    ]


@pytest.mark.parametrize("option", ["--seeds 5", "--sizes 0.5", "--base-features 64", "--recipe small", "--exclude a"])
def test_options_of_a_training_where_there_is_none(
    compare: Compare, option: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(*option.split()) == 1
    name = option.split()[0].replace("base-f", "base_f")
    assert f"{name} is for networks that are trained here: give --train_data" in capsys.readouterr().err


def test_report_of_given_checkpoints(
    compare: Compare, checkpoints: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(*checkpoints, "--no_costs") == 0, capsys.readouterr().err
    names = {path.name for path in Path("out").iterdir() if path.is_file()}
    assert {"comparison.md", "comparison.json", "precision_recall.png", "differences.png"} <= names
    report = Path("out/comparison.md").read_text()
    for words in ("### What to take", "What the study claims", "31,042,369", "31,393,901", "AUC from the mask", "±"):
        assert words in report
    rows = [line.split("|")[1].strip() for line in report.splitlines() if line.startswith("| ")]
    assert {"attention", "standard", "average", "verify", "rescue", "union", "intersection"} <= set(rows)
    record = json.loads(Path("out/comparison.json").read_text())
    assert record["n_seeds"] == 3
    monkeypatch.setattr(picking, "load_predictor", lambda *_: pytest.fail("picked again"))
    shutil.copy("out/comparison.md", "before.md")
    assert compare(*checkpoints, "--no_costs") == 0
    figures = [
        [line for line in Path(name).read_text().splitlines() if line.startswith("| att")]
        for name in ("before.md", "out/comparison.md")
    ]
    assert figures[0] == figures[1]


@pytest.mark.parametrize(
    ("keep", "sentence"),
    [
        (slice(0, 2), "There is no --standard checkpoint to compare the attention network with"),
        (slice(0, 6), "--attention is given 2 times and --standard 1 times"),
        (slice(2, 4), "There is no --attention checkpoint"),
    ],
)
def test_checkpoints_that_make_no_pairs(
    compare: Compare, checkpoints: list[str], capsys: pytest.CaptureFixture[str], keep: slice, sentence: str
) -> None:
    assert compare(*checkpoints[keep]) == 1
    assert sentence in capsys.readouterr().err
    assert not Path("out").exists()


def test_one_pair_tells_what_it_cannot_know(
    compare: Compare, checkpoints: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(*checkpoints[:4], "--no_costs") == 0
    assert "what other seeds would give cannot be known" in capsys.readouterr().err
    assert "cannot be known from one seed" in Path("out/comparison.md").read_text()


def test_only_the_last_micrographs(
    compare: Compare, checkpoints: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(*checkpoints[:4], "--no_costs", "--last", "2") == 0
    assert "(2 micrographs" in Path("out/comparison.md").read_text()
    assert "no set has 6 or more micrographs with particles whose signal" in Path("out/comparison.md").read_text()
    assert "single micrograph" not in Path("out/comparison.md").read_text()
    assert "dealt into up to 5 folds" in Path("out/comparison.md").read_text()
    assert compare(*checkpoints[:4], "--no_costs", "--last", "1") == 0
    assert "simulated is a single micrograph, so that nothing is chosen" in Path("out/comparison.md").read_text()
    assert compare(*checkpoints[:4], "--last", "2", "--last", "1") == 1
    assert "--last is given 2 times for 1 sets: once, or once for each" in capsys.readouterr().err
    assert compare(*checkpoints[:4], "--last", "0") == 1
    assert "--last is 0: expected 1 or more" in capsys.readouterr().err


def test_folder_that_another_process_compares_in(
    compare: Compare, checkpoints: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with hold_elsewhere(Path("out")) as holder:
        assert compare(*checkpoints[:4], "--no_costs") == 1
        assert [path.name for path in Path("out").iterdir() if path.suffix != ".log"] == [".attnpick.lock"]
        holder.communicate("")
    assert f"out is being worked in by process {holder.pid} on " in capsys.readouterr().err


def test_network_given_twice_or_as_another(
    compare: Compare, checkpoints: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert compare(*checkpoints[:4], *checkpoints[:4]) == 1
    assert "a network given twice is no second seed" in capsys.readouterr().err
    assert compare("--attention", checkpoints[3], "--standard", checkpoints[1]) == 1
    assert "holds the network 'standard', but is given as --attention" in capsys.readouterr().err


def test_training_both_shares_the_crops(compare: Compare, project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    diameter = read_diameter(project)
    train = ["--train_data", str(project / "micrographs.star"), str(project / "truth.star"), str(diameter)]
    more = "--hold_out 2 --seeds 2 --steps 2 --base_features 8 --batch_size 2 --input_size 64 --crops_per_source 8"
    train += [*more.split(), "--validate_every", "2", "--no_costs"]
    assert compare(*train) == 0, capsys.readouterr().err
    crops = list(Path("out").rglob("crops.h5"))
    assert len({path.stat().st_ino for path in crops}) == 1
    assert len(crops) >= 4
    assert "(2 micrographs" in Path("out/comparison.md").read_text()
    assert compare(*train[:-1], "--no_costs", "--sizes", "2") == 1
    assert "size of the training set is 2: expected shares above 0, at most 1" in capsys.readouterr().err
    assert compare(*train[:-1], "--no_costs", "--sizes", "0.1 0.3") == 1
    assert "sizes of the training set are 0.1 0.3: expected 1 among them" in capsys.readouterr().err


def test_only_what_no_network_saw_is_compared_on(
    compare: Compare, project: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Trained on the first two of four labelled micrographs, tested on all six."""
    names = [f"Micrographs/mic000{number}.mrc" for number in range(1, 5)]
    files = [str(project / f"Truth/mic000{number}_truth.star") for number in range(1, 5)]
    write_coordinate_index(Path("four.star"), names, files)
    train = ["--train_data", str(project / "micrographs.star"), "four.star", str(read_diameter(project))]
    more = "--hold_out 2 --seeds 1 --steps 1 --base_features 8 --batch_size 2 --input_size 64 --crops_per_source 4"
    assert compare(*train, *more.split(), "--validate_every", "1", "--no_costs") == 0, capsys.readouterr().err
    picked = {path.read_text().count('"micrograph"') for path in Path("out/cache").rglob("attention.jsonl")}
    assert picked == {4}
    assert "mic0001" not in next(Path("out/cache").rglob("attention.jsonl")).read_text()


def test_images_written_anew_are_picked_again(compare: Compare, project: Path, checkpoints: list[str]) -> None:
    def count() -> list[int]:
        return [len(path.read_text().splitlines()) for path in Path("out/cache").rglob("pixels.jsonl")]

    assert compare(*checkpoints[:4], "--no_costs") == 0
    assert count() == [6]
    assert compare(*checkpoints[:4], "--no_costs") == 0
    assert count() == [6]
    image, before = project / "Micrographs/mic0002.mrc", (project / "Micrographs/mic0002.mrc").read_bytes()
    try:
        write_image(image, np.random.default_rng(0).normal(size=(320, 400)).astype(np.float32), 5.0)
        assert compare(*checkpoints[:4], "--no_costs") == 0
    finally:
        image.write_bytes(before)
    assert count() == [7]


def test_labels_outside_their_image(
    compare: Compare, project: Path, checkpoints: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    write_truth(Path("far.star"), np.array([[900.0, 900.0]], dtype=np.float32))
    write_coordinate_index(Path("truth.star"), ["Micrographs/mic0001.mrc"], ["far.star"])
    data = ["--data", str(project / "micrographs.star"), "truth.star", "120"]
    arguments = ["compare", "--out", "far", *data, *checkpoints[:4], "--no_costs", "--gpu", "cpu", "--j", "1"]
    assert run_plain_command(group, arguments) == 1
    assert "mic0001.mrc has labels outside its image of 400×320 pixels" in capsys.readouterr().err
