"""Whole files or none."""

from __future__ import annotations

from relion_attn_picker.report.figure import make_figure, save_png


def test_png_is_written_whole_and_nothing_beside_it(tmp_path):
    save_png(make_figure(1.0, 1.0), tmp_path / "empty.png")
    assert (tmp_path / "empty.png").read_bytes().startswith(b"\x89PNG")
    assert [path.name for path in tmp_path.iterdir()] == ["empty.png"]
