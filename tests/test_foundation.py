"""The small types that everything else passes round."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest

from relion_attn_picker.errors import CheckpointError, DeviceError, InputError, JobAborted, PickerError
from relion_attn_picker.micrograph import Micrograph, OpticsGroup
from relion_attn_picker.model_spec import Calibration, CheckpointHeader, ModelSpec, Normalization
from relion_attn_picker.options import InferenceOptions, PickOptions
from relion_attn_picker.picks import Peaks, Picks, ProbabilityMap, peaks_to_picks
from relion_attn_picker.training_options import CropOptions, TrainOptions

MICROGRAPH = Micrograph("a.mrc", OpticsGroup(1, "opticsGroup1", 1.5))


def test_only_what_the_user_can_mend_is_a_picker_error() -> None:
    assert all(issubclass(kind, PickerError) for kind in (InputError, CheckpointError, DeviceError))
    assert not issubclass(JobAborted, PickerError)


@pytest.mark.parametrize("pixel_size", [0.0, -1.0, math.nan, math.inf])
def test_impossible_pixel_size(pixel_size: float) -> None:
    with pytest.raises(InputError, match=r"Optics group 3 \(fine\) has pixel size .*: expected a positive number of Å"):
        OpticsGroup(3, "fine", pixel_size)


def test_change_of_frame_is_one_factor() -> None:
    peaks = Peaks(np.array([[10.0, 20.5], [0.0, 0.0]], np.float32), np.array([0.9, 0.8], np.float32), 6.0)
    picks = peaks_to_picks(peaks, MICROGRAPH)
    np.testing.assert_array_equal(picks.yx, [[40, 82], [0, 0]])
    np.testing.assert_array_equal(picks.score, peaks.score)
    assert picks.micrograph is MICROGRAPH
    assert len(picks) == 2


@pytest.mark.parametrize(
    ("yx", "score", "sentence"),
    [
        (np.zeros((3, 3), np.float32), np.zeros(3, np.float32), r"Picks.yx has shape \(3, 3\): expected \(n, 2\)"),
        (np.zeros((3, 2), np.float32), np.zeros(2, np.float32), r"Picks.score has shape \(2,\): expected \(3,\)"),
    ],
)
def test_shapes_are_checked(yx: np.ndarray, score: np.ndarray, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Picks(MICROGRAPH, yx, score)


def test_probability_map_is_two_dimensional() -> None:
    with pytest.raises(ValueError, match=r"expected \(h, w\)"):
        ProbabilityMap(np.zeros((1, 4, 4), np.float32), 5.0)


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"particle_diameter": 3.0}, "The particle diameter is 3 Å: expected 10 to 10000 Å"),
        ({"particle_diameter": math.nan}, "The particle diameter is nan Å"),
        ({"threshold": 0.0}, "The threshold is 0.0: expected a number above 0 and below 1"),
        ({"threshold": 1.5}, "The threshold is 1.5"),
        ({"min_distance": -1.0}, "The minimum distance is -1.0 Å"),
        ({"border": math.inf}, "The border is inf Å"),
        ({"max_picks": 0}, "The maximum number of picks is 0"),
    ],
)
def test_impossible_pick_options(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        PickOptions(**({"particle_diameter": 100.0} | options))


def test_default_minimum_distance_follows_the_diameter() -> None:
    near, far = (PickOptions(particle_diameter=d).min_distance_or_default for d in (100.0, 200.0))
    assert far == 2 * near
    assert PickOptions(particle_diameter=100.0, min_distance=0.0).min_distance_or_default == 0


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"precision": "float64"}, "The precision is 'float64': expected auto, float32 or bfloat16"),
        ({"tile_size": 10}, "The tile size is 10 pixels"),
        ({"threads": 0}, "The number of threads is 0"),
    ],
)
def test_impossible_inference_options(options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        InferenceOptions(**options)


@pytest.mark.parametrize(
    ("kind", "options", "sentence"),
    [
        (TrainOptions, {"steps": 0}, "steps is 0: expected 1 or more"),
        (TrainOptions, {"learning_rate": 2.0}, "learning_rate is 2.0"),
        (TrainOptions, {"input_size": 8}, "input_size is 8 pixels"),
        (TrainOptions, {"base_features": 7}, "base_features is 7: expected an even number from 8 to 64"),
        (TrainOptions, {"seed": -1}, "The seed is -1: expected 0 or more"),
        (CropOptions, {"seed": -1}, "The seed is -1: expected 0 or more"),
        (TrainOptions, {"target": "ring"}, "target is 'ring': expected one of disc, gaussian, wide_gaussian"),
        (TrainOptions, {"loss": "dice"}, "loss is 'dice': expected one of cross_entropy, focal"),
        (CropOptions, {"crops_per_source": 0}, "There are 0 crops per source"),
        (CropOptions, {"scale_jitter": 0.7}, "The scale jitter is 0.7"),
        (CropOptions, {"particle_diameter_px": 4.0}, "The particle diameter is 4 network pixels"),
    ],
)
def test_impossible_training_options(kind: Any, options: dict[str, Any], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        kind(**options)


def test_header_round_trip() -> None:
    header = CheckpointHeader(
        ModelSpec("attention", 16), 24.0, Normalization(2.0), Calibration(0.3, "a test"), {"seed": 1}
    )
    assert CheckpointHeader.from_dict(header.to_dict()) == header
    assert header.to_dict()["format_version"] == 1
