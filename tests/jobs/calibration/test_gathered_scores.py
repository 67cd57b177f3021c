"""What an operating point is chosen from: scores, micrographs, and the area that they are spread over."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

from relion_attn_picker.io.candidates import CandidateRecord, CandidateStore
from relion_attn_picker.jobs.picking.job import gather_scores
from relion_attn_picker.micrograph import Micrograph, OpticsGroup
from relion_attn_picker.options import PickOptions


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
