"""What is chosen for a hybrid is chosen together: setting and threshold."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from scipy.special import expit

from relion_attn_picker.evaluation.comparison import SeedRun, draw_weights, sample_figures
from relion_attn_picker.evaluation.label_margin import edge_distance
from relion_attn_picker.evaluation.metrics import MicrographMatches
from relion_attn_picker.evaluation.pixel_histograms import count_pixels
from relion_attn_picker.io.candidates import CandidateRecord
from relion_attn_picker.jobs.comparison import analysis
from relion_attn_picker.jobs.comparison.picking import PickedSet
from relion_attn_picker.jobs.comparison.request import LabelledTestSet
from relion_attn_picker.micrograph import Micrograph, OpticsGroup

SHIFT = 2.0
"""Logits."""


def make_matches(logits: NDArray[np.float64], right: NDArray[np.bool_]) -> MicrographMatches:
    return MicrographMatches(expit(logits), right, np.where(right, 0.0, np.nan), int(right.sum()))


def test_folds_with_shifted_scores_are_as_good_as_folds_with_the_same(rng: np.random.Generator) -> None:
    """Two settings that find the same, whose scores differ by 2 logits everywhere: which is chosen must not matter."""
    right = np.arange(60) < 30
    logits = [rng.normal(0, 1, 60) + 2 * right for _ in range(12)]
    shifts = {"plain": 0.0, "shifted": SHIFT}
    matches = {name: [make_matches(each + shift, right) for each in logits] for name, shift in shifts.items()}
    pixels = {
        name: [count_pixels((each + shift)[None], right[None]) for each in logits] for name, shift in shifts.items()
    }
    picked = PickedSet({}, pixels, {})
    mixed = ["shifted" if place % 5 in (1, 3) else "plain" for place in range(12)]
    runs = {
        name: analysis._make_run(chosen, matches, picked, 0.5)
        for name, chosen in {"mixed": mixed, "plain": ["plain"] * 12}.items()
    }
    weights = draw_weights(12, np.random.default_rng(1), 20)
    figures, expected = (sample_figures([runs[name]], weights) for name in ("mixed", "plain"))
    for name in expected:
        tolerance = 0.01 if name.startswith("pixel") else 1e-9  # shifts of pixels are rounded to a bin
        assert figures[name].per_seed == pytest.approx(expected[name].per_seed, abs=tolerance), name


def test_one_setting_leaves_scores_as_they_are(rng: np.random.Generator) -> None:
    right = np.arange(60) < 30
    matches = {"plain": [make_matches(rng.normal(0, 1, 60) + 2 * right, right) for _ in range(7)]}
    pixels = {"plain": [count_pixels(rng.normal(0, 1, (1, 60)), right[None]) for _ in range(7)]}
    run = analysis._make_run(["plain"] * 7, matches, PickedSet({}, pixels, {}), 0.5)
    assert run.matches == matches["plain"]
    assert [each.positives.tolist() for each in run.pixels] == [each.positives.tolist() for each in pixels["plain"]]


def test_certain_scores_stay_in_order() -> None:
    """A score of 1 or 0 has no logit."""
    right = np.array([True, True, False])
    sure = [replace(make_matches(np.zeros(3), right), score=np.array([1.0, 0.9, 0.0])) for _ in range(2)]
    pixels = [count_pixels(np.zeros((1, 3)), right[None])] * 2
    picked = PickedSet({}, {"a": pixels, "b": pixels}, {})
    run = analysis._make_run(["a", "b"], {"a": sure, "b": sure}, picked, 0.5)
    assert [(each.score >= cut).tolist() for each, cut in zip(run.matches, run.thresholds, strict=True)] == [
        [True, True, False]
    ] * 2


def test_chance_is_that_of_points_matched_one_to_one() -> None:
    """Four points, two particles that cover a half: each is hit with 1 - (3/4)^4."""
    matches = [make_matches(np.zeros(4), np.arange(4) < 2)]
    covered = np.array([0.5])
    assert analysis._chance_precision([SeedRun(matches, [0.5])], covered) == pytest.approx(2 * (1 - 0.75**4) / 4)
    assert np.isnan(analysis._chance_precision([SeedRun(matches, [0.9])], covered))


@pytest.mark.parametrize("reach", [0.0, 60.0])
def test_picks_where_labels_stop_short_of_the_edges_are_not_wrong(reach: float) -> None:
    """Particles everywhere, labelled only from ``reach`` pixels on: what is found beyond counts neither way."""
    shape, diameter = (600, 800), 60.0
    every = np.stack(np.meshgrid(np.arange(2.0, 600, 45), np.arange(2.0, 800, 45), indexing="ij"), -1).reshape(-1, 2)
    labelled = every[edge_distance(every, shape) >= reach]
    wrong = np.array([[300.0, 421.0]])
    found = np.concatenate([every, wrong]).astype(np.float32)
    record = CandidateRecord("a.mrc", "", "", shape, 0, np.nan, found, np.linspace(0.9, 0.1, len(found)))
    optics = OpticsGroup(index=1, name="one", pixel_size=2.0)
    test_set = LabelledTestSet(
        "a", 2 * diameter, [Micrograph("a.mrc", optics, None)], [labelled], [np.zeros((0, 2))], Path(), {}, ""
    )
    margin = analysis._find_margin(test_set, [record])
    assert (margin >= 1) == (reach > 0)
    (matches,) = analysis._match(test_set, [record], margin)
    assert matches.is_true_positive.sum() == matches.n_true == len(labelled)
    assert (~matches.is_true_positive).sum() == 1
