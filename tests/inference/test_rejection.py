"""Candidates on drawn micrographs: lumps and strips are refused, particles never."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from relion_attn_picker.imaging.normalize import flatten_background
from relion_attn_picker.imaging.prepare import NetworkImage
from relion_attn_picker.imaging.surroundings import survey_micrograph
from relion_attn_picker.inference.rejection import REASONS, describe_reason, judge_candidates, reason_name
from relion_attn_picker.picks import FloatArray

SHAPE = (400, 480)
DIAMETER = 24
LUMP = (200.0, 240.0)
NOISE = [(40.0, 60.0 + 40 * i) for i in range(10)]

Points = Sequence[tuple[float, float]]


def draw(rng: np.random.Generator, particles: Points, density: float = 1.0) -> FloatArray:
    """Return noise with a dark disc at every particle."""
    image = rng.normal(0, 1, SHAPE).astype(np.float32)
    y, x = np.mgrid[: DIAMETER + 1, : DIAMETER + 1] - DIAMETER / 2
    disc = density * (np.hypot(y, x) < DIAMETER / 2)
    for cy, cx in np.round(particles).astype(int).reshape(-1, 2) - DIAMETER // 2:
        image[cy : cy + DIAMETER + 1, cx : cx + DIAMETER + 1] -= disc
    return image


def add_lump(image: FloatArray, diameters: float, density: float, roughness: float, rng: np.random.Generator) -> None:
    """Add something dark about ``LUMP``, with noise of its own as coarse as a particle's inside."""
    y, x = np.mgrid[: SHAPE[0], : SHAPE[1]]
    inside = np.hypot(y - LUMP[0], x - LUMP[1]) < diameters * DIAMETER / 2
    texture = gaussian_filter(rng.normal(0, 1, SHAPE), 1.5)
    image[inside] -= density + roughness * texture[inside] / texture.std()


def judge(image: FloatArray, yx: Points) -> list[str]:
    """Return the name of the reason against each candidate, or nothing."""
    network = NetworkImage(flatten_background(image, 1.5 * DIAMETER), 1.0)
    surroundings = survey_micrograph(image, 1.0, network, DIAMETER)
    codes = judge_candidates(np.array(yx, dtype=np.float32).reshape(-1, 2), surroundings)
    return [reason_name(code) if code else "" for code in codes]


def crowd(step: int) -> Points:
    return [(y, x) for y in range(30, SHAPE[0] - 30, step) for x in range(30, SHAPE[1] - 30, step)]


@pytest.mark.parametrize("density", [0.3, 1.0, 5.0])
@pytest.mark.parametrize("particles", [[LUMP], [LUMP, (LUMP[0], LUMP[1] + DIAMETER)], crowd(26), crowd(60), crowd(150)])
def test_particles_are_not_refused(rng: np.random.Generator, particles: Points, density: float) -> None:
    """Neither alone, nor as a pair that touches, nor in a crowd, whatever their contrast."""
    assert set(judge(draw(rng, particles, density), [*particles, *NOISE])) == {""}


def test_particles_on_a_gradient_of_ice(rng: np.random.Generator) -> None:
    particles = crowd(60)
    image = draw(rng, particles) - np.linspace(0, 8, SHAPE[1], dtype=np.float32)
    assert set(judge(image, particles)) == {""}


@pytest.mark.parametrize(("roughness", "name"), [(0.0, "ice"), (3.0, "aggregate")])
@pytest.mark.parametrize("particles", [[], crowd(60)])
def test_lump_is_refused(rng: np.random.Generator, particles: Points, roughness: float, name: str) -> None:
    image = draw(rng, particles)
    add_lump(image, 3, 3.0, roughness, rng)
    away = [point for point in particles if np.hypot(point[0] - LUMP[0], point[1] - LUMP[1]) > 4 * DIAMETER]
    assert judge(image, [LUMP, *away, *NOISE]) == [name, *[""] * (len(away) + 10)]


def test_hole_is_no_lump(rng: np.random.Generator) -> None:
    """Dense is dark: something as wide and bright is left to the network."""
    image = draw(rng, [])
    add_lump(image, 3, -3.0, 0, rng)
    assert judge(image, [LUMP, NOISE[0]]) == ["", ""]


def test_strip_without_data_is_refused(rng: np.random.Generator) -> None:
    image = draw(rng, [])
    image[:30] = 0
    assert judge(image, [(12, 240), (60, 240)]) == ["border", ""]


def test_first_reason_counts(rng: np.random.Generator) -> None:
    """A candidate in a strip on which a lump ends is told to lie in the strip."""
    image = draw(rng, [])
    add_lump(image, 3, 3.0, 3.0, rng)
    beyond = int(LUMP[1])
    cut = np.concatenate([np.repeat(image[:, beyond : beyond + 1], 30, axis=1), image[:, beyond:]], axis=1)
    at_side = (LUMP[0], 25.0)
    inside = (LUMP[0], 34.0)
    assert judge(cut, [at_side, inside, *NOISE[:4]])[:2] == ["border", "aggregate"]


def test_no_candidates(rng: np.random.Generator) -> None:
    assert judge(draw(rng, []), []) == []


def test_constant_image() -> None:
    assert judge(np.zeros(SHAPE, dtype=np.float32), [LUMP]) == [""]


def test_table_of_reasons() -> None:
    assert len({reason.code for reason in REASONS}) == len({reason.name for reason in REASONS}) == len(REASONS)
    assert all(reason.code > 0 for reason in REASONS)
    assert reason_name(99) == "reason99"
    assert describe_reason("reason99") == "a reason of another version of this program"
    assert [describe_reason(reason.name) for reason in REASONS] == [reason.sentence for reason in REASONS]
