"""The way of one micrograph, and the choice among its candidates."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from relion_attn_picker.errors import InputError
from relion_attn_picker.evaluation import likeness
from relion_attn_picker.evaluation.score_curve import ScoreCurve
from relion_attn_picker.inference.operating_point import OperatingPoint, first_point
from relion_attn_picker.inference.predictor import load_predictor
from relion_attn_picker.inference.weights import find_score_models, find_weights
from relion_attn_picker.io.mrc import write_image
from relion_attn_picker.jobs.picking.request import PickingRequest
from relion_attn_picker.jobs.picking.session import run_picking_job
from relion_attn_picker.micrograph import Micrograph, OpticsGroup
from relion_attn_picker.options import SCORE_FLOOR, InferenceOptions, PickOptions, SimulationOptions
from relion_attn_picker.picks import FloatArray, Picks
from relion_attn_picker.pipeline import Picker, load_picker, pick_micrograph, score_floor, select_picks
from relion_attn_picker.relion.coordinates import open_coordinates
from relion_attn_picker.relion.job import JobDirectory
from relion_attn_picker.relion.micrographs import read_micrographs
from relion_attn_picker.simulation.particles import procedural_particle
from relion_attn_picker.simulation.project import write_project

MICROGRAPH = Micrograph("a.mrc", OpticsGroup(1, "opticsGroup1", 2.0))
SHAPE = (100, 200)
POINT = OperatingPoint(0.5, "for the test")


def candidates(yx: list[tuple[float, float]], score: list[float]) -> Picks:
    return Picks(MICROGRAPH, np.array(yx, np.float32).reshape(-1, 2), np.array(score, np.float32))


def select(found: Picks, **options: float | int) -> FloatArray:
    """Return the scores of what is selected, with a default threshold of 0.5."""
    chosen = PickOptions(particle_diameter=100, **options)  # type: ignore[arg-type]
    return select_picks(found, SHAPE, chosen, first_point(0.5, chosen, None)).score


def test_threshold_is_the_lowest_score_of_a_pick() -> None:
    found = candidates([(10, 10), (20, 20), (30, 30)], [0.9, 0.5, 0.3])
    np.testing.assert_allclose(select(found), [0.9, 0.5])
    np.testing.assert_allclose(select(found, threshold=0.3), [0.9, 0.5, 0.3])
    np.testing.assert_allclose(select(found, threshold=0.95), [])


def test_threshold_and_scores_of_picks_are_figures_of_merit() -> None:
    found = candidates([(10, 10), (20, 20), (30, 30)], [0.9, 0.5, 0.3])
    point = OperatingPoint(0.5, "for the test", ScoreCurve((0.3, 0.5, 0.9), (0.1, 0.6, 0.8)))
    np.testing.assert_allclose(select_picks(found, SHAPE, PickOptions(particle_diameter=100), point).score, [0.8, 0.6])


def test_border_is_in_ångström_from_the_outline() -> None:
    """At 2 Å per pixel, 20 Å are 10 pixels: rows 10 to 89 and columns 10 to 189 stay."""
    found = candidates([(10, 10), (89, 189), (9.9, 50), (50, 9.9), (89.1, 50), (50, 189.1)], [1.0] * 6)
    kept = select_picks(found, SHAPE, PickOptions(particle_diameter=100, border=20), POINT)
    assert kept.yx.tolist() == [[10, 10], [89, 189]]


def test_border_of_the_weights_holds_unless_one_is_given() -> None:
    options = PickOptions(particle_diameter=150)
    assert options.with_border(0.36).border == 54.0
    assert options.with_border(0.0).border == 0.0
    assert PickOptions(particle_diameter=150, border=0).with_border(0.36).border == 0
    assert PickOptions(particle_diameter=150, border=80).with_border(0.36).border == 80


def test_centres_outside_the_image_are_never_picks() -> None:
    found = candidates([(-0.4, 50), (50, 199.3), (0, 0), (99, 199)], [1.0] * 4)
    assert select_picks(found, SHAPE, PickOptions(particle_diameter=100), POINT).yx.tolist() == [[0, 0], [99, 199]]


def test_maximum_number_keeps_the_highest_inside_the_border() -> None:
    found = candidates([(0, 0), (50, 50), (60, 60), (70, 70)], [0.9, 0.8, 0.7, 0.6])
    np.testing.assert_allclose(select(found, border=20, max_picks=2), [0.8, 0.7])


def test_no_candidates() -> None:
    assert select(candidates([], [])).shape == (0,)


def test_candidates_reach_below_the_threshold() -> None:
    default, usual, low = (PickOptions(particle_diameter=100, threshold=value) for value in (None, 0.4, 0.01))
    assert score_floor(default, is_calibrated=False) == SCORE_FLOOR
    assert score_floor(usual, is_calibrated=False) == SCORE_FLOOR
    assert score_floor(low, is_calibrated=False) == 0.01
    assert score_floor(low, is_calibrated=True) == SCORE_FLOOR


@pytest.mark.parametrize("pixel_size", [3.1, 4.0])
def test_one_disc_is_picked_where_it_is(tmp_path: Path, tiny_checkpoint: Path, pixel_size: float) -> None:
    y, x = np.mgrid[:150, :210]
    image = np.random.default_rng(2).normal(0, 0.2, y.shape) - 3 * np.exp(-((y - 61.3) ** 2 + (x - 140.6) ** 2) / 72)
    write_image(tmp_path / "a.mrc", image.astype(np.float32), pixel_size)
    predictor = load_predictor(tiny_checkpoint, InferenceOptions(gpu="cpu", precision="float32"))
    micrograph = Micrograph("a.mrc", OpticsGroup(1, "opticsGroup1", pixel_size))
    options = PickOptions(particle_diameter=25 * pixel_size, max_picks=1)
    picks = pick_micrograph(micrograph, tmp_path, Picker(predictor), options)
    np.testing.assert_allclose(picks.yx, [[61.3, 140.6]], atol=1.5)


@pytest.mark.parametrize(("border", "n_picks"), [(None, 0), (0.0, 1)])
def test_picks_stop_where_the_labels_of_the_weights_did(
    tmp_path: Path, tiny_checkpoint: Path, border: float | None, n_picks: int
) -> None:
    """The particle lies 10 pixels from the upper edge, the labels stopped 12.5 pixels from it."""
    y, x = np.mgrid[:150, :210]
    image = np.random.default_rng(2).normal(0, 0.2, y.shape) - 3 * np.exp(-((y - 10) ** 2 + (x - 140.6) ** 2) / 72)
    write_image(tmp_path / "a.mrc", image.astype(np.float32), 4.0)
    predictor = load_predictor(tiny_checkpoint, InferenceOptions(gpu="cpu", precision="float32"))
    predictor.header = replace(predictor.header, label_margin=0.5)  # type: ignore[misc]
    micrograph = Micrograph("a.mrc", OpticsGroup(1, "opticsGroup1", 4.0))
    options = PickOptions(particle_diameter=100, border=border)
    picks = pick_micrograph(micrograph, tmp_path, Picker(predictor), options)
    assert (np.hypot(*(picks.yx - [10, 140.6]).T) < 2.5).sum() == n_picks


@pytest.fixture(scope="module")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("simulated")
    options = SimulationOptions(count=2, shape=(300, 360), pixel_size=5.0, seed=2)
    write_project(folder, procedural_particle(160.0, np.random.default_rng(1)), options)
    return folder


CPU = InferenceOptions(gpu="cpu", precision="float32")


def test_with_the_operating_point_of_a_job_the_picks_are_the_jobs(
    simulated: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(likeness, "LEAST_SURE", 5)  # there are few particles on two small micrographs
    weights, micrographs = find_weights("attention", None), read_micrographs(simulated / "micrographs.star")
    request = PickingRequest(
        micrographs=micrographs,
        project_dir=simulated,
        micrographs_star="micrographs.star",
        weights=weights,
        options=PickOptions(particle_diameter=160),
        inference=CPU,
    )
    job = JobDirectory.open(str(tmp_path / "job"))
    point = run_picking_job(job, request).point
    assert point.likeness is not None
    picker = replace(load_picker(weights, CPU), curve=point.curve, likeness=point.likeness)
    saved_digits = 2e-3  # of scores; the cut is that of a pick
    options = PickOptions(particle_diameter=160, threshold=point.threshold - saved_digits)
    found = [pick_micrograph(each, simulated, picker, options) for each in micrographs]
    written = [open_coordinates(job.path).read(each.name) for each in micrographs]
    assert sum(map(len, found)) > 10
    for picks, table in zip(found, written, strict=True):
        assert table is not None and table.score is not None
        np.testing.assert_allclose(picks.score, table.score, atol=saved_digits)
        np.testing.assert_allclose(picks.yx, table.yx, atol=0.51)


def test_figures_of_merit_are_probabilities_where_the_weights_are_calibrated(simulated: Path) -> None:
    micrograph = read_micrographs(simulated / "micrographs.star")[0]
    picker = load_picker(find_weights("attention", None), CPU)
    scores = pick_micrograph(micrograph, simulated, replace(picker, curve=None), PickOptions(particle_diameter=160))
    merits = pick_micrograph(micrograph, simulated, picker, PickOptions(particle_diameter=160))
    models = find_score_models(find_weights("attention", None))
    assert models is not None and len(merits) > 5
    np.testing.assert_allclose(merits.score, models.own.curve().probability(scores.score))
    options = PickOptions(particle_diameter=160, threshold=0.9)
    assert pick_micrograph(micrograph, simulated, picker, options).score.min() >= 0.9


def test_weights_without_calibration(tiny_checkpoint: Path) -> None:
    assert load_picker(tiny_checkpoint, CPU).curve is None


@pytest.mark.parametrize(
    ("option", "name"),
    [
        ({"mode": "precision"}, "The mode precision"),
        ({"target_precision": 0.9}, "A target precision"),
        ({"target_recall": 0.9}, "A target recall"),
        ({"count_per_micrograph": 150}, "A count per micrograph"),
    ],
)
def test_options_of_data_sets_are_refused_for_one_micrograph(
    tmp_path: Path, tiny_checkpoint: Path, option: dict[str, Any], name: str
) -> None:
    options = PickOptions(particle_diameter=100, **option)
    with pytest.raises(
        InputError, match=rf"^{name} needs the scores of a whole data set.*jobs\.picking\.session\.run_picking_job"
    ):
        pick_micrograph(MICROGRAPH, tmp_path, load_picker(tiny_checkpoint, CPU), options)
