"""The quick reader agrees with the general one, or steps aside."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from relion_attn_picker.relion.coordinates import open_coordinates
from relion_attn_picker.relion.job_files import write_coordinates
from relion_attn_picker.relion.number_loop import read_number_loop
from relion_attn_picker.relion.star import read_tables

HEAD = "data_\n\nloop_ \n_rlnCoordinateX #1 \n_rlnCoordinateY #2 \n"


@pytest.mark.parametrize("n", [0, 1, 30])
@pytest.mark.parametrize("scored", [True, False])
def test_agrees_with_the_general_reader(tmp_path: Path, n: int, scored: bool) -> None:
    rng = np.random.default_rng(n)
    write_coordinates(tmp_path / "a.star", rng.uniform(0, 5000, (n, 2)), rng.normal(size=n) if scored else None)
    quick = read_number_loop(tmp_path / "a.star")
    (table,) = read_tables(tmp_path / "a.star").values()
    assert quick is not None
    assert list(quick) == list(table.columns)
    for label, column in quick.items():
        np.testing.assert_array_equal(column, table[label].to_numpy(dtype=float))


@pytest.mark.parametrize(
    "text",
    [
        HEAD + "1 2 # a comment\n",
        HEAD + "1 two\n",
        HEAD + "1 2 3\n",
        HEAD + "1 2\n\ndata_more\n\nloop_\n_a #1\n3\n",
        HEAD + "1 nan\n",
        HEAD + "1 2\n\n3 4\n",
        "data_x\n" + HEAD + "1 2\n",
        "",
    ],
)
def test_steps_aside(tmp_path: Path, text: str) -> None:
    (tmp_path / "a.star").write_text(text)
    assert read_number_loop(tmp_path / "a.star") is None


def test_crlf(tmp_path: Path) -> None:
    (tmp_path / "a.star").write_bytes((HEAD + "112.25 37.5\n").replace("\n", "\r\n").encode())
    found = open_coordinates(tmp_path / "a.star").read("any")
    assert found is not None
    np.testing.assert_array_equal(found.yx, [[37.5, 112.25]])


def test_absent_file(tmp_path: Path) -> None:
    assert read_number_loop(tmp_path / "absent.star") is None
