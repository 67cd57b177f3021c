"""What is compared on: names of sets, their labels, and warnings of what a network has seen."""

from __future__ import annotations

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from relion_attn_picker.errors import InputError
from relion_attn_picker.io.checkpoint import read_checkpoint, write_checkpoint
from relion_attn_picker.io.mrc import write_image
from relion_attn_picker.jobs.comparison.request import (
    SNR,
    NetworkPair,
    leave_out,
    open_test_sets,
    warn_of_training_sets,
)
from relion_attn_picker.jobs.training.labelled_data import TrainingData, read_labelled_source
from relion_attn_picker.micrograph import Micrograph, OpticsGroup
from relion_attn_picker.models.builders import build_model
from relion_attn_picker.relion.job_files import write_coordinate_index, write_truth
from relion_attn_picker.relion.micrographs import write_micrographs
from relion_attn_picker.relion.star import write_table
from relion_attn_picker.training.crops import describe_source

OPTICS = OpticsGroup(1, "opticsGroup1", 2.0)


def make_set(folder: Path, x: float = 50.0) -> TrainingData:
    """Two micrographs, of whose images nobody looks at more than the shape, with one label each."""
    folder.mkdir(parents=True)
    names = [f"{folder}/a.mrc", f"{folder}/b.mrc"]
    write_micrographs(folder / "micrographs.star", [Micrograph(name, OPTICS) for name in names])
    for name in names:
        write_image(Path(name), np.zeros((100, 120), dtype=np.float32), 2.0)
    write_truth(folder / "one.star", np.array([[40.0, x]], dtype=np.float32))
    write_coordinate_index(folder / "truth.star", names, [f"{folder}/one.star"] * 2)
    return TrainingData(
        micrographs_star=folder / "micrographs.star", coordinates=folder / "truth.star", particle_diameter=100
    )


def test_sets_of_jobs_of_one_number_have_names_of_their_own(tmp_path: Path) -> None:
    sets = open_test_sets([make_set(tmp_path / name) for name in ("A/job003_2", "B/job003", "C/job003")])
    assert [each.name for each in sets] == ["job003_2", "B/job003", "C/job003"]


def test_what_is_ignored_lies_where_a_training_has_it(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Refined centres are in Å: at 2 Å per pixel, as the list of micrographs says, 8 Å are 4 pixels."""
    data = replace(make_set(tmp_path / "set"), hold_out=1)
    row: dict[str, list[object]] = {"rlnMicrographName": [f"{tmp_path}/set/b.mrc"], "rlnCoordinateX": [70.0]}
    row |= {"rlnCoordinateY": [60.0], "rlnOriginXAngst": [8.0], "rlnOriginYAngst": [0.0]}
    write_table(tmp_path / "set/ignored.star", "particles", row)
    (opened,) = open_test_sets([data])
    assert [yx.tolist() for yx in opened.ignored_yx] == [[[60, 66]]]
    assert caplog.text == ""


@pytest.mark.parametrize(
    ("trained_on", "told"),
    [
        ("A/job003", "was trained on job003: figures on what a network has seen flatter it"),
        ("A/job004", "was trained on job003: figures on what a network has seen flatter it"),
        ("B/job003", "was trained on a set named job003: if it shows the same micrographs, the figures flatter it"),
        ("B/job004", ""),
    ],
)
def test_sets_that_a_network_has_seen(
    tmp_path: Path, tiny_checkpoint: Path, caplog: pytest.LogCaptureFixture, trained_on: str, told: str
) -> None:
    """The labels tell which set it was: jobs of one number are in every project, and a list may be copied."""
    tested = make_set(tmp_path / "A/job003")
    other = make_set(tmp_path / "B/job003", x=90.0)
    source = describe_source(read_labelled_source(tested if trained_on.startswith("A") else other))
    checkpoint = read_checkpoint(tiny_checkpoint)
    header = replace(checkpoint.header, trained_with={"data": [source | {"name": trained_on.split("/")[1]}]})
    write_checkpoint(tmp_path / "seen.safetensors", build_model(header.spec), header)
    pair = NetworkPair(tmp_path / "seen.safetensors", tiny_checkpoint)
    with caplog.at_level(logging.WARNING):
        warn_of_training_sets([pair], open_test_sets([tested]))
    assert (told in caplog.text) if told else (caplog.text == "")


def test_images_that_are_trained_on_are_not_compared_on(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever list they are in, and whichever of them are labelled there."""
    (opened,) = open_test_sets([make_set(tmp_path / "set")])
    (tmp_path / "link").symlink_to(tmp_path / "set")
    with caplog.at_level(logging.INFO):
        left = leave_out(opened, {(tmp_path / "link/a.mrc").resolve()})
    assert [each.name for each in left.micrographs] == [f"{tmp_path}/set/b.mrc"]
    assert (len(left.yx), len(left.ignored_yx)) == (1, 1)
    assert {len(values) for values in left.conditions.values()} == {1}
    assert "set is trained on: its 1 micrographs that are held out are compared on" in caplog.text
    with pytest.raises(InputError, match="set is trained on as a whole: give --hold_out 1 or more"):
        leave_out(opened, {tmp_path / "set/a.mrc", tmp_path / "set/b.mrc"})
    assert leave_out(opened, {tmp_path / "other.mrc"}) is opened


@pytest.mark.parametrize("line", ['{"foo": 1}', '{"micrograph": "a', "[1]", '{"micrograph": "a", "conditions": null}'])
def test_conditions_that_tell_nothing(tmp_path: Path, line: str) -> None:
    """Torn by a kill, or of another program."""
    data = make_set(tmp_path / "set")
    known = {"micrograph": f"{tmp_path}/set/b.mrc", "conditions": {"snr": 0.5}}
    (tmp_path / "set/conditions.jsonl").write_text(f"{line}\n{json.dumps(known)}\n")
    (opened,) = open_test_sets([data])
    np.testing.assert_array_equal(opened.conditions[SNR], [np.nan, 0.5])
