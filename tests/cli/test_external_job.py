"""The External job from outside: every exit path leaves exactly one marker, and says why on stderr."""

from __future__ import annotations

import numpy as np

from scipy.spatial import cKDTree


def test_success(project) -> None:
    run = project.run().succeeded()
    assert run.err == ""
    for name, centres in project.centres.items():
        picks = project.picks(name)
        distance, _ = cKDTree(centres).query(picks[:, :2])
        print(len(picks), distance)
        assert len(picks) == 12 and distance.max() < 2
