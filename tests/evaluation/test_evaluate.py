"""The whole evaluation: Å, pooling, rows, JSON."""

from __future__ import annotations

import json
import math

import numpy as np
import pytest

from relion_attn_picker.errors import InputError
from relion_attn_picker.evaluation.evaluate import EvaluatedMicrograph, evaluate_picks
from relion_attn_picker.evaluation.pixels import PixelCounts, draw_discs


def make_micrograph(seed=0, pixel_size=2.0, name="mic.mrc", n_false=10):
    """30 particles of which 24 are picked 3 px off, and false picks of lower score."""
    rng = np.random.default_rng(seed)
    true = np.stack(np.meshgrid(np.arange(6), np.arange(5), indexing="ij"), axis=-1).reshape(-1, 2) * 60.0 + 30
    predicted = np.concatenate([true[:24] + np.array([0.0, 3.0]), rng.uniform(5000, 6000, (n_false, 2))])
    score = np.concatenate([rng.uniform(0.6, 1, 24), rng.uniform(0.1, 0.6, n_false)])
    return EvaluatedMicrograph(name, predicted, score, true, pixel_size, (400, 360))


def evaluate(micrographs, **options):
    return evaluate_picks(micrographs, 100.0, np.random.default_rng(0), n_resamples=100, **options)


def test_figures_of_known_picks():
    evaluation = evaluate([make_micrograph(0), make_micrograph(1)], threshold=0.6)
    pooled = evaluation.headline.pooled
    assert (pooled.n_true, pooled.n_predicted, pooled.n_matched) == (60, 48, 48)
    assert pooled.precision == 1.0
    assert pooled.recall == pytest.approx(0.8)
    assert pooled.median_distance == pytest.approx(6.0)
    assert evaluation.headline.match_radius == 50.0
    assert evaluation.strict.match_radius == 25.0
    assert [row.name for row in evaluation.micrographs] == ["mic.mrc", "mic.mrc"]
    assert evaluation.curve.recall[-1] == pytest.approx(0.8)


def test_without_a_threshold_every_candidate_is_a_pick():
    assert evaluate([make_micrograph()]).headline.pooled.n_predicted == 34


def test_same_lengths_in_angstrom_give_the_same_figures_at_any_pixel_size():
    fine = make_micrograph(pixel_size=1.0)
    coarse = EvaluatedMicrograph(fine.name, fine.predicted_yx / 4, fine.score, fine.true_yx / 4, 4.0, (100, 90))
    assert evaluate([fine]).headline.pooled == evaluate([coarse]).headline.pooled


def test_strict_radius_refuses_picks_further_off():
    micrograph = make_micrograph(pixel_size=10.0)  # 3 px off = 30 Å, between d/4 = 25 and d/2 = 50
    evaluation = evaluate([micrograph], threshold=0.6)
    assert evaluation.headline.pooled.recall == pytest.approx(0.8)
    assert evaluation.strict.pooled.recall == 0.0


def test_mean_differs_from_pooled_and_leaves_out_undefined_figures():
    empty = EvaluatedMicrograph("empty.mrc", np.empty((0, 2)), np.empty(0), np.zeros((2, 2)), 2.0)
    evaluation = evaluate([make_micrograph(), empty], threshold=0.6)
    assert evaluation.headline.mean.precision == 1.0
    assert evaluation.headline.mean.recall == pytest.approx((0.8 + 0.0) / 2)
    assert evaluation.headline.pooled.recall == pytest.approx(24 / 32)


def test_chance_precision_is_what_as_many_random_picks_reach():
    """The area that the discs cover, 0.41, is what a single one would: of 24 some fall on a particle that is taken."""
    evaluation = evaluate([make_micrograph()], threshold=0.6)
    disc = math.pi * 25**2 / (400 * 360)  # 25 px, and no overlap at a spacing of 60 px
    expected = 30 * (1 - (1 - disc) ** 24) / 24
    assert expected < 0.36
    assert evaluation.chance_precision == pytest.approx(expected, rel=0.03)


def test_chance_precision_is_over_the_picks_of_all_micrographs():
    few, many = (make_micrograph(n_false=n_false) for n_false in (0, 200))
    alone = [evaluate([each]).chance_precision for each in (few, many)]
    assert evaluate([few, many]).chance_precision == pytest.approx(np.average(alone, weights=[24, 224]))


def test_chance_precision_needs_every_shape():
    known = make_micrograph()
    unknown = EvaluatedMicrograph("no_shape.mrc", known.predicted_yx, known.score, known.true_yx, 2.0)
    assert evaluate([known, unknown]).chance_precision is None


def test_pixel_counts_may_be_filled_while_the_micrographs_are_read():
    counts = PixelCounts(0.5)

    def read():
        micrograph = make_micrograph()
        discs = draw_discs((400, 360), micrograph.true_yx, 25.0)
        counts.add(discs.astype(np.float32), discs)
        yield micrograph

    evaluation = evaluate(read(), pixels=counts)
    assert evaluation.pixels is not None
    assert evaluation.pixels.iou == 1.0


def test_dictionary_is_json_and_undefined_figures_are_null():
    empty = EvaluatedMicrograph(
        "empty.mrc", np.empty((0, 2), np.float32), np.empty(0, np.float32), np.zeros((2, 2)), 2.0
    )
    evaluation = evaluate([empty])
    read = json.loads(json.dumps(evaluation.to_dict(), allow_nan=False))
    assert read["headline"]["pooled"]["precision"] is None
    assert read["headline"]["pooled"]["recall"] == 0.0
    assert read["threshold"] is None
    assert read["micrographs"][0]["name"] == "empty.mrc"
    assert read["pixels"] is None


def test_no_micrographs():
    with pytest.raises(InputError, match="no micrograph to evaluate: expected at least one"):
        evaluate([])


@pytest.mark.parametrize("diameter", [0.0, -5.0, math.nan, math.inf])
def test_impossible_diameter(diameter):
    with pytest.raises(InputError, match=r"particle diameter is .*: expected a positive number of Å"):
        evaluate_picks([make_micrograph()], diameter, np.random.default_rng(0))


@pytest.mark.parametrize(
    ("field", "value", "message"),
    [
        ("score", np.array([np.nan]), r"Micrograph bad.mrc has a score that is not a finite number"),
        ("predicted_yx", np.array([[np.inf, 0.0]]), "has a coordinate of a pick that is not a finite number"),
        ("true_yx", np.array([[np.nan, 0.0]]), "has a coordinate of the ground truth that is not a finite number"),
        ("pixel_size", 0.0, "has pixel size 0.0: expected a positive number"),
    ],
)
def test_bad_micrograph_is_refused_by_name(field, value, message):
    good = {"predicted_yx": np.zeros((1, 2)), "score": np.ones(1), "true_yx": np.zeros((1, 2)), "pixel_size": 1.0}
    with pytest.raises(InputError, match=message):
        EvaluatedMicrograph("bad.mrc", **{**good, field: value})


def test_picks_beyond_the_labels_are_told(rng):
    """A pick on every label, and one where labels have stopped; a micrograph of unknown shape leaves it open."""
    true = rng.uniform((40, 40), (1959, 2959), (900, 2))
    predicted = np.vstack([true, [[5.0, 1500.0]]])
    micrograph = EvaluatedMicrograph("a.mrc", predicted, np.ones(901), true, 2.0, (2000, 3000))
    edges = evaluate([micrograph]).edges
    assert edges.margin == pytest.approx(80, abs=8)
    assert (edges.n_wrong, edges.precision) == (1, 1.0)
    assert 1 <= edges.n_picks <= 4
    assert edges.f1 > 0.998
    unknown = EvaluatedMicrograph("b.mrc", predicted, np.ones(901), true, 2.0)
    assert evaluate([micrograph, unknown]).edges is None
