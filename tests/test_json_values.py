"""What becomes of results in JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from enum import Enum
from typing import Any

import numpy as np
import pytest

from relion_attn_picker.json_values import to_json_values


class Kind(Enum):
    """A kind."""

    GOOD = "good"


@dataclass(frozen=True)
class Row:
    """A row."""

    kind: Kind
    curve: np.ndarray[Any, Any]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf"), np.float64("nan"), np.float32("inf")])
def test_what_is_not_finite_is_none_wherever_it_stands(bad: float) -> None:
    value = {"alone": bad, "list": [bad, 1.5], "tuple": ({"deep": bad},), "array": np.array([[bad, 1.0]])}
    expected = {"alone": None, "list": [None, 1.5], "tuple": [{"deep": None}], "array": [[None, 1.0]]}
    assert to_json_values(value) == expected
    json.dumps(to_json_values(value), allow_nan=False)


def test_dataclasses_enumerations_and_arrays() -> None:
    value = {1: Row(Kind.GOOD, np.array([0.123456, 2])), "n": np.int64(3), "ok": np.bool_(True), "none": None}
    assert to_json_values(value) == {
        "1": {"kind": "good", "curve": [0.123456, 2.0]},
        "n": 3,
        "ok": True,
        "none": None,
    }


def test_only_arrays_are_rounded() -> None:
    value = {"one": 0.123456, "many": [Row(Kind.GOOD, np.array([0.123456]))]}
    rounded = {"one": 0.123456, "many": [{"kind": "good", "curve": [0.1235]}]}
    assert to_json_values(value, array_decimals=4) == rounded
