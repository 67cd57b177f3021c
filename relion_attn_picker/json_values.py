"""Results as what JSON can hold: it knows no dataclass, no array, and no number that is not finite."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from enum import Enum
from typing import Any

import numpy as np


def to_json_values(value: Any, array_decimals: int | None = None) -> Any:
    """Return a value, and all that is in it, in the types of JSON; NaN and infinities become ``None``.

    Parameters
    ----------
    value
        Of numbers, texts, dataclasses, enumerations, mappings, lists, tuples and arrays; others are left as they are.
    array_decimals
        Digits behind the point that the numbers of arrays are rounded to; ``None`` keeps them all.
    """
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        fields = {each.name: getattr(value, each.name) for each in dataclasses.fields(value)}
        return to_json_values(fields, array_decimals)
    if isinstance(value, Enum):
        return to_json_values(value.value, array_decimals)
    if isinstance(value, Mapping):
        return {str(key): to_json_values(each, array_decimals) for key, each in value.items()}
    if isinstance(value, (list, tuple)):
        return [to_json_values(each, array_decimals) for each in value]
    if isinstance(value, np.ndarray):
        rounded = value if array_decimals is None else np.round(value, array_decimals)
        return to_json_values(rounded.tolist(), array_decimals)
    if isinstance(value, np.generic):
        return to_json_values(value.item(), array_decimals)
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value
