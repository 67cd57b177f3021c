"""Whole files or none."""

from __future__ import annotations

import pytest

from relion_attn_picker.report.figure import make_figure, replace_file, save_png


def test_png_is_written_whole_and_nothing_beside_it(tmp_path):
    save_png(make_figure(1.0, 1.0), tmp_path / "empty.png")
    assert (tmp_path / "empty.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["empty.png"]


def write_half(path):
    with replace_file(path) as unfinished:
        unfinished.write_text("half")
        raise RuntimeError("stopped in the middle")


def test_failure_keeps_the_old_file_and_leaves_nothing_else(tmp_path):
    path = tmp_path / "file.txt"
    path.write_text("old")
    with pytest.raises(RuntimeError, match="stopped in the middle"):
        write_half(path)
    assert path.read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["file.txt"]
