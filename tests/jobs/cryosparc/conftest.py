"""A project of CryoSPARC, written by hand, with one mark in no symmetric place."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import mrcfile
import numpy as np
import pytest

from relion_attn_picker.io.cryosparc import make_table, write_cs
from relion_attn_picker.relion.job_files import write_coordinate_index, write_picks

Array = np.ndarray[Any, Any]
SHAPE, PIXEL_SIZE = (480, 640), 1.5
MARK = (300, 100)
"""Row and column: in no symmetric place."""

UIDS = np.array([12951868257382468663, 7], dtype="<u8")
PATHS = [f"J2/motioncorrected/{UIDS[0]:021d}_wide.mrc", f"J2/motioncorrected/{UIDS[1]:021d}_other.mrc"]


def exposure_columns() -> dict[str, Array]:
    """Return two exposures as CryoSPARC lists them."""
    return {
        "uid": UIDS,
        "micrograph_blob/path": np.array(PATHS),
        "micrograph_blob/idx": np.zeros(2, "<u4"),
        "micrograph_blob/shape": np.array([SHAPE, SHAPE], "<u4"),
        "micrograph_blob/psize_A": np.full(2, PIXEL_SIZE, "<f4"),
        "mscope_params/accel_kv": np.full(2, 300, "<f4"),
        "mscope_params/cs_mm": np.full(2, 2.7, "<f4"),
        "mscope_params/total_dose_e_per_A2": np.array([50.5, 51.25], "<f4"),
        "mscope_params/exp_group_id": np.array([3, 4], "<u4"),
        "ctf/amp_contrast": np.full(2, 0.07, "<f4"),
        "ctf/df1_A": np.array([15000, 16000], "<f4"),
        "ctf/df2_A": np.array([14000, 15500], "<f4"),
        "ctf/df_angle_rad": np.array([np.pi / 6, -np.pi / 4], "<f4"),
        "ctf/phase_shift_rad": np.array([0, np.pi / 2], "<f4"),
    }


def write_exposures(folder: Path, columns: Mapping[str, Array]) -> Path:
    """Write ``J5/J5_exposures.csg`` with ``ctf`` in a passthrough file of another order, and return its path."""
    own = {name: values for name, values in columns.items() if not name.startswith("ctf/")}
    other = {name: values[::-1] for name, values in columns.items() if name == "uid" or name.startswith("ctf/")}
    (folder / "J5").mkdir(exist_ok=True)
    write_cs(folder / "J5/J5_exposures.cs", make_table(own))
    write_cs(folder / "J5/J5_passthrough_exposures.cs", make_table(other))
    files = {"micrograph_blob": "J5_exposures", "mscope_params": "J5_exposures", "ctf": "J5_passthrough_exposures"}
    lines = "".join(
        f"  {slot}:\n    metafile: '>{name}.cs'\n    num_items: 2\n    type: exposure.{slot}\n"
        for slot, name in files.items()
    )
    (folder / "J5/J5_exposures.csg").write_text(f"group:\n  type: exposure\nresults:\n{lines}version: v4.5.3\n")
    return folder / "J5/J5_exposures.csg"


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A CryoSPARC project, the current folder: two rectangular micrographs with a dark particle at ``MARK``."""
    generator = np.random.default_rng(3)
    y, x = np.indices(SHAPE)
    for path in PATHS:
        image = generator.normal(0, 0.3, SHAPE) - 5 * np.exp(-((y - MARK[0]) ** 2 + (x - MARK[1]) ** 2) / (2 * 12**2))
        (tmp_path / path).parent.mkdir(parents=True, exist_ok=True)
        mrcfile.write(tmp_path / path, image.astype(np.float32), voxel_size=PIXEL_SIZE)
    write_exposures(tmp_path, exposure_columns())
    monkeypatch.chdir(tmp_path)
    return tmp_path


CSG = Path("J5/J5_exposures.csg")


def write_job(*yx: tuple[float, float], name: str = PATHS[0]) -> Path:
    """Write a picking job by hand, with the picks ``yx`` on one micrograph, scores falling from 0.9."""
    points = np.array(yx, np.float32).reshape(-1, 2)
    score = np.linspace(0.9, 0.8, len(points), dtype=np.float32)
    Path("picks").mkdir(exist_ok=True)
    write_picks(Path("picks/one_autopick.star"), points, score, SHAPE)
    write_coordinate_index(Path("picks/autopick.star"), [name], ["picks/one_autopick.star"])
    return Path("picks")
