"""The PDF read back by an independent reader."""

from __future__ import annotations

import subprocess
import sys
import time

import numpy as np
import pytest
from pypdf import PdfReader

from relion_attn_picker.report.logfile import plot_scores, write_logfile

TITLES = (
    "Nr of picked particles for all micrographs",
    "Histogram of nr of picked particles per micrograph",
    "Average autopick FOM for all micrographs",
    "Histogram of average autopick FOM per micrograph",
)


def read_pages(path):
    return [" ".join(page.extract_text().split()) for page in PdfReader(path, strict=True).pages]


def test_four_pages_with_the_titles_of_relion_in_its_order(tmp_path):
    write_logfile(tmp_path / "logfile.pdf", [10, 20, 15, 12], [0.5, 0.6, 0.7, 0.8])
    pages = read_pages(tmp_path / "logfile.pdf")
    assert len(pages) == 4
    assert all(title in page for title, page in zip(TITLES, pages, strict=True))
    assert [path.name for path in tmp_path.iterdir()] == ["logfile.pdf"]


@pytest.mark.parametrize("n", [1, 3])
def test_up_to_three_micrographs_have_no_histograms(tmp_path, n):
    write_logfile(tmp_path / "logfile.pdf", [7] * n, [0.5] * n)
    pages = read_pages(tmp_path / "logfile.pdf")
    assert len(pages) == 2
    assert TITLES[0] in pages[0]
    assert TITLES[2] in pages[1]


def test_no_micrographs_still_give_a_valid_pdf(tmp_path):
    write_logfile(tmp_path / "logfile.pdf", [], [])
    pages = read_pages(tmp_path / "logfile.pdf")
    assert len(pages) == 2
    assert all("no micrograph with picks" in page for page in pages)


def test_no_picks_on_any_micrograph(tmp_path):
    write_logfile(tmp_path / "logfile.pdf", [0] * 5, [np.nan] * 5)
    pages = read_pages(tmp_path / "logfile.pdf")
    assert len(pages) == 4
    assert "no micrograph with picks" in pages[2]


def test_mean_leaves_out_micrographs_without_picks(tmp_path):
    write_logfile(tmp_path / "logfile.pdf", [3, 0, 5, 4], [0.4, np.nan, 0.6, 0.5])
    assert "mean 0.5" in read_pages(tmp_path / "logfile.pdf")[2]


def test_twenty_thousand_micrographs_make_a_small_file_in_little_time(tmp_path):
    rng = np.random.default_rng(0)
    start = time.perf_counter()
    write_logfile(tmp_path / "logfile.pdf", rng.poisson(300, 20_000).tolist(), rng.random(20_000).tolist())
    assert time.perf_counter() - start < 15
    assert (tmp_path / "logfile.pdf").stat().st_size < 500_000
    assert len(read_pages(tmp_path / "logfile.pdf")) == 4


def test_same_figures_give_the_same_file(tmp_path):
    for name in ("a.pdf", "b.pdf"):
        write_logfile(tmp_path / name, [1, 2, 3, 4], [0.1, 0.2, 0.3, 0.4])
    assert (tmp_path / "a.pdf").read_bytes() == (tmp_path / "b.pdf").read_bytes()


def test_lengths_that_differ_are_refused(tmp_path):
    with pytest.raises(ValueError, match="2 counts and 1 mean scores"):
        write_logfile(tmp_path / "logfile.pdf", [1, 2], [0.5])
    assert not any(tmp_path.iterdir())


def test_pyplot_is_never_imported(tmp_path):
    code = (
        "import sys; from pathlib import Path; from relion_attn_picker.report.logfile import write_logfile;"
        "import relion_attn_picker.report.picks_image, relion_attn_picker.report.curves;"
        "write_logfile(Path(sys.argv[1]), [1] * 5, [0.5] * 5); print('matplotlib.pyplot' in sys.modules)"
    )
    command = [sys.executable, "-c", code, str(tmp_path / "logfile.pdf")]
    assert subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip() == "False"


def test_further_pages_come_last(tmp_path):
    more = [plot_scores(np.array([0.1, 0.6], dtype=np.float32), 0.5)]
    write_logfile(tmp_path / "logfile.pdf", [1], [0.6], more)
    assert "threshold 0.5: 1 of 2 candidates reach it" in read_pages(tmp_path / "logfile.pdf")[-1]
