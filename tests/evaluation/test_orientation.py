"""Mirrored and shifted picks are found out, right ones are left alone."""

from __future__ import annotations

import json

import numpy as np
import pytest
from numpy.typing import NDArray

from relion_attn_picker.evaluation.evaluate import EvaluatedMicrograph, Evaluation, evaluate_picks
from relion_attn_picker.evaluation.even_sample import EvenSample
from relion_attn_picker.evaluation.orientation import OrientationSample, check_orientation
from relion_attn_picker.report.evaluation import format_evaluation

HEIGHT, WIDTH = 900, 1200
Array = NDArray[np.float64]
TURNS = {
    "y flipped": lambda yx: np.stack([HEIGHT - 1 - yx[:, 0], yx[:, 1]], axis=1),
    "x flipped": lambda yx: np.stack([yx[:, 0], WIDTH - 1 - yx[:, 1]], axis=1),
    "y and x flipped": lambda yx: np.array([HEIGHT, WIDTH]) - 1 - yx,
    "y and x exchanged": lambda yx: yx[:, ::-1],
}


def particles(seed: int, n: int = 60) -> Array:
    return np.random.default_rng(seed).uniform(40, [HEIGHT - 40, WIDTH - 40], (n, 2))


def sample(picks: Array, true: Array, frame: tuple[int, int] | None = (HEIGHT, WIDTH)) -> OrientationSample:
    return OrientationSample(picks, np.ones(len(picks)), true, 2.0, frame)


@pytest.mark.parametrize("turned", TURNS)
@pytest.mark.parametrize("frame", [(HEIGHT, WIDTH), None])
def test_turned_picks_are_found_out(turned: str, frame: tuple[int, int] | None) -> None:
    samples = []
    for seed in range(4):
        true = particles(seed)
        noise = np.random.default_rng(seed + 100).normal(0, 2, true.shape)
        samples.append(sample(TURNS[turned](true) + noise, true, frame))
    check = check_orientation(samples, 40.0)
    assert check is not None
    assert check.better == turned
    assert check.f1[turned] > 0.98 > 0.5 > check.f1["as given"]
    assert check.frame_is_known == (frame is not None)


def test_right_picks_with_noise_are_left_alone() -> None:
    rng = np.random.default_rng(1)
    samples = []
    for seed in range(4):
        true = particles(seed)
        samples.append(sample(np.concatenate([true[:40] + rng.normal(0, 4, (40, 2)), particles(seed + 50, 40)]), true))
    check = check_orientation(samples, 40.0)
    assert check is not None
    assert check.better is None
    assert not check.is_shifted


@pytest.mark.parametrize("seed", range(8))
def test_random_picks_are_no_flip(seed: int) -> None:
    samples = [sample(particles(100 * seed + i), particles(100 * seed + i + 50)) for i in range(5)]
    check = check_orientation(samples, 60.0)
    assert check is not None
    assert check.better is None


def test_shift_of_half_a_pixel_between_whole_coordinates_and_truth() -> None:
    true = np.concatenate([particles(seed) for seed in range(5)])
    check = check_orientation([sample(np.floor(true), true)], 20.0)
    assert check is not None
    assert check.is_shifted
    np.testing.assert_allclose(check.shift_yx, [-0.5, -0.5], atol=0.08)
    np.testing.assert_allclose(check.shift_yx_angstrom, [-1.0, -1.0], atol=0.16)
    rounded = check_orientation([sample(np.rint(true), true)], 20.0)
    assert rounded is not None
    assert not rounded.is_shifted


def test_shift_along_one_axis_keeps_its_sign() -> None:
    check = check_orientation([sample(particles(1) + np.array([0, 3]), particles(1))], 20.0)
    assert check is not None
    np.testing.assert_allclose(check.shift_yx, [0, 3], atol=1e-9)


def test_few_pairs_are_no_evidence() -> None:
    check = check_orientation([sample(particles(1, 2) + 1, particles(1, 2))], 20.0)
    assert check is not None
    assert not check.is_shifted


@pytest.mark.parametrize("n", [4, 8, 20])
def test_pairs_without_a_shift_are_told_shifted_as_seldom_as_many(n: int) -> None:
    """Offsets anywhere within the match radius, as of picks that match by chance."""
    rng = np.random.default_rng(n)
    told = 0
    for _ in range(400):
        length, angle = 20 * np.sqrt(rng.uniform(size=n)), rng.uniform(0, 2 * np.pi, n)
        offset = np.stack([length * np.sin(angle), length * np.cos(angle)], axis=1)
        true = 100.0 * np.arange(1, n + 1)[:, None] * np.ones(2)
        check = check_orientation([sample(true + offset, true)], 42.0)
        assert check is not None
        assert check.n_pairs == n
        told += check.is_shifted
    assert told / 400 < 0.03


def test_single_pick_that_fits_mirrored_is_chance() -> None:
    true, mirrored = np.array([[200.0, 300.0]]), np.array([[HEIGHT - 1 - 200.0, 300.0]])
    check = check_orientation([sample(mirrored, true)], 20.0)
    assert check is not None
    assert (check.f1["y flipped"], check.f1["as given"], check.better) == (1, 0, None)


def test_nothing_to_compare() -> None:
    assert check_orientation([sample(np.empty((0, 2)), particles(1))], 20.0) is None


@pytest.mark.parametrize("n", [0, 1, 7, 8, 9, 100, 1000])
def test_even_sample(n: int) -> None:
    kept = EvenSample[int](4)
    for item in range(n):
        kept.offer(item)
    assert min(n, 4) <= len(kept.items) < 8
    assert len(set(np.diff(kept.items).tolist())) <= 1
    assert kept.items == list(EvenSample.positions(n, 4))


def evaluate(picks: Array, true: Array) -> Evaluation:
    micrograph = EvaluatedMicrograph("a.mrc", picks, np.ones(len(picks)), true, 2.0, (HEIGHT, WIDTH))
    return evaluate_picks([micrograph], 80.0, np.random.default_rng(0))


def test_evaluation_says_so() -> None:
    true = particles(3, 200)
    evaluation = evaluate(TURNS["y flipped"](true), true)
    text = format_evaluation(evaluation)
    assert "!!! WRONG ORIENTATION? With y flipped the picks fit better: F1 1.000, as given 0." in text
    assert max(map(len, text.splitlines())) <= 100
    read = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert read["orientation"]["better"] == "y flipped"
    assert read["orientation"]["f1"]["y flipped"] == 1.0


def test_evaluation_tells_a_shift_and_is_quiet_without() -> None:
    true = particles(3)
    assert "beside the truth by a constant shift" in format_evaluation(evaluate(true + 0.5, true))
    quiet = format_evaluation(evaluate(true, true))
    assert "constant shift      y +0.00 px" in quiet
    assert "!!!" not in quiet and "beside the truth" not in quiet
