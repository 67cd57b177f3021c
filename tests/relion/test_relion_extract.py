"""RELION's own programs read the tables that the package writes, and cut centred boxes from its coordinates."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import mrcfile
import numpy as np
import pytest

from relion_attn_picker.micrograph import Micrograph, OpticsGroup
from relion_attn_picker.relion.job import JobDirectory
from relion_attn_picker.relion.job_files import write_picks
from relion_attn_picker.relion.micrographs import write_micrographs

pytestmark = [
    pytest.mark.relion,
    pytest.mark.skipif(shutil.which("relion_preprocess") is None, reason="RELION is not installed (relion_preprocess)"),
]
HOT = [(100, 500), (400, 60), (240, 320)]
BOX = 32
OPTICS = OpticsGroup(1, "opticsGroup1", 1.5)


def test_boxes_are_centred(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    names = ["MotionCorr/job002/raw/a.b.mic1.mrc", "MotionCorr/job002/raw/empty.mrc"]
    image = np.zeros((480, 640), np.float32)
    image[tuple(np.transpose(HOT))] = 100
    job = JobDirectory.open("External/job004/")
    for name, pixels, found in zip(names, (image, image * 0), (HOT, []), strict=True):
        Path(name).parent.mkdir(parents=True, exist_ok=True)
        mrcfile.write(name, pixels, voxel_size=1.5)
        (path,) = job.coordinate_paths([name])
        path.parent.mkdir(parents=True, exist_ok=True)
        yx = np.array(found, np.float32).reshape(-1, 2)
        write_picks(path, yx, np.full(len(yx), 0.5, np.float32), (480, 640))
    write_micrographs(Path("micrographs.star"), [Micrograph(name, OPTICS) for name in names])
    Path("Extract").mkdir()
    command = "relion_preprocess --i micrographs.star --coord_dir External/job004/ --coord_suffix _autopick.star"
    options = f"--part_star Extract/particles.star --part_dir Extract/ --extract --extract_size {BOX}"
    result = subprocess.run([*command.split(), *options.split()], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    (stack,) = Path("Extract").rglob("*.mrcs")
    boxes = mrcfile.read(stack)
    assert boxes.shape == (len(HOT), BOX, BOX)
    assert [np.unravel_index(box.argmax(), box.shape) for box in boxes] == [(BOX // 2, BOX // 2)] * len(HOT)


@pytest.mark.skipif(shutil.which("relion_star_handler") is None, reason="RELION is not installed (relion_star_handler)")
def test_names_survive_relion(tmp_path: Path) -> None:
    names = ["raw/a.mrc", "with blank.mrc", "a'b.mrc", "a#b.mrc", "12", "é.mrc"]
    write_micrographs(tmp_path / "in.star", [Micrograph(name, OPTICS) for name in names])
    command = ["relion_star_handler", "--i", "in.star", "--o", "out.star"]
    subprocess.run(command, cwd=tmp_path, check=True, capture_output=True)
    micrographs = (tmp_path / "out.star").read_text().split("_rlnOpticsGroup #2")[-1]
    rows = [line for line in micrographs.splitlines() if line.strip()]
    assert [row.strip().removesuffix("1").strip().strip('"') for row in rows] == names
