"""Films lie beyond the rim of their hole, as dark and as thick as they are."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from relion_attn_picker.simulation.chance import Chance
from relion_attn_picker.simulation.films import Hole, carbon_film, draw_hole, gold_film
from relion_attn_picker.simulation.grid import Grid

GRID = Grid((200, 240), 6.0)


def chance_of(seed: int) -> Chance:
    return Chance.seeded(np.random.default_rng(seed), torch.device("cpu"))


def test_smooth_rim_is_a_circle() -> None:
    hole = Hole((100.0, -300.0), 500.0, ())
    y, x = torch.tensor([100.0, 100.0, 700.0]), torch.tensor([200.0, 100.0, -300.0])
    torch.testing.assert_close(hole.beyond_rim(y, x), torch.tensor([0.0, -100.0, 100.0]))


@pytest.mark.parametrize("seed", range(8))
def test_rim_crosses_the_field(seed: int) -> None:
    beyond = draw_hole(GRID.extent, np.random.default_rng(seed)).beyond_rim(*GRID.axes())
    assert 0.02 < float((beyond > 0).float().mean()) < 0.7


@pytest.mark.parametrize("seed", range(8))
def test_carbon_shifts_the_phase_and_takes_5_to_15_percent(seed: int) -> None:
    chance = chance_of(seed)
    hole = draw_hole(GRID.extent, chance.rng)
    film = carbon_film(hole, GRID, 300, chance)
    beyond = hole.beyond_rim(*GRID.axes())
    assert torch.equal(film.mask, beyond > 0)
    inside, outside = beyond > 300, beyond < -300
    assert 6.53e-4 * 9.1 * 95 < float(film.phase[inside].mean()) < 6.53e-4 * 9.1 * 305
    assert 0.04 < 1 - float(torch.exp(-2 * film.absorption[inside]).mean()) < 0.15
    assert float(film.phase[outside].abs().max()) < 0.1 * float(film.phase[inside].mean())


@pytest.mark.parametrize("seed", range(8))
def test_gold_lets_few_electrons_through(seed: int) -> None:
    chance = chance_of(seed)
    hole = draw_hole(GRID.extent, chance.rng)
    film = gold_film(hole, GRID, 300, chance)
    transmitted = torch.exp(-2 * film.absorption)
    beyond = hole.beyond_rim(*GRID.axes())
    assert 0.14 < float(transmitted[beyond > 150].median()) < 0.32
    assert float(transmitted[beyond > 150].std()) > 0.005
    assert float(transmitted[beyond < -300].min()) > 0.99


def test_grain_of_carbon_is_white_with_its_power() -> None:
    chance = chance_of(1)
    film = carbon_film(Hole((0.0, 0.0), -1e5, ()), GRID, 300, chance)  # carbon everywhere
    thickness = float(film.phase.mean()) / (6.53e-4 * 9.1)
    least, most = ((0.0313 * 2.51) ** 2 * 0.09 * thickness * disorder / 6.0**2 for disorder in (0.1, 1.0))
    assert 0.9 * least < float(film.phase.var()) < 1.1 * most
    neighbours = np.corrcoef(film.phase[:, 1:].ravel(), film.phase[:, :-1].ravel())[0, 1]
    assert abs(neighbours) < 0.05
