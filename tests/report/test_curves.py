"""The picture of a training."""

from __future__ import annotations

import math

import numpy as np
import pytest
from matplotlib.image import imread

from relion_attn_picker.report.curves import draw_training_curves, plot_training_curves


def test_curves_are_drawn(tmp_path):
    columns = {"step": [0, 10, 20], "training_loss": [1.0, 0.5, 0.4], "f1": [math.nan, 0.5, 0.6]}
    draw_training_curves(tmp_path / "curves.png", columns)
    draw_training_curves(tmp_path / "other.png", {**columns, "f1": [math.nan, 0.6, 0.5]})
    picture, other = imread(tmp_path / "curves.png"), imread(tmp_path / "other.png")
    half = picture.shape[0] // 2
    np.testing.assert_array_equal(picture[: half - 50], other[: half - 50])  # losses above, the same
    assert (picture[half + 50 :] != other[half + 50 :]).any()


def test_the_only_set_is_not_drawn_over_the_mean():
    figures = {"f1": [0.6, 0.7], "mine: f1": [0.6, 0.7], "other: f1": [0.5, 0.6]}
    upper, lower = plot_training_curves({"step": [0, 1], "loss": [math.nan, 1.0], **figures}).axes
    assert [line.get_label() for line in upper.lines] == ["loss"]
    assert [line.get_label() for line in lower.lines] == ["F1", "other: F1"]
    assert len({line.get_color() for line in lower.lines}) == 1
    assert lower.get_ylim() == (0.5, 1.0)


def test_no_steps_yet(tmp_path):
    draw_training_curves(tmp_path / "curves.png", {"step": [], "training_loss": []})
    assert (tmp_path / "curves.png").stat().st_size > 0


def test_missing_step_is_refused(tmp_path):
    with pytest.raises(ValueError, match="The columns are loss: expected step among them"):
        draw_training_curves(tmp_path / "curves.png", {"loss": [1.0]})


def test_column_of_another_length_is_refused(tmp_path):
    with pytest.raises(ValueError, match="Column loss has 1 values: expected 2, one a step"):
        draw_training_curves(tmp_path / "curves.png", {"step": [0, 1], "loss": [1.0]})
