"""The pages of a job's logfile that show what it picked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from relion_attn_picker.io.mrc import write_image
from relion_attn_picker.report.example_pages import Example, plot_examples

POINTS = {"rejected": np.array([[60.0, 30.0]]), "pick": np.array([[10.0, 20.0], [40.0, 50.0]])}


@pytest.fixture
def examples(tmp_path: Path) -> list[Example]:
    shown = []
    for name in ("a.mrc", "b.mrc", "c.mrc"):
        write_image(tmp_path / name, np.random.default_rng(1).normal(size=(80, 90)).astype(np.float32), 5.0)
        points = {kind: yx.astype(np.float32) for kind, yx in POINTS.items()}
        shown.append(Example(f"Micrographs/{name}", tmp_path / name, (80, 90), points, 20.0))
    return shown


def titles(pages: list[Figure]) -> list[str]:
    return [page.axes[0].texts[0].get_text() for page in pages]


def test_scores_and_micrographs_are_shown(examples: list[Example]) -> None:
    merit = np.array([0.9, 0.8, 0.7, 0.2], dtype=np.float32)
    scores, *pictures = plot_examples(merit, 0.5, examples)
    legend = scores.axes[0].get_legend()
    assert legend is not None
    assert legend.get_texts()[0].get_text() == "threshold 0.5: 3 of 4 candidates reach it"
    assert titles(pictures) == [each.name for each in examples]
    for page in pictures:
        assert [text.get_text() for text in page.legends[0].get_texts()] == ["1 rejected", "2 picks"]


def test_what_is_not_there_has_no_page(examples: list[Example]) -> None:
    examples[1].path.unlink()
    write_image(examples[2].path, np.zeros((10, 10), dtype=np.float32), 5.0)  # another image by now
    assert titles(plot_examples(None, 0.5, examples)) == ["Micrographs/a.mrc"]
    assert plot_examples(None, 0.5, []) == []
