"""The picture read back: size, orientation, colours where they belong."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.image import imread

from relion_attn_picker.evaluation.matching import match_picks
from relion_attn_picker.report.picks_image import DOTS_PER_INCH, LEGEND_INCHES, STYLES, draw_picks, draw_points

LEGEND_PX = round(LEGEND_INCHES * DOTS_PER_INCH)
GREEN, RED, YELLOW, BLUE = (STYLES[kind][0] for kind in ("matched", "false positive", "missed", "ignored"))
IMAGE = np.zeros((600, 700), dtype=np.float32)


def find_color(path, color):
    """Return the (y, x) of all pixels of a colour, in pixels below the legend."""
    rgb = imread(path)[LEGEND_PX:, :, :3]
    wanted = np.array([int(color[i : i + 2], 16) for i in (1, 3, 5)]) / 255
    return np.argwhere(np.abs(rgb - wanted).max(axis=-1) < 0.05)


def find_centre(path, color):
    found = find_color(path, color)
    return (found.min(axis=0) + found.max(axis=0)) / 2


def test_one_pixel_of_the_picture_is_one_pixel_of_the_micrograph(tmp_path):
    draw_picks(IMAGE, np.array([[150.0, 420.0]]), tmp_path / "picks.png", 80.0)
    assert imread(tmp_path / "picks.png").shape[:2] == (600 + LEGEND_PX, 700)
    np.testing.assert_allclose(find_centre(tmp_path / "picks.png", GREEN), (150, 420), atol=1.5)
    assert np.ptp(find_color(tmp_path / "picks.png", GREEN), axis=0) == pytest.approx((80, 80), abs=3)


def test_row_zero_is_at_the_top(tmp_path):
    image = IMAGE.copy()
    image[:100] = 1.0
    draw_picks(image, np.empty((0, 2)), tmp_path / "picks.png", 20.0)
    picture = imread(tmp_path / "picks.png")[LEGEND_PX:, :, 0]
    assert picture[20:80].min() > 0.9
    assert picture[150:].max() < 0.1


def test_matched_false_and_missed_have_their_colours(tmp_path):
    picks, truth = np.array([[100.0, 100.0], [300.0, 500.0]]), np.array([[104.0, 100.0], [450.0, 200.0]])
    draw_picks(IMAGE, picks, tmp_path / "picks.png", 60.0, truth)
    np.testing.assert_allclose(find_centre(tmp_path / "picks.png", GREEN), picks[0], atol=1.5)
    np.testing.assert_allclose(find_centre(tmp_path / "picks.png", RED), picks[1], atol=1.5)
    np.testing.assert_allclose(find_centre(tmp_path / "picks.png", YELLOW), truth[1], atol=3)


def test_wrong_pick_beside_an_ignored_centre(tmp_path):
    picks = np.array([[100.0, 100.0], [400.0, 300.0], [200.0, 500.0]])
    truth, ignored = picks[:1], picks[1:2] + 5
    draw_picks(IMAGE, picks, tmp_path / "picks.png", 60.0, true_yx=truth, ignored_yx=ignored)
    np.testing.assert_allclose(find_centre(tmp_path / "picks.png", BLUE), picks[1], atol=3)
    np.testing.assert_allclose(find_centre(tmp_path / "picks.png", RED), picks[2], atol=1.5)


def test_a_match_that_is_given_is_the_one_drawn(tmp_path):
    picks, truth = np.array([[100.0, 100.0]]), np.array([[104.0, 100.0]])
    nothing = match_picks(picks, np.ones(1), truth, radius=1.0)
    draw_picks(IMAGE, picks, tmp_path / "picks.png", 60.0, truth, matched=nothing)
    assert len(find_color(tmp_path / "picks.png", RED)) > 0
    assert len(find_color(tmp_path / "picks.png", GREEN)) == 0


@pytest.mark.parametrize("truth", [None, np.empty((0, 2))])
def test_no_picks_and_no_truth(tmp_path, truth):
    draw_picks(IMAGE, np.empty((0, 2)), tmp_path / "picks.png", 60.0, truth)
    assert len(find_color(tmp_path / "picks.png", GREEN)) == 0


def test_large_image_is_reduced_and_picks_stay_in_place(tmp_path):
    image = np.random.default_rng(0).normal(size=(2001, 1803)).astype(np.float32)
    draw_picks(image, np.array([[1500.0, 300.0]]), tmp_path / "picks.png", 200.0, max_side=700)
    picture = imread(tmp_path / "picks.png")
    assert picture.shape[0] - LEGEND_PX <= 700
    np.testing.assert_allclose(find_centre(tmp_path / "picks.png", GREEN), (500, 100), atol=1.5)


def test_pixels_that_are_not_finite(tmp_path):
    image = np.random.default_rng(0).normal(size=(600, 700))
    image[10, 10], image[20, 20] = np.nan, np.inf
    draw_picks(image, np.array([[300.0, 300.0]]), tmp_path / "picks.png", 60.0)
    assert imread(tmp_path / "picks.png")[LEGEND_PX:, :, 0].std() > 0.1


def test_nothing_finite(tmp_path):
    draw_picks(np.full((600, 700), np.nan), np.array([[300.0, 300.0]]), tmp_path / "picks.png", 60.0)
    assert len(find_color(tmp_path / "picks.png", GREEN)) > 0


def test_pseudo_labels_and_ignored_points_have_their_colours(tmp_path):
    points = {"ignored": np.array([[450.0, 200.0]]), "pseudo-label": np.array([[100.0, 100.0]])}
    draw_points(IMAGE, points, tmp_path / "labels.png", 60.0)
    np.testing.assert_allclose(find_centre(tmp_path / "labels.png", GREEN), (100, 100), atol=1.5)
    np.testing.assert_allclose(find_centre(tmp_path / "labels.png", BLUE), (450, 200), atol=3)
