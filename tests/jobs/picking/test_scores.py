"""What an operating point is chosen from: scores, corrected by likeness, micrographs, and their area."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from relion_attn_picker.evaluation.calibration import adapt
from relion_attn_picker.inference.operating_point import OperatingPoint
from relion_attn_picker.inference.weights import ScoreModels, find_score_models, find_weights
from relion_attn_picker.io.candidates import CandidateRecord, CandidateStore
from relion_attn_picker.jobs.pick_evaluation import JobResults, evaluate_job
from relion_attn_picker.jobs.picking.scores import FittedScores, find_sure_scores, fit_scores, gather_scores
from relion_attn_picker.jobs.reference import open_reference
from relion_attn_picker.micrograph import Micrograph, OpticsGroup
from relion_attn_picker.options import PickOptions
from relion_attn_picker.picks import APPEARANCE
from relion_attn_picker.pipeline import select_picks
from relion_attn_picker.relion.job_files import write_particles


@pytest.mark.parametrize(("border", "kept"), [(0.0, [0.9, 0.8, 0.7, 0.6]), (100.0, [0.8, 0.7])])
def test_area_in_areas_of_a_particle(tmp_path: Path, border: float, kept: list[float]) -> None:
    """Of two micrographs with pixels of 2 and 4 Å, and of a third that is not done."""
    store = CandidateStore(tmp_path / "candidates.jsonl")
    micrographs = [Micrograph(f"{size:g}.mrc", OpticsGroup(1, "one", size)) for size in (2.0, 4.0, 5.0)]
    points = {"2.mrc": ([[10, 10], [200, 300]], [0.9, 0.8]), "4.mrc": ([[100, 100], [399, 399]], [0.7, 0.6])}
    for name, (yx, score) in points.items():
        where, scores = np.array(yx, dtype=np.float32), np.array(score, dtype=np.float32)
        store.append(CandidateRecord(name, "a", "b", (400, 600), 0, math.nan, where, scores))
    options = PickOptions(particle_diameter=80, border=border)
    gathered = gather_scores(store, micrographs, options)
    sides = [(400 * size - 2 * border, 600 * size - 2 * border) for size in (2, 4)]
    assert gathered.n_micrographs == 2
    assert gathered.area == pytest.approx(sum(height * width for height, width in sides) / (math.pi * 40**2))
    np.testing.assert_allclose(gathered.score, kept, atol=1e-4)
    assert gathered.is_kept is None
    fewer = gather_scores(store, micrographs, PickOptions(particle_diameter=80, border=border, max_picks=1))
    np.testing.assert_allclose(fewer.score, kept, atol=1e-4)
    assert fewer.is_kept is not None
    np.testing.assert_allclose(fewer.score[fewer.is_kept], {4: [0.9, 0.7], 2: [0.8, 0.7]}[len(kept)], atol=1e-4)


MODELS = find_score_models(find_weights("attention", None))
N_MICROGRAPHS, N_RIGHT, N_WRONG = 4, 60, 90


def store_session(path: Path, rng: np.random.Generator, *, looked_at: bool = True) -> tuple[CandidateStore, list[str]]:
    """Store candidates, half of the wrong ones faint and scoring nearly as the right ones; junk scores the highest."""
    store = CandidateStore(path)
    names = [f"{number}.mrc" for number in range(N_MICROGRAPHS)]
    for name in names:
        score = np.concatenate(
            [rng.beta(9, 4, N_RIGHT), rng.beta(5, 6, N_WRONG // 2), rng.beta(1, 8, N_WRONG // 2), [0.95] * 20]
        )
        middle = np.repeat([[-2.0, -0.9, 0.3], [-0.4, -0.3, 0.0], [-6.0, -6.0, 1.5]], [N_RIGHT, N_WRONG, 20], axis=0)
        seen = (middle + rng.normal(0, [0.3, 0.2, 0.1], middle.shape)).astype(np.float32)
        details = {"junk": np.repeat(np.array([0, 2], dtype=np.float32), [N_RIGHT + N_WRONG, 20])}
        if looked_at:
            details |= dict(zip(APPEARANCE, seen.T, strict=True))
        yx = rng.uniform(0, 1000, (len(score), 2)).astype(np.float32)
        yx[:N_RIGHT, 0] += 1000  # the right ones lie in the lower half
        record = CandidateRecord(name, "a", "b", (2000, 1000), 0, math.nan, yx, score.astype(np.float32), details)
        store.append(record.with_scores(record.score))
    return store, names


def fit(store: CandidateStore, names: list[str], models: ScoreModels | None, **options: Any) -> FittedScores:
    micrographs = [Micrograph(name, OpticsGroup(1, "one", 2.0)) for name in names]
    given = PickOptions(particle_diameter=100, **{"reject_junk": True} | options)
    return fit_scores(store, micrographs, given, models, own_threshold=0.4)


def share_right(store: CandidateStore, names: list[str], point: OperatingPoint) -> float:
    """Return the share of right ones among as many candidates, of highest merit, as there are right ones."""
    merit, is_right = [], []
    for name in names:
        record = store.read(name)
        assert record is not None
        record = record.with_scores(point.judge(record.score, record.details)).without_junk()
        merit.append(record.score)
        is_right.append(record.yx[:, 0] >= 1000)
    best = np.argsort(-np.concatenate(merit), kind="stable")[: N_MICROGRAPHS * N_RIGHT]
    return float(np.concatenate(is_right)[best].mean())


@pytest.mark.parametrize("models", [MODELS, None])
def test_likeness_tells_particles_from_what_scores_as_high(
    tmp_path: Path, rng: np.random.Generator, models: ScoreModels | None
) -> None:
    """Junk is no example of how particles look, although it scores the highest."""
    store, names = store_session(tmp_path / "candidates.jsonl", rng)
    fitted = fit(store, names, models)
    assert fitted.likeness is not None
    np.testing.assert_allclose(fitted.likeness.middle, [-2.0, -0.9, 0.3], atol=0.2)
    point = fitted.choose_point(0.4, PickOptions(particle_diameter=100))
    assert point.likeness == fitted.likeness
    plain = OperatingPoint(0.5, "any", point.curve)
    assert share_right(store, names, point) > share_right(store, names, plain) + 0.05


def test_corrected_scores_have_a_model_of_their_own(tmp_path: Path, rng: np.random.Generator) -> None:
    assert MODELS is not None and MODELS.corrected is not None
    store, names = store_session(tmp_path / "candidates.jsonl", rng)
    fitted = fit(store, names, MODELS)
    assert fitted.sure_scores == find_sure_scores(MODELS.corrected)
    without = fit(store, names, replace(MODELS, corrected=None))
    assert without.likeness is None
    assert without.sure_scores == find_sure_scores(MODELS.own)
    assert without.curve is not None and fitted.curve is not None
    second = adapt(MODELS.corrected, fitted.scores.score, fitted.scores.area)
    counts = [
        float(curve.probability(scores.score).sum())
        for curve, scores in ((without.curve, without.scores), (fitted.curve, fitted.scores), (second, fitted.scores))
    ]
    assert counts == sorted(counts) or counts == sorted(counts, reverse=True)
    assert (without.scores.score >= fitted.scores.score - 1e-6).mean() > 0.99


@pytest.mark.parametrize("models", [MODELS, None])
def test_candidates_that_nobody_looked_at(tmp_path: Path, rng: np.random.Generator, models: ScoreModels | None) -> None:
    """As an earlier version left them."""
    store, names = store_session(tmp_path / "candidates.jsonl", rng, looked_at=False)
    fitted = fit(store, names, models)
    assert fitted.likeness is None
    assert len(fitted.scores.score) == N_MICROGRAPHS * (N_RIGHT + N_WRONG)


def test_no_candidates_at_all(tmp_path: Path) -> None:
    fitted = fit(CandidateStore(tmp_path / "candidates.jsonl"), ["a.mrc"], MODELS)
    assert fitted.likeness is None
    assert len(fitted.scores.score) == 0


@pytest.mark.parametrize("models", [MODELS, None])
def test_border_that_leaves_no_candidate(tmp_path: Path, rng: np.random.Generator, models: ScoreModels | None) -> None:
    store, names = store_session(tmp_path / "candidates.jsonl", rng)
    fitted = fit(store, names, models, border=1200.0)
    assert len(fitted.scores.score) == 0
    point = fitted.choose_point(0.4, PickOptions(particle_diameter=100, border=1200.0))
    assert 0 < point.threshold < 1


def test_most_picks_of_a_micrograph_are_those_of_highest_merit(tmp_path: Path, rng: np.random.Generator) -> None:
    store, names = store_session(tmp_path / "candidates.jsonl", rng)
    fitted = fit(store, names, MODELS, max_picks=10)
    assert fitted.scores.is_kept is not None
    assert fitted.scores.is_kept.sum() == 10 * N_MICROGRAPHS
    kept = fitted.scores.score[: N_RIGHT + N_WRONG][fitted.scores.is_kept[: N_RIGHT + N_WRONG]]
    assert kept.min() >= fitted.scores.score[: N_RIGHT + N_WRONG][10:].max()
    options = PickOptions(particle_diameter=100, max_picks=10)
    point = replace(fitted.choose_point(0.4, options), threshold=0.0)
    record = store.read(names[0])
    assert record is not None
    micrograph = Micrograph(names[0], OpticsGroup(1, "one", 2.0))
    picks = select_picks(record.candidates(micrograph), record.image_shape, options, point)
    assert len(picks) == 10
    assert (np.diff(picks.score) <= 0).all()
    np.testing.assert_allclose(picks.score, point.merit(kept), atol=1e-5)


def test_evaluation_judges_as_the_job_picks(tmp_path: Path, rng: np.random.Generator) -> None:
    store, names = store_session(tmp_path / "candidates.jsonl", rng)
    options = PickOptions(particle_diameter=100, reject_junk=True)
    point = fit(store, names, MODELS).choose_point(0.4, options)
    assert point.likeness is not None
    records = {name: record for name in names if (record := store.read(name)) is not None}
    truth = [(name, record.yx[record.yx[:, 0] >= 1000], None) for name, record in records.items()]
    write_particles(tmp_path / "truth.star", truth, has_scores=False)
    sizes = dict.fromkeys(names, 2.0)
    reference = open_reference(tmp_path / "truth.star", tmp_path, sizes)
    evaluation = evaluate_job(JobResults(store, point, options, sizes, {}), reference, particle_diameter=1.0)
    scores = evaluation.headline.pooled
    picks = [
        select_picks(
            record.candidates(Micrograph(name, OpticsGroup(1, "one", 2.0))), record.image_shape, options, point
        )
        for name, record in records.items()
    ]
    assert scores.n_predicted == sum(map(len, picks))
    assert scores.n_matched == sum(int((each.yx[:, 0] >= 1000).sum()) for each in picks)
