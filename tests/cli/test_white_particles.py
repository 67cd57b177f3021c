"""Particles that are white, where dark ones are expected, are noticed; and only those."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from relion_attn_picker.io.mrc import read_image, write_image
from relion_attn_picker.jobs.picking import session as picking_session
from tests.cli.conftest import DarkPredictor

if TYPE_CHECKING:
    from relion_attn_picker.imaging.prepare import NetworkImage
    from relion_attn_picker.picks import ProbabilityMap
    from tests.cli.conftest import Project

WARNING = "WARNING: The particles seem to be white, but are expected dark: up to Micrographs/a.mrc, there are 4 good"


def invert(project: Project, *names: str) -> None:
    for name in names:
        write_image(project.folder / name, -read_image(project.folder / name), 4.0)


def test_white_particles(project: Project) -> None:
    invert(project, "Micrographs/a.mrc", "Micrographs/b.mrc")
    run = project.run().assert_succeeded()
    assert run.err.count(WARNING) == 1
    assert "and 12 with the contrast inverted. Invert the micrographs (relion_image_handler" in run.err


def test_dark_particles_are_not_looked_at_twice(project: Project, monkeypatch: pytest.MonkeyPatch) -> None:
    looks: list[object] = []
    predict = DarkPredictor.predict

    def look(self: DarkPredictor, image: NetworkImage) -> ProbabilityMap:
        looks.append(image)
        return predict(self, image)

    monkeypatch.setattr(DarkPredictor, "predict", look)
    monkeypatch.setattr(picking_session, "warn_of_another_diameter", lambda *_: None)  # which looks at all diameters
    assert "white" not in project.run().assert_succeeded().err
    assert len(looks) == 2


def test_nothing_to_see(project: Project, rng: np.random.Generator) -> None:
    names = [f"Micrographs/{number}.mrc" for number in range(5)]
    for name in names:
        write_image(project.folder / name, rng.normal(size=(320, 400)).astype(np.float32), 4.0)
    project.list(names)
    assert "white" not in project.run().assert_succeeded().err
