"""What probabilities promise against what comes of them."""

from __future__ import annotations

import numpy as np
import pytest

from relion_attn_picker.evaluation.reliability import measure_reliability


def test_reliability_of_a_known_case() -> None:
    probability = np.array([0.05, 0.05, 0.75, 0.75, 0.75, 0.75], dtype=np.float32)
    is_right = np.array([False, False, True, True, True, False])
    result = measure_reliability(probability, is_right)
    assert result.count.tolist() == [2, 0, 0, 0, 0, 0, 0, 4, 0, 0]
    np.testing.assert_allclose(result.achieved[[0, 7]], [0, 0.75])
    assert result.expected_error == pytest.approx(0.05 * 2 / 6, abs=1e-6)
    assert np.isnan(measure_reliability(probability[:0], is_right[:0]).expected_error)
