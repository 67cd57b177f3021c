"""The table and the pictures of a self-training."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
from matplotlib.image import imread

from relion_attn_picker.report.self_training import RoundRecord, draw_rounds, draw_scores, format_rounds, write_rounds


def figures(value: float, *names: str) -> dict[str, float]:
    means = {"average_precision": value, "best_f1": value - 0.1, "f1": value - 0.2, "threshold": 0.3}
    sets = {f"{name}: {figure}": value for name in names for figure in ("average_precision", "best_f1", "f1")}
    return means | sets


def rounds(*names: str) -> list[RoundRecord]:
    labels = {"positive": 0.6, "negative": 0.1, "n_micrographs": 3, "n_positive": 40, "n_ignored": 50}
    return [
        RoundRecord(iteration=0, teacher=None, kept=True, remark="supervised", figures=figures(0.8, *names)),
        RoundRecord(iteration=1, teacher=0, kept=False, remark="worse", figures=figures(0.7, *names), **labels),
        RoundRecord(iteration=2, teacher=0, kept=False, remark="nothing found", positive=0.6, negative=0.1),
    ]


def cells(line: str) -> list[str]:
    return [cell.strip() for cell in line.strip("|").split("|")]


def test_table_has_one_row_a_round() -> None:
    lines = format_rounds(rounds("one")).splitlines()
    assert len({len(line) for line in lines[:5]}) == 1  # it reads well in a terminal
    assert cells(lines[2]) == ["0", *"––––––", "0.800", "0.700", "0.600", "0.30", "yes"]
    assert cells(lines[3]) == ["1", "0", "0.600", "0.100", "3", "40", "50", "0.700", "0.600", "0.500", "0.30", "no"]
    assert cells(lines[4]) == ["2", "0", "0.600", "0.100", "0", "0", "0", *"––––", "no"]
    assert lines[-5:-2] == ["- round 0: supervised", "- round 1: worse", "- round 2: nothing found"]
    assert lines[-1].startswith("Rounds are judged on the labelled micrographs that were held out, and on nothing else")


def test_several_held_out_sets_have_a_table_of_their_own() -> None:
    text = format_rounds(rounds("one", "two: of 3"))
    assert "two: of 3" in text
    assert "0.700 / 0.700 / 0.700" in text
    assert "means over the held-out sets" not in format_rounds(rounds("one"))


def test_files_are_written(tmp_path: Path) -> None:
    write_rounds(tmp_path, rounds("one"))
    assert {path.name for path in tmp_path.iterdir()} == {"rounds.md", "rounds.csv", "rounds.png"}
    assert (tmp_path / "rounds.md").read_text() == format_rounds(rounds("one")) + "\n"
    with (tmp_path / "rounds.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["n_positive"] for row in rows] == ["0", "40", "0"]
    assert [row["one: f1"] for row in rows] == ["0.8", "0.7", ""]
    assert [row["remark"] for row in rows] == ["supervised", "worse", "nothing found"]


def test_rounds_that_were_not_kept_are_drawn_otherwise(tmp_path: Path) -> None:
    draw_rounds(tmp_path / "lost.png", rounds()[:2])
    kept = RoundRecord(**{**vars(rounds()[1]), "kept": True})
    draw_rounds(tmp_path / "kept.png", [rounds()[0], kept])
    assert (imread(tmp_path / "lost.png") != imread(tmp_path / "kept.png")).any()


def test_scores_are_drawn_with_and_without_candidates(tmp_path: Path) -> None:
    draw_scores(tmp_path / "scores.png", np.linspace(0.05, 0.9, 100), 0.6, 0.1)
    draw_scores(tmp_path / "none.png", np.zeros(0), 0.6, 0.1)
    assert imread(tmp_path / "scores.png").shape == imread(tmp_path / "none.png").shape
