"""A project with one off-centre mark on a rectangular micrograph, and the same as CryoSPARC lists it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from relion_attn_picker.io.cryosparc import make_table, write_cs
from relion_attn_picker.io.mrc import write_image
from relion_attn_picker.micrograph import Micrograph, OpticsGroup
from relion_attn_picker.point_set import MicrographPoints, PointSet, gather
from relion_attn_picker.relion.micrographs import write_micrographs
from relion_attn_picker.relion.point_sets import write_star_particles

HEIGHT, WIDTH = 120, 200
A, B = "MotionCorr/job002/raw/größe a.mrc", "MotionCorr/job002/raw/b.v2.mrc"
MARK = np.array([[37.0, 112.0]])
LIST = Path("micrographs.star")
UIDS = [12951868257382468663, 7]
PATHS = [f"J2/imported/{UIDS[0]:021d}_größe a.mrc", f"J2/imported/{UIDS[1]:021d}_b.v2.mrc"]
EXPOSURES = (Path("exposures.cs"),)


@pytest.fixture(autouse=True)
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder: two rectangular micrographs, one with a blank in its name, and points on them."""
    monkeypatch.chdir(tmp_path)
    Path("MotionCorr/job002/raw").mkdir(parents=True)
    image = np.random.default_rng(0).normal(size=(HEIGHT, WIDTH)).astype(np.float32)
    for name in (A, B):
        write_image(Path(name), image, 2.0)
    write_micrographs(LIST, [Micrograph(name, OpticsGroup(1, "g", 2.0)) for name in (A, B)])
    write_star_particles(Path("in.star"), points())
    write_exposures()
    return tmp_path


def write_exposures(*pixel_sizes: float, shape: tuple[int, int] = (HEIGHT, WIDTH)) -> None:
    """Write CryoSPARC's list of both micrographs, under its own paths; both have 2 Å per pixel if not told."""
    columns = {
        "uid": np.array(UIDS, "<u8"),
        "micrograph_blob/path": np.array(PATHS),
        "micrograph_blob/shape": np.array([shape] * 2, "<u4"),
        "micrograph_blob/psize_A": np.array(pixel_sizes or (2, 2), "<f4"),
        "mscope_params/exp_group_id": np.array([3, 4], "<u4"),
    }
    write_cs(EXPOSURES[0], make_table(columns))


def points() -> PointSet:
    more = np.array([[5.0, 190.0], [100.0, 3.0]])
    return gather([MicrographPoints(A, MARK, np.array([0.75])), MicrographPoints(B, more, np.array([0.5, 0.25]))])
