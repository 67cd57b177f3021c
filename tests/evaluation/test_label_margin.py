"""How far from the edges labels stop, against points that were placed so."""

from __future__ import annotations

import numpy as np
import pytest

from relion_attn_picker.evaluation.label_margin import (
    EdgePicks,
    LabelledFrame,
    check_edges,
    edge_distance,
    find_label_margin,
)
from relion_attn_picker.evaluation.matching import FloatVector
from relion_attn_picker.evaluation.metrics import MicrographMatches

NOTHING = np.empty((0, 2))


def scatter(
    rng: np.random.Generator, count: int, shape: tuple[int, int] = (976, 1200), margin_px: float = 0.0
) -> LabelledFrame:
    """Return a frame with ``count`` points anywhere but within ``margin_px`` of its edges; a diameter is 20 pixels."""
    low, high = np.full(2, margin_px), np.array(shape) - 1 - margin_px
    return LabelledFrame(rng.uniform(low, high, (count, 2)), shape, 20.0)


def find_all(frame: LabelledFrame, wrong: FloatVector = NOTHING, score: float = 0.8) -> EdgePicks:
    """Return a right candidate, of score 0.8, on each label, and wrong ones ``(n, 2)`` of ``score``."""
    n_right, n_wrong = len(frame.yx), len(wrong)
    scores = np.repeat([0.8, score], [n_right, n_wrong])
    is_right = np.repeat([True, False], [n_right, n_wrong])
    matches = MicrographMatches(scores, is_right, np.zeros(n_right + n_wrong), n_right)
    return EdgePicks(frame, np.vstack([frame.yx, wrong]), matches)


@pytest.mark.parametrize("margin", [0.3, 0.5, 1.0])
def test_margin_is_found(rng: np.random.Generator, margin: float) -> None:
    frames = [scatter(rng, 600, margin_px=20 * margin) for _ in range(6)]
    assert find_label_margin(frames) == pytest.approx(margin, abs=0.04)


def test_labels_that_reach_the_edges(rng: np.random.Generator) -> None:
    assert find_label_margin([scatter(rng, 600) for _ in range(6)]) == 0.0


def test_a_few_labels_tell_nothing(rng: np.random.Generator) -> None:
    assert find_label_margin([scatter(rng, 100, margin_px=10)]) == 0.0


def test_strays_do_not_hide_a_margin(rng: np.random.Generator) -> None:
    frames = [scatter(rng, 600, margin_px=10) for _ in range(6)]
    stray = LabelledFrame(np.array([[1.0, 500.0], [400.0, 1198.0]]), (976, 1200), 20.0)
    assert find_label_margin([*frames, stray]) == pytest.approx(0.5, abs=0.04)


def test_labels_on_one_half_that_reach_its_edges(rng: np.random.Generator) -> None:
    """As where the other half is carbon: three edges have labels."""
    halves = [scatter(rng, 300, shape=(976, 600)) for _ in range(6)]
    assert find_label_margin([LabelledFrame(each.yx, (976, 1200), 20.0) for each in halves]) == 0.0


def test_frames_smaller_than_the_widest_margin(rng: np.random.Generator) -> None:
    assert find_label_margin([scatter(rng, 600, shape=(50, 400))]) == 0.0


@pytest.mark.parametrize("frames", [[], [LabelledFrame(np.empty((0, 2)), (100, 100), 10.0)]])
def test_no_labels(frames: list[LabelledFrame]) -> None:
    assert find_label_margin(frames) == 0.0


def test_distance_from_the_outermost_pixels() -> None:
    points = np.array([[0.0, 50.0], [99.0, 50.0], [50.0, 196.0], [3.0, 2.0], [-4.0, 50.0]])
    assert edge_distance(points, (100, 200)).tolist() == [0, 0, 3, 2, -4]


def test_picks_beyond_the_labels(rng: np.random.Generator) -> None:
    """Each label has a right pick; four picks lie in the band without labels, which may be told a hair too wide."""
    frames = [scatter(rng, 600, margin_px=10) for _ in range(3)]
    wrong = np.array([[2.0, 300.0], [970.0, 600.0], [300.0, 3.0], [300.0, 1197.0]])
    picks = [find_all(each) for each in frames]
    picks[0] = find_all(frames[0], wrong)
    check = check_edges(picks, particle_diameter=150.0, threshold=0.5)
    assert check is not None
    assert check.margin == pytest.approx(75, abs=6)
    assert (check.n_wrong, check.precision) == (4, 1.0)
    assert 4 <= check.n_picks <= 8
    assert check.f1 > 0.998
    assert check.best_f1 == check.f1  # every candidate left is right
    assert check_edges([*picks, None], 150.0, 0.5) is None
    assert check_edges(picks[1:], 150.0, 0.5) is None
    assert check_edges(picks, 150.0, threshold=0.9) is None  # no pick is left


def test_picks_near_edges_that_have_labels(rng: np.random.Generator) -> None:
    frames = [scatter(rng, 600) for _ in range(3)]
    assert check_edges([find_all(each) for each in frames], 150.0, 0.5) is None


def test_best_f1_without_the_picks_beyond_the_labels(rng: np.random.Generator) -> None:
    """200 wrong candidates in the middle, less sure than all others, are picks here, but not at the best threshold."""
    picks = [find_all(scatter(rng, 600, margin_px=10)) for _ in range(3)]
    picks[0] = find_all(picks[0].frame, np.array([[2.0, 300.0], [970.0, 600.0]]))
    picks[1] = find_all(picks[1].frame, np.full((200, 2), 500.0), score=0.6)
    check = check_edges(picks, 150.0, threshold=0.5)
    assert check is not None
    assert check.f1 == pytest.approx(2 * 1800 / (1800 + 2000), abs=0.003)
    assert check.best_f1 > 0.998
