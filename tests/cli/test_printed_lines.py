"""What a job prints while it picks, and at its end."""

from __future__ import annotations

from pathlib import Path

import pytest

from relion_attn_picker.cli._picking import ProgressLines, describe_scale, print_summary
from relion_attn_picker.evaluation.score_curve import ScoreCurve
from relion_attn_picker.inference.operating_point import OperatingPoint
from relion_attn_picker.jobs.picking.job import MicrographResult
from relion_attn_picker.jobs.picking.request import JobSummary
from relion_attn_picker.micrograph import Micrograph, OpticsGroup
from relion_attn_picker.options import PickOptions
from relion_attn_picker.relion.job import JobDirectory


def a_result(name: str, n_picks: int = 5, *, done_before: bool = False, reason: str | None = None) -> MicrographResult:
    micrograph, seconds = Micrograph(name, OpticsGroup(1, "opticsGroup1", 1.0)), 0.0 if done_before else 2.0
    return MicrographResult(micrograph, n_picks, seconds=seconds, skipped=done_before, reason=reason)


def test_what_was_done_before_takes_one_line_where_it_follows_each_other(capsys: pytest.CaptureFixture[str]) -> None:
    results = [a_result(f"Movies/m{number:04d}.mrc", done_before=True) for number in range(1, 4001)]
    results[2000] = a_result("Movies/new.mrc", 7)
    results[3998] = a_result("Movies/bad.mrc", reason="It is torn.")
    with ProgressLines(len(results)) as progress:
        for number, result in enumerate(results, start=1):
            progress.report(number, result)
    said = capsys.readouterr()
    assert said.out.splitlines() == [
        "1-2000/4000 m0001.mrc to m2000.mrc 10000 picks done before",
        "2001/4000 new.mrc 7 picks 2.00 s",
        " About 67 min for the other 1999 micrographs.",
        "2002-3998/4000 m2002.mrc to m3998.mrc 9985 picks done before",
        "3999/4000 bad.mrc FAILED",
        "4000/4000 m4000.mrc 5 picks done before",
    ]
    assert said.err == "WARNING: Movies/bad.mrc is left out: It is torn.\n"


@pytest.mark.parametrize(
    ("sizes", "line"),
    [
        ((1.5, 1.5), " Particles of 150 Å are 100 pixels of 1.5 Å wide; usual boxes: 150 to 200 pixels."),
        ((1.77,), " Particles of 150 Å are 85 pixels of 1.77 Å wide; usual boxes: 128 to 170 pixels."),
        ((1.5, 1.2, 1.25), " Particles of 150 Å are 100 to 125 pixels of 1.5 to 1.2 Å wide."),
    ],
)
def test_scale_is_told_with_even_boxes(sizes: tuple[float, ...], line: str) -> None:
    micrographs = [Micrograph(f"{size}.mrc", OpticsGroup(1, "opticsGroup1", size)) for size in sizes]
    assert describe_scale(micrographs, 150.0) == line


def test_an_end_on_the_way_tells_what_was_done(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(KeyboardInterrupt), ProgressLines(9, "selected anew") as progress:
        for number in (1, 2):
            progress.report(number, a_result(f"{number}.mrc", done_before=True))
        raise KeyboardInterrupt
    assert capsys.readouterr().out == "1-2/9 1.mrc to 2.mrc 10 picks selected anew\n"


@pytest.mark.parametrize(("n_picks", "advice"), [(3, "attnpick diameter estimates one"), (0, "and the border first")])
def test_raised_cut_tells_what_to_do_if_there_are_particles(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], n_picks: int, advice: str
) -> None:
    point = OperatingPoint(0.9, "raised, as these micrographs seem empty", ScoreCurve((0.1, 0.9), (0.05, 0.95)))
    options = PickOptions(particle_diameter=100)
    summary = JobSummary([a_result("a.mrc", n_picks)], options, point, None, "a.safetensors")
    print_summary(JobDirectory.open(str(tmp_path)), summary)
    said = capsys.readouterr().out
    assert f"{advice}\n If they are faint, --mode recall picks more of them, and more dirt\n" in said
    assert "expected of these picks" not in said
