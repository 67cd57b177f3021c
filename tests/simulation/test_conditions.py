"""Drawn conditions cover what real sessions look like."""

from __future__ import annotations

import numpy as np
import pytest

from relion_attn_picker.simulation.conditions import Conditions, Processing, draw_conditions, draw_training_conditions
from relion_attn_picker.simulation.detector import BORDERS
from relion_attn_picker.simulation.processing import DENOISING


@pytest.fixture(scope="module")
def drawn() -> list[Conditions]:
    return [draw_conditions(np.random.default_rng(seed)) for seed in range(1000)]


def test_a_fifth_has_nothing_to_pick(drawn: list[Conditions]) -> None:
    assert np.mean([conditions.coverage == 0 for conditions in drawn]) == pytest.approx(0.2, abs=0.04)


def test_training_sees_more_junk_and_fewer_empty_micrographs() -> None:
    drawn = [draw_training_conditions(np.random.default_rng(seed)) for seed in range(2000)]
    empty = np.array([conditions.coverage == 0 for conditions in drawn])
    assert empty.mean() == pytest.approx(0.14, abs=0.03)
    full_of_junk = np.array([conditions.specks >= 5 and conditions.aggregates >= 1 for conditions in drawn])
    assert 0.3 < full_of_junk[~empty].mean() < 0.5
    assert full_of_junk[empty].mean() > 0.5


def test_half_is_processed(drawn: list[Conditions]) -> None:
    later = [conditions.processing != Processing() for conditions in drawn]
    assert np.mean(later) == pytest.approx(0.5, abs=0.05)
    assert {conditions.processing.denoising for conditions in drawn} == {None, *DENOISING}


def test_ranges(drawn: list[Conditions]) -> None:
    assert all(6_000 <= conditions.defocus <= 40_000 for conditions in drawn)
    assert all(18 <= conditions.dose <= 70 for conditions in drawn)
    snr = [conditions.snr for conditions in drawn]
    assert 0.05 <= min(snr) < 0.06  # fainter ones cannot be seen
    assert 3.3 < max(snr) <= 4
    assert {conditions.border_kind for conditions in drawn} == set(BORDERS)
    assert max(conditions.coverage for conditions in drawn) > 0.55
    assert all(conditions.border <= 30.0001 for conditions in drawn)


@pytest.mark.parametrize(
    "kind",
    ["carbon", "gold", "blobs", "specks", "aggregates", "micelles", "filaments", "vesicles", "mottling", "lattice"],
)
def test_every_kind_of_difficulty_occurs_and_none_is_everywhere(kind: str, drawn: list[Conditions]) -> None:
    assert 0.02 < np.mean([bool(getattr(conditions, kind)) for conditions in drawn]) < 0.7


def test_film_is_carbon_or_gold(drawn: list[Conditions]) -> None:
    assert not any(conditions.carbon and conditions.gold for conditions in drawn)
