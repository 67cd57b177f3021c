"""A curve of scores is what it was when it is saved and read again."""

from __future__ import annotations

import pytest

from relion_attn_picker.evaluation.score_curve import ScoreCurve


@pytest.mark.parametrize(
    ("value", "saved"),
    [
        ((0.2, 0.9999996, 0.9999999), (0.2, 0.999999, 1.0)),
        ((1e-9, 2e-9, 0.5), (0.0, 1e-6, 0.5)),
        ((0.3, 0.3000001, 0.300001), (0.3, 0.300001, 0.300002)),
        ((0.1, 0.4, 0.9), (0.1, 0.4, 0.9)),
    ],
)
def test_saved_curve_rises_where_rounding_makes_values_equal(
    value: tuple[float, ...], saved: tuple[float, ...]
) -> None:
    record = ScoreCurve((0.1, 0.5, 0.9), value).to_dict()
    assert ScoreCurve.from_dict(record).value == saved


def test_saved_curve_of_an_earlier_version_may_have_equal_values() -> None:
    assert ScoreCurve.from_dict({"score": [0.1, 0.5, 0.9], "value": [0.2, 1.0, 1.0]}).value == (0.2, 0.999999, 1.0)
    with pytest.raises(ValueError, match="rising"):
        ScoreCurve.from_dict({"score": [0.1, 0.5, 0.9], "value": [0.2, 1.0, 0.9]})


def test_a_curve_that_does_not_rise_is_refused() -> None:
    with pytest.raises(ValueError, match="rising"):
        ScoreCurve((0.1, 0.5), (0.6, 0.6))
