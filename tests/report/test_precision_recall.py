"""The precision-recall curve as a table and as a picture."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from matplotlib.image import imread

from relion_attn_picker.evaluation.evaluate import EvaluatedMicrograph, evaluate_picks
from relion_attn_picker.report.precision_recall import draw_precision_recall, write_precision_recall


def evaluate(score, threshold=0.5, n_true=4):
    rng = np.random.default_rng(0)
    true = np.arange(n_true)[:, None] * 100.0 + np.zeros(2)
    predicted = np.concatenate([true, rng.uniform(9000, 9999, (len(score), 2))])[: len(score)]
    micrograph = EvaluatedMicrograph("mic.mrc", predicted, np.asarray(score), true, 1.0, (500, 500))
    return evaluate_picks([micrograph], 50.0, rng, threshold=threshold, n_resamples=10)


def test_table_of_a_hand_example(tmp_path):
    write_precision_recall(tmp_path / "curve.csv", evaluate([0.9, 0.8, 0.8, 0.3, 0.2]))
    assert (tmp_path / "curve.csv").read_text().splitlines() == [
        "threshold,precision,recall",
        "0.9,1,0.25",
        "0.8,1,0.75",
        "0.3,1,1",
        "0.2,0.8,1",
    ]


def test_table_without_candidates_has_its_header_only(tmp_path):
    write_precision_recall(tmp_path / "curve.csv", evaluate([]))
    assert (tmp_path / "curve.csv").read_text() == "threshold,precision,recall\n"


def test_long_curve_is_thinned_and_keeps_its_ends(tmp_path):
    score = np.linspace(0.0, 1.0, 20_000)
    write_precision_recall(tmp_path / "curve.csv", evaluate(score))
    table = np.loadtxt(tmp_path / "curve.csv", delimiter=",", skiprows=1)
    assert len(table) == 5000
    assert (table[0, 0], table[-1, 0]) == (1.0, 0.0)


def test_picture_is_drawn_for_every_kind_of_evaluation(tmp_path):
    pictures = []
    for score, threshold in (([0.9, 0.8, 0.3, 0.2, 0.1], 0.5), ([0.5, 0.5], -np.inf), ([], 0.5)):
        draw_precision_recall(tmp_path / "curve.png", evaluate(score, threshold))
        pictures.append(imread(tmp_path / "curve.png"))
    assert all((first != second).any() for first, second in pairwise(pictures))


def test_picture_without_ground_truth(tmp_path):
    draw_precision_recall(tmp_path / "curve.png", evaluate([0.9], n_true=0))
    assert (tmp_path / "curve.png").stat().st_size > 0
