"""Labelled micrographs of a training: which labels count, where they stop, and which are refused."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from relion_attn_picker.cli import group
from relion_attn_picker.cli._plain_command import run_plain_command, set_up_logging
from relion_attn_picker.cli.train import labelled_sets
from relion_attn_picker.errors import InputError
from relion_attn_picker.io.checkpoint import read_header
from relion_attn_picker.io.mrc import read_image, write_image
from relion_attn_picker.jobs.training.labelled_data import TrainingData, read_labelled_source, read_labels, split_source
from relion_attn_picker.micrograph import Micrograph
from relion_attn_picker.relion.job_files import write_coordinate_index, write_truth
from relion_attn_picker.relion.micrographs import write_micrographs
from relion_attn_picker.training.crops import are_same_sources, describe_source
from tests.jobs.training.conftest import OPTICS, SMALL, train


def test_labels_edited_in_place_are_refused(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    names = [f"Micrographs/mic000{number}.mrc" for number in (1, 2, 3)]
    files = [f"{number}.star" for number in (1, 2, 3)]
    for file in files:
        write_truth(tmp_path / file, np.array([[40.0, 50.0], [90.0, 120.0]], dtype=np.float32))
    write_coordinate_index(tmp_path / "truth.star", names, files)
    truth = tmp_path / "truth.star"
    assert train(project, tmp_path / "run", truth=truth) == 0
    before = {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.suffix != ".log"}
    for file in ("1.star", "3.star"):  # trained on, and held out
        write_truth(tmp_path / file, np.array([[40.0, 50.0], [90.0, 121.0]], dtype=np.float32))
        capsys.readouterr()
        assert train(project, tmp_path / "run", truth=truth) == 1
        assert "crops.h5 was made from other data, or from labels that have changed since" in capsys.readouterr().err
        write_truth(tmp_path / file, np.array([[40.0, 50.0], [90.0, 120.0]], dtype=np.float32))
    assert {path.name: path.read_bytes() for path in (tmp_path / "run").iterdir() if path.suffix != ".log"} == before
    assert train(project, tmp_path / "run", truth=truth) == 0


def test_crops_of_an_earlier_version_know_no_digest_of_labels(project: Path, tmp_path: Path) -> None:
    data = TrainingData(
        micrographs_star=project / "micrographs.star", coordinates=project / "truth.star", particle_diameter=150
    )
    source = describe_source(read_labelled_source(data))
    earlier = {name: value for name, value in source.items() if name != "label_digest"}
    assert are_same_sources([earlier], [source])
    assert not are_same_sources([source | {"label_digest": "other"}], [source])
    assert not are_same_sources([source, source], [source])


def test_nothing_labelled_to_hold_out() -> None:
    with pytest.raises(InputError, match="--hold_out is for labelled micrographs, and there are none: leave it out"):
        labelled_sets((), (2,), ())


def test_labels_outside_the_image(project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_truth(tmp_path / "far.star", np.array([[10.0, 500.0]], dtype=np.float32))
    names = [f"Micrographs/mic000{number}.mrc" for number in (1, 2, 3)]
    write_coordinate_index(tmp_path / "truth.star", names, ["far.star"] * 3)
    assert train(project, tmp_path / "run", truth=tmp_path / "truth.star") == 1
    message = capsys.readouterr().err
    assert "has labels outside its image of 200×160 pixels: the coordinates belong to other micrographs" in message
    assert "Traceback" not in message


def lose(path: Path) -> str:
    path.unlink()
    return "There is no micrograph at .*mic0001"


def cut_short(path: Path) -> str:
    path.write_bytes(path.read_bytes()[:-1])
    return r"mic0001\.mrc is cut short"


def shrink(path: Path) -> str:
    write_image(path, np.random.default_rng(1).normal(size=(64, 64)).astype(np.float32), 6.0)
    return r"mic0001\.mrc has labels outside its image of 64×64 pixels"


@pytest.mark.parametrize("spoil", [lose, cut_short, shrink])
def test_spoilt_micrograph_is_told_at_the_beginning(
    project: Path, tmp_path: Path, spoil: Callable[[Path], str]
) -> None:
    """One crop is cut, perhaps from another micrograph: what is wrong was told after hours, or never."""
    shutil.copytree(project, tmp_path / "copy")
    sentence = spoil(tmp_path / "copy/Micrographs/mic0001.mrc")
    star, truth = (tmp_path / "copy" / f"{name}.star" for name in ("micrographs", "truth"))
    with pytest.raises(InputError, match=sentence):
        read_labelled_source(TrainingData(micrographs_star=star, coordinates=truth, particle_diameter=150))


def test_labels_just_outside_the_image_are_left_out(project: Path, tmp_path: Path) -> None:
    """Class2D moves particles at the edge by some Å: their centres may end up outside."""
    yx = np.array([[-5.0, 50.0], [0.0, 199.4], [160.0, 20.0], [80.0, 90.0]], dtype=np.float32)
    write_truth(tmp_path / "a.star", yx)
    write_coordinate_index(tmp_path / "truth.star", ["Micrographs/mic0001.mrc"], ["a.star"])
    data = TrainingData(
        micrographs_star=project / "micrographs.star", coordinates=tmp_path / "truth.star", particle_diameter=150
    )
    (read,) = read_labelled_source(data).micrographs
    np.testing.assert_array_equal(read().yx, yx[[1, 3]])


def test_what_ignored_star_lists_is_neither_particle_nor_ground(project: Path, tmp_path: Path) -> None:
    write_truth(tmp_path / "a.star", np.array([[80.0, 90.0]], dtype=np.float32))
    write_truth(tmp_path / "b.star", np.array([[20.0, 30.0], [40.0, 50.0]], dtype=np.float32))
    data = TrainingData(
        micrographs_star=project / "micrographs.star", coordinates=tmp_path / "truth.star", particle_diameter=150
    )
    write_coordinate_index(tmp_path / "truth.star", ["Micrographs/mic0001.mrc"], ["a.star"])
    without = read_labelled_source(data)
    write_coordinate_index(tmp_path / "ignored.star", ["Micrographs/mic0001.mrc"], ["b.star"])
    source = read_labelled_source(data)
    (read,) = source.micrographs
    assert read().ignored_yx.tolist() == [[20, 30], [40, 50]]
    assert read().yx.tolist() == [[80, 90]]
    assert source.label_digest != without.label_digest


@pytest.fixture(scope="module")
def inner_labels(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    """Two micrographs of 300×360 pixels with 400 labels each, none within 12 pixels (48 Å) of the edges."""
    folder = tmp_path_factory.mktemp("inner")
    rng = np.random.default_rng(4)
    for name in "ab":
        write_image(folder / f"{name}.mrc", rng.normal(size=(300, 360)).astype(np.float32), 4.0)
        write_truth(folder / f"{name}.star", rng.uniform((12, 12), (287, 347), (400, 2)).astype(np.float32))
    write_micrographs(folder / "micrographs.star", [Micrograph(f"{name}.mrc", OPTICS) for name in "ab"])
    write_coordinate_index(folder / "truth.star", ["a.mrc", "b.mrc"], [f"{folder}/a.star", f"{folder}/b.star"])
    star = folder / "micrographs.star"
    return TrainingData(micrographs_star=star, coordinates=folder / "truth.star", particle_diameter=80, hold_out=1)


def test_micrographs_end_where_their_labels_do(inner_labels: TrainingData) -> None:
    """The band beyond is not empty ground: what is trained on is what lies inside, its labels on the same particles."""
    source = read_labelled_source(inner_labels)
    cut = int(source.label_margin * 80 / 4)
    assert cut in (11, 12)
    assert "none within" in source.description
    yx = read_labels(inner_labels).yx[0]
    inner, whole = source.micrographs[0](), read_image(inner_labels.micrographs_star.with_name("a.mrc"))
    np.testing.assert_array_equal(inner.image, whole[cut:-cut, cut:-cut])
    np.testing.assert_allclose(inner.yx, yx[(yx >= cut - 0.5).all(axis=1)] - cut)


@pytest.mark.parametrize(("simulated", "learns"), [((), True), (("--simulated", "6"), False)])
def test_weights_know_where_all_their_labels_stop(
    inner_labels: TrainingData, tmp_path: Path, simulated: tuple[str, ...], learns: bool
) -> None:
    """Simulated fields have labels up to the edges."""
    star = inner_labels.micrographs_star
    data = ["--data", str(star), str(inner_labels.coordinates), "80", "--hold_out", "1", *simulated]
    crops = ["--crops_per_source", "6", "--gpu", "cpu", "--j", "1", "--out", str(tmp_path / "run")]
    assert run_plain_command(group, ["train", *data, *SMALL, *crops]) == 0
    margin = read_header(tmp_path / "run/best.safetensors").label_margin
    assert margin == (read_labelled_source(inner_labels).label_margin if learns else 0.0)
    picking = ["pick", str(star), "--diameter", "80", "--gpu", "cpu", "--weights", str(tmp_path / "run")]
    assert run_plain_command(group, [*picking, "--out", str(tmp_path / "picks")]) == 0
    saved = json.loads((tmp_path / "picks/picking_options.json").read_text())
    assert saved["options"]["border"] == pytest.approx(80 * margin)


def test_labels_of_other_micrographs(project: Path, tmp_path: Path) -> None:
    write_truth(tmp_path / "a.star", np.array([[10.0, 50.0]], dtype=np.float32))
    write_coordinate_index(tmp_path / "truth.star", ["Micrographs/other.mrc"], ["a.star"])
    data = TrainingData(
        micrographs_star=project / "micrographs.star", coordinates=tmp_path / "truth.star", particle_diameter=150
    )
    with pytest.raises(InputError, match=r"None of the 3 micrographs is listed in .*truth\.star: names must be equal"):
        read_labelled_source(data)


def test_labels_of_a_part_of_the_micrographs_are_told(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = TrainingData(
        micrographs_star=project / "micrographs.star",
        coordinates=index_truth(project, tmp_path / "truth.star", 1, 3),
        particle_diameter=150,
    )
    set_up_logging()
    assert len(read_labelled_source(data).micrographs) == 2
    told = capsys.readouterr().err
    assert told == f"WARNING: 1 of 3 micrographs are not listed in {tmp_path}/truth.star and are left out.\n"


def test_diameter_in_another_unit_is_told(project: Path, capsys: pytest.CaptureFixture[str]) -> None:
    set_up_logging()
    for diameter in (150.0, 15.0):
        read_labelled_source(
            TrainingData(
                micrographs_star=project / "micrographs.star",
                coordinates=project / "truth.star",
                particle_diameter=diameter,
            )
        )
    told = capsys.readouterr().err
    assert told.count("WARNING") == 1
    assert "A particle of 15 Å has only" in told
    assert "are the diameter, in Å, and the pixel size right?" in told


def test_nothing_left_to_train_on(project: Path) -> None:
    data = TrainingData(
        micrographs_star=project / "micrographs.star", coordinates=project / "truth.star", particle_diameter=150
    )
    with pytest.raises(InputError, match="has 3 labelled micrographs, of which 3 shall be held out"):
        split_source(read_labelled_source(data), 3)


@pytest.mark.parametrize("diameter", [0.0, -5.0, float("nan"), float("inf")])
def test_impossible_diameter(diameter: float) -> None:
    with pytest.raises(InputError, match=r"a\.star: The particle diameter is .* Å: expected 10 to 10000 Å"):
        TrainingData(micrographs_star=Path("a.star"), coordinates=Path("b.star"), particle_diameter=diameter)


def test_labels_of_one_unnamed_micrograph_for_several(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert train(project, tmp_path / "run", truth=project / "Truth/mic0001_truth.star") == 1
    assert "mic0001_truth.star are those of one micrograph without its name, but there are 3" in capsys.readouterr().err


def index_truth(project: Path, path: Path, *numbers: int, empty: tuple[int, ...] = ()) -> Path:
    """Write labels of some micrographs of the project, some of them without any particle."""
    nothing = path.parent / "nothing.star"
    write_truth(nothing, np.zeros((0, 2), dtype=np.float32))
    files = [nothing if number in empty else project / f"Truth/mic000{number}_truth.star" for number in numbers]
    write_coordinate_index(path, [f"Micrographs/mic000{number}.mrc" for number in numbers], list(map(str, files)))
    return path


@pytest.mark.parametrize("copy", [lambda source, target: target.symlink_to(source), shutil.copytree])
def test_an_image_that_one_set_trains_on_and_another_holds_out(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], copy: Callable[[Path, Path], object]
) -> None:
    """Two species on one list, labelled on different micrographs; the images of the other list are links, or copies."""
    shutil.copyfile(project / "micrographs.star", tmp_path / "micrographs.star")
    copy(project / "Micrographs", tmp_path / "Micrographs")
    other = index_truth(project, tmp_path / "other.star", 1, 2)
    more = ["--data", str(tmp_path / "micrographs.star"), str(other), "150", "--hold_out", "1"]
    assert train(project, tmp_path / "run", *more) == 1
    assert re.search(r"1 images are trained on in .* and held out in .*mic0002.mrc", capsys.readouterr().err)
    assert not (tmp_path / "run/crops.h5").exists()


def test_micrographs_without_particles_that_were_looked_at_first(project: Path, tmp_path: Path) -> None:
    """Few crops are cut from few of the micrographs; where those are empty, the others have particles all the same."""
    for number in (1, 2):
        truth = index_truth(project, tmp_path / "truth.star", 1, 2, 3, empty=(number,))
        run = tmp_path / f"run{number}"
        assert train(project, run, "--crops_per_source", "1", "--batch_size", "1", truth=truth) == 0
        header = read_header(run / "best.safetensors")
        assert header.trained_with["data"][0]["labels"] == len(read_labels_of(project, 3 - number))


def read_labels_of(project: Path, number: int) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    (yx,) = read_labels(
        TrainingData(
            micrographs_star=project / "micrographs.star",
            coordinates=index_truth(project, project / f"only{number}.star", number),
            particle_diameter=150,
        )
    ).yx
    return yx


def test_a_pixel_size_that_was_mended_since_the_crops_were_cut(
    project: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "project"
    shutil.copytree(project, copy)
    assert train(copy, tmp_path / "run") == 0
    star = copy / "micrographs.star"
    star.write_text(re.sub(r"\b6\.0+\b", "4.500000", star.read_text()))
    assert train(copy, tmp_path / "run") == 1
    assert "crops.h5 was made from other data" in capsys.readouterr().err
