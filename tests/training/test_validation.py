"""Figures of whole micrographs, with peaks that are known."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from relion_attn_picker.imaging.prepare import NetworkImage
from relion_attn_picker.model_spec import Normalization
from relion_attn_picker.picks import ProbabilityMap
from relion_attn_picker.training.crops import LabelledImage, LabelledSource
from relion_attn_picker.training.validation import prepare_validation_set, validate

TRUE, BROKEN = (40.0, 50.0), (90.0, 100.0)


class TwoPeaks:
    """Answers .9 at a broken particle and .8 at a whole one, whatever the image."""

    def predict(self, image: NetworkImage) -> ProbabilityMap:
        """Return the map."""
        values = np.zeros(image.values.shape, dtype=np.float32)
        for (y, x), score in ((BROKEN, 0.9), (TRUE, 0.8)):
            values[round(y), round(x)] = score
        return ProbabilityMap(values, image.pixel_size)


@pytest.mark.parametrize(("ignored", "precision"), [((), 0.5), ((BROKEN,), 1.0)])
def test_picks_on_what_is_ignored_count_neither_way(
    rng: np.random.Generator, ignored: Sequence[tuple[float, float]], precision: float
) -> None:
    ignored_yx = np.array(ignored, dtype=np.float32).reshape(-1, 2)
    image = rng.normal(size=(128, 144)).astype(np.float32)
    labelled = LabelledImage(image, 5.0, 120.0, np.array([TRUE], dtype=np.float32), ignored_yx)
    source = LabelledSource("by hand", "", [lambda: labelled])
    scores = validate(TwoPeaks(), [prepare_validation_set(source, 24.0, Normalization())])  # type: ignore[arg-type]
    assert scores.average_precision == pytest.approx(precision)
