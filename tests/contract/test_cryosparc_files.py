"""cryosparc-tools itself reads what we write, and writes the same bytes."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from relion_attn_picker.io.cryosparc import as_columns, read_cs, write_cs
from relion_attn_picker.io.cryosparc_exposures import Exposure
from relion_attn_picker.io.cryosparc_picks import ExposurePicks, make_pick_table
from relion_attn_picker.micrograph import OpticsGroup

if TYPE_CHECKING:
    from tests.contract.conftest import CryosparcClient

WRITE_ANEW = """
import sys
import numpy as n
from cryosparc.dataset import Dataset
source, target = sys.argv[1:]
table = n.load(source)
kinds = [(name, table.dtype[name]) for name in table.dtype.names[1:]]
fields = [(name, "O" if kind.kind == "S" else kind.base.str, *filter(None, [kind.shape])) for name, kind in kinds]
dataset = Dataset.allocate(len(table), fields)
for name in table.dtype.names if len(table) else ():
    dataset[name] = [t.decode() for t in table[name]] if table.dtype[name].kind == "S" else table[name]
dataset.save(target + "/built.cs")
loaded = Dataset.load(source)
loaded.save(target + "/loaded.cs")
assert loaded == dataset or not len(table)
with open(target + "/stream.cs", "wb") as file:
    for chunk in loaded.stream():
        file.write(chunk)
"""


def make_picks(count: int) -> list[ExposurePicks]:
    generator = np.random.default_rng(8)
    optics = OpticsGroup(1, "one", 1.35)
    exposures = [Exposure(2**63 + i, f"J2/motioncorrected/m{i}.mrc", (480, 640), i, optics) for i in range(3)]
    return [
        ExposurePicks(
            exposure,
            generator.uniform(0, 480, (count, 2)).astype(np.float32),
            generator.uniform(0, 1, count).astype(np.float32),
        )
        for exposure in exposures
    ]


@pytest.mark.parametrize("count", [40, 0])
def test_bytes(tmp_path: Path, cryosparc_client: CryosparcClient, count: int) -> None:
    table = make_pick_table(make_picks(count), np.random.default_rng(1), min_distance=90.0)
    write_cs(tmp_path / "ours.cs", table)
    done = cryosparc_client.run(["-c", WRITE_ANEW, tmp_path / "ours.cs", tmp_path])
    assert done.returncode == 0, done.stderr
    ours = (tmp_path / "ours.cs").read_bytes()
    assert (tmp_path / "built.cs").read_bytes() == ours
    assert (tmp_path / "loaded.cs").read_bytes() == ours
    streamed = read_cs(tmp_path / "stream.cs")
    for name, values in as_columns(table).items():
        np.testing.assert_array_equal(streamed[name], values)
