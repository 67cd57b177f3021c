"""What a job saved of its options is read back as it was; a damaged file is told in one sentence."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from relion_attn_picker.errors import InputError
from relion_attn_picker.evaluation.likeness import Likeness
from relion_attn_picker.evaluation.score_curve import ScoreCurve
from relion_attn_picker.inference.operating_point import Expectation, OperatingPoint
from relion_attn_picker.jobs.saved_options import OPTIONS_FILE, SavedOptions, read_saved_options, write_saved_options
from relion_attn_picker.options import PickOptions

LIKENESS = Likeness(0.6, (-2.0, -1.0, 0.1), (0.3, 0.2, 0.1), ((1.0, 0.0, 0.0), (0.0, 2.0, 0.0), (0.0, 0.0, 1.5)), 1.5)
SAVED = SavedOptions(
    command="attnpick pick",
    micrographs="micrographs.star",
    weights="some/attention.safetensors",
    picker="the released attention network",
    weights_sha256="0123",
    precision="auto",
    options=PickOptions(particle_diameter=150, border=0.0, max_picks=7),
    point=OperatingPoint(0.5, "made up", ScoreCurve((0.1, 0.4, 0.9), (0.02, 0.5, 0.97)), Expectation(0.9, 0.8)),
    own_threshold=0.4,
    sure_scores=(0.7, 0.8),
)


@pytest.mark.parametrize(
    "saved",
    [
        SAVED,
        replace(SAVED, sure_scores=None, point=OperatingPoint(0.3, "by hand")),
        replace(SAVED, lowest_score=0.1, selected_from="External/job003", diameter_estimate={"diameter": 150.0}),
        replace(SAVED, pixel_size=1.25),
        replace(SAVED, point=replace(SAVED.point, likeness=LIKENESS)),
    ],
)
def test_read_back_as_written(saved: SavedOptions, tmp_path: Path) -> None:
    write_saved_options(tmp_path, saved)
    assert read_saved_options(tmp_path) == saved


def test_file_of_an_earlier_version(tmp_path: Path) -> None:
    write_saved_options(tmp_path, SAVED)
    record = json.loads((tmp_path / OPTIONS_FILE).read_text())
    for name in ("own_threshold", "picker", "sure_scores", "score_curve", "expected", "likeness"):
        del record[name]
    del record["options"]["reject_junk"]
    (tmp_path / OPTIONS_FILE).write_text(json.dumps(record))
    saved = read_saved_options(tmp_path)
    assert (saved.own_threshold, saved.picker, saved.sure_scores) == (0.5, "attention.safetensors", None)
    assert saved.point == OperatingPoint(0.5, "made up")
    assert not saved.options.reject_junk


@pytest.mark.parametrize(
    "change",
    [
        {"micrographs": 5},
        {"options": None},
        {"options": {"particle_diameter": -1}},
        {"options": {"particle_diameter": 100, "unheard_of": 1}},
        {"threshold": None},
        {"score_curve": {"score": [1]}},
        {"expected": [1, 2]},
        {"own_threshold": []},
        {"sure_scores": [1]},
        {"likeness": {"middle": [1]}},
    ],
)
def test_damaged_value(change: dict[str, object], tmp_path: Path) -> None:
    write_saved_options(tmp_path, SAVED)
    record = json.loads((tmp_path / OPTIONS_FILE).read_text())
    (tmp_path / OPTIONS_FILE).write_text(json.dumps(record | change))
    with pytest.raises(InputError, match=r"picking_options\.json is not what a picking job of attnpick writes \("):
        read_saved_options(tmp_path)


@pytest.mark.parametrize("content", [b"", b'{"version": "1', b"[]", b"{}", b"\xff\xfe"])
def test_damaged_file(content: bytes, tmp_path: Path) -> None:
    (tmp_path / OPTIONS_FILE).write_bytes(content)
    with pytest.raises(InputError, match=r"picking_options\.json is not what a picking job of attnpick writes \("):
        read_saved_options(tmp_path)


def test_absent_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"There is no .*picking_options\.json"):
        read_saved_options(tmp_path)
