"""The files of an evaluation and its table, read back."""

from __future__ import annotations

import dataclasses
import json
import math

import numpy as np
import pytest
import starfile

from relion_attn_picker.evaluation.evaluate import EvaluatedMicrograph, evaluate_picks
from relion_attn_picker.evaluation.label_margin import EdgeCheck
from relion_attn_picker.evaluation.pixels import PixelCounts, draw_discs
from relion_attn_picker.report import reliability
from relion_attn_picker.report.evaluation import format_evaluation, write_evaluation


def make_evaluation(n_micrographs=3, threshold=0.5, shape=(500, 500)):
    true = np.stack(np.meshgrid(np.arange(5), np.arange(5)), axis=-1).reshape(-1, 2) * 90.0 + 50
    rng = np.random.default_rng(0)
    pixels = PixelCounts(0.5)
    discs = draw_discs((500, 500), true, 25.0)
    pixels.add(np.where(discs, 0.9, 0.1), discs)
    micrographs = [
        EvaluatedMicrograph(f"Movies/mic{i}.mrc", true[: 20 + i] + 2.0, rng.uniform(0.3, 1, 20 + i), true, 1.0, shape)
        for i in range(n_micrographs)
    ]
    return evaluate_picks(micrographs, 50.0, rng, threshold=threshold, pixels=pixels, n_resamples=50)


def make_empty_evaluation():
    nothing = EvaluatedMicrograph("mic.mrc", np.empty((0, 2)), np.empty(0), np.empty((0, 2)), 1.0)
    return evaluate_picks([nothing], 50.0, np.random.default_rng(0))


def test_files_are_written_and_nothing_beside_them(tmp_path):
    names = {"evaluation.json", "evaluation.star", "precision_recall.csv", "precision_recall.png"}
    assert {path.name for path in write_evaluation(tmp_path, make_evaluation())} == names
    assert {path.name for path in tmp_path.iterdir()} == names


def test_calibrated_scores_without_a_candidate(tmp_path):
    nothing = EvaluatedMicrograph("mic.mrc", np.empty((0, 2)), np.empty(0), np.ones((3, 2)), 1.0, raw_score=np.empty(0))
    evaluation = evaluate_picks([nothing], 50.0, np.random.default_rng(0), threshold=0.5)
    assert "calibration error   - (network's own scores: -)" in format_evaluation(evaluation)
    figures = {}
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reliability, "save_png", lambda figure, path: figures.update({path.name: figure}))
        write_evaluation(tmp_path, evaluation)
    labels = [text.get_text() for text in figures["reliability.png"].axes[0].get_legend().get_texts()]
    assert labels == ["as promised", "network's scores, none", "calibrated scores, none"]


def test_promises_stand_beside_what_came_of_them(tmp_path):
    true = np.stack(np.meshgrid(np.arange(5), np.arange(5)), axis=-1).reshape(-1, 2) * 90.0 + 50
    yx = np.concatenate([true[:20], true[:20] + 40])
    raw, merit = np.repeat([0.6, 0.3], 20), np.repeat([0.95, 0.15], 20)
    micrograph = EvaluatedMicrograph("mic.mrc", yx, merit, true, 1.0, raw_score=raw)
    evaluation = evaluate_picks([micrograph], 50.0, np.random.default_rng(0), threshold=0.5)
    evaluation = dataclasses.replace(evaluation, expected=(0.9, 0.7))
    assert (tmp_path / "reliability.png") in write_evaluation(tmp_path, evaluation)
    text = " ".join(format_evaluation(evaluation).split())
    assert "promised precision 0.900, recall 0.700" in text
    assert "calibration error 0.100 (network's own scores: 0.350)" in text
    read = json.loads((tmp_path / "evaluation.json").read_text())
    assert [each["expected_error"] for each in read["reliability"]] == pytest.approx([0.35, 0.1])

    write_evaluation(tmp_path, make_evaluation())  # of scores that are not calibrated
    assert not (tmp_path / "reliability.png").exists()


def test_picks_beyond_the_labels_stand_in_the_table_and_in_json(tmp_path):
    evaluation = dataclasses.replace(make_evaluation(), edges=EdgeCheck(54.0, 249, 235, 0.8061, 0.8597, 0.8641))
    text = " ".join(format_evaluation(evaluation).split())
    assert "edges labels stop 54 Å before the edges; 249 picks lie beyond, 235 wrong" in text
    assert "without them: precision 0.806, F1 0.860, best F1 0.864" in text
    assert "edges" not in format_evaluation(make_evaluation())
    write_evaluation(tmp_path, evaluation)
    assert json.loads((tmp_path / "evaluation.json").read_text())["edges"]["n_wrong"] == 235


def test_json_holds_the_figures(tmp_path):
    evaluation = make_evaluation()
    write_evaluation(tmp_path, evaluation)
    read = json.loads((tmp_path / "evaluation.json").read_text())
    assert read["headline"]["pooled"]["f1"] == evaluation.headline.pooled.f1
    assert read["headline"]["intervals"]["f1"] == list(evaluation.headline.intervals.f1)
    assert read["pixels"]["iou"] == 1.0


def test_star_has_one_row_a_micrograph(tmp_path):
    evaluation = make_evaluation()
    write_evaluation(tmp_path, evaluation)
    table = starfile.read(tmp_path / "evaluation.star")
    assert table["rlnMicrographName"].tolist() == ["Movies/mic0.mrc", "Movies/mic1.mrc", "Movies/mic2.mrc"]
    assert table["attnpickNrPicks"].tolist() == [row.scores.n_predicted for row in evaluation.micrographs]
    expected = [row.scores.median_distance for row in evaluation.micrographs]
    np.testing.assert_allclose(table["attnpickMedianError"].astype(float), expected, atol=1e-3)


def test_evaluation_without_picks_and_ground_truth_is_written(tmp_path):
    write_evaluation(tmp_path, make_empty_evaluation())
    assert json.loads((tmp_path / "evaluation.json").read_text())["headline"]["pooled"]["f1"] is None
    assert (tmp_path / "evaluation.star").read_text().count("mic.mrc") == 1


@pytest.mark.parametrize(
    "evaluation", [make_evaluation(), make_evaluation(1, -math.inf, None), make_empty_evaluation()]
)
def test_table_fits_the_terminal(evaluation):
    lines = format_evaluation(evaluation).splitlines()
    assert max(len(line) for line in lines) <= 100
    assert all(line == line.rstrip() for line in lines)


def test_table_says_what_was_compared():
    evaluation = make_evaluation()
    text = format_evaluation(evaluation)
    low, high = evaluation.headline.intervals.f1
    assert "3 micrographs, particle diameter d = 50 Å, threshold 0.5" in text
    assert "25 Å (d/2)" in text
    assert "12.5 Å (d/4)" in text
    assert f"{evaluation.headline.pooled.f1:.3f}   {low:.3f} to {high:.3f}" in text
    assert "2.8 Å" in text  # 2 px along y and x
    assert f"random picks        precision {evaluation.chance_precision:.3f}" in text
    assert "IoU 1.000" in text


def test_table_of_all_picks_says_so():
    assert "1 micrograph, particle diameter d = 50 Å, all picks" in format_evaluation(make_evaluation(1, -math.inf))
    assert "d = 50 Å, threshold inf" in format_evaluation(make_evaluation(1, math.inf))


def test_undefined_figures_are_dashes_in_the_table():
    text = format_evaluation(make_empty_evaluation())
    assert "nan" not in text
    assert text.splitlines()[4].split() == ["precision", "-", "-", "-", "-", "-", "-"]
