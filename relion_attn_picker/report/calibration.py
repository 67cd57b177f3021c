"""A calibration as a table for the terminal."""

from __future__ import annotations

from collections.abc import Iterator

from relion_attn_picker.io.calibration_file import CalibrationFile


def format_calibration(calibration: CalibrationFile) -> str:
    """Format the figures of both networks and of every strategy, means over the data sets, and what was decided."""
    return "\n".join(_format_lines(calibration))


def _format_lines(calibration: CalibrationFile) -> Iterator[str]:
    yield f"{'':14}{'average precision':>18}{'F1':>8}{'precision*':>12}  settings"
    for row in calibration.hybrid.table:
        figures = f"{row['average_precision']:18.4f}{row['f1']:8.4f}{row['precision_at_equal_recall']:12.4f}"
        yield f"{row['name']:14}{figures}  {row['settings']}".rstrip()
    yield "* at the recall that the better network has at its best F1, data set by data set"
    hybrid = calibration.hybrid
    taken = hybrid.falls_back_to or hybrid.combination["strategy"]
    yield f"The hybrid is {taken}: {hybrid.reason}"
