"""The decisions of self-training: what becomes a label, and which student is kept."""

from __future__ import annotations

import math

import numpy as np
import pytest

from relion_attn_picker.errors import InputError
from relion_attn_picker.training.self_training import (
    THRESHOLD_SCALES,
    Thresholds,
    calibrated_to_score,
    choose_thresholds,
    judge_student,
    split_candidates,
)
from relion_attn_picker.training.validation import ValidationScores, list_figures
from relion_attn_picker.training_options import START_NAMES, THRESHOLD_SCALE_NAMES, SelfTrainingOptions

TEACHER = {"average_precision": 0.9, "best_f1": 0.85, "f1": 0.8, "threshold": 0.3}


def test_candidates_are_split_at_both_thresholds() -> None:
    score = np.array([0.95, 0.9, 0.89999, 0.5, 0.1, 0.09999, 0.0])
    yx = np.arange(14, dtype=np.float32).reshape(7, 2)
    labels = split_candidates(yx, score, Thresholds(0.9, 0.1), np.zeros(7, np.bool_))
    np.testing.assert_array_equal(labels.score, [0.95, 0.9])  # a threshold belongs to what is above it
    np.testing.assert_array_equal(labels.ignored_score, [0.89999, 0.5, 0.1])
    np.testing.assert_array_equal(labels.yx, yx[:2])
    np.testing.assert_array_equal(labels.ignored_yx, yx[2:5])


def test_doubtful_candidates_never_become_particles() -> None:
    yx = np.arange(6, dtype=np.float32).reshape(3, 2)
    labels = split_candidates(yx, np.array([0.95, 0.9, 0.05]), Thresholds(0.8, 0.1), np.array([True, False, True]))
    np.testing.assert_array_equal(labels.yx, yx[1:2])
    np.testing.assert_array_equal(labels.ignored_yx, yx[:1])


def test_equal_thresholds_leave_no_band() -> None:
    labels = split_candidates(
        np.zeros((3, 2), np.float32), np.array([0.6, 0.5, 0.4]), Thresholds(0.5, 0.5), np.zeros(3, np.bool_)
    )
    assert (len(labels.yx), len(labels.ignored_yx)) == (2, 0)


def test_no_candidates() -> None:
    nothing = np.zeros(0, np.float32)
    labels = split_candidates(np.zeros((0, 2), np.float32), nothing, Thresholds(0.9, 0.1), nothing.astype(np.bool_))
    assert labels.yx.shape == labels.ignored_yx.shape == (0, 2)
    assert labels.score.shape == labels.ignored_score.shape == (0,)


@pytest.mark.parametrize("threshold", [0.05, 0.36, 0.5, 0.9])
def test_calibrated_scale_shifts_the_logit_by_the_threshold(threshold: float) -> None:
    assert calibrated_to_score(0.5, threshold) == pytest.approx(threshold)
    for value in (0.01, 0.2, 0.75, 0.99):
        logit = math.log(value / (1 - value)) + math.log(threshold / (1 - threshold))
        assert calibrated_to_score(value, threshold) == pytest.approx(1 / (1 + math.exp(-logit)))


def test_thresholds_may_be_scores() -> None:
    options = SelfTrainingOptions(positive=0.9, negative=0.1, scale="score")
    assert choose_thresholds(options, 0.3) == Thresholds(0.9, 0.1)
    calibrated = choose_thresholds(SelfTrainingOptions(positive=0.9, negative=0.1), 0.5)
    assert (calibrated.positive, calibrated.negative) == pytest.approx((0.9, 0.1))  # at 0.5 both scales are one


@pytest.mark.parametrize(
    ("average_precision", "f1", "tolerance", "kept"),
    [
        (0.9, 0.8, 0.0, True),
        (0.95, 0.85, 0.0, True),
        (0.95, 0.7999, 0.0, False),
        (0.8999, 0.85, 0.0, False),
        (0.895, 0.795, 0.01, True),
        (0.88, 0.9, 0.01, False),
        (math.nan, 0.9, 0.01, False),
    ],
)
def test_student_is_kept_only_if_not_worse(average_precision: float, f1: float, tolerance: float, kept: bool) -> None:
    student = {**TEACHER, "average_precision": average_precision, "f1": f1}
    assert judge_student(student, TEACHER, tolerance).kept is kept


def test_verdict_tells_which_figure_fell() -> None:
    verdict = judge_student({**TEACHER, "f1": 0.75}, TEACHER, 0.01)
    assert verdict.reason == "worse than its teacher: F1 at the threshold 0.8000 → 0.7500"


def test_figures_of_each_set_stand_beside_the_means() -> None:
    figures = list_figures(ValidationScores(0.9, 0.8, 0.3, 0.7, {"a": (0.91, 0.81, 0.71)}))
    assert figures == {
        "average_precision": 0.9, "best_f1": 0.8, "threshold": 0.3, "f1": 0.7,
        "a: average_precision": 0.91, "a: best_f1": 0.81, "a: f1": 0.71,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("options", "sentence"),
    [
        ({"positive": 0.2, "negative": 0.3}, "The negative threshold, 0.3, is above the positive one, 0.2"),
        ({"positive": 1.0}, "The positive threshold is 1: expected a number between 0 and 1"),
        ({"negative": 0.0}, "The negative threshold is 0: expected a number between 0 and 1"),
        ({"rounds": 0}, "The number of rounds is 0: expected 1 or more"),
        ({"scale": "percent"}, "scale is 'percent': expected one of calibrated, score"),
        ({"start": "nothing"}, "start is 'nothing': expected one of fresh, teacher"),
        ({"tolerance": -0.1}, "The tolerance is -0.1"),
        ({"pictures": -1}, "The number of pictures is -1"),
    ],
)
def test_options_that_cannot_be_meant(options: dict[str, float], sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        SelfTrainingOptions(**options)


def test_every_scale_that_an_option_may_name_is_there() -> None:
    assert tuple(sorted(THRESHOLD_SCALES)) == THRESHOLD_SCALE_NAMES
    assert all(SelfTrainingOptions(start=name).start == name for name in START_NAMES)
