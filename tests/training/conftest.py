"""A labelled source that needs no file: dark discs on noise."""

from __future__ import annotations

from functools import partial

import numpy as np
import pytest

from relion_attn_picker.io.hdf5 import CropFile
from relion_attn_picker.model_spec import Normalization
from relion_attn_picker.training.crops import FieldSource, LabelledImage, LabelledSource
from relion_attn_picker.training.mixture import Mixture
from relion_attn_picker.training_options import CropOptions


def make_labelled_image(seed: int, shape: tuple[int, int] = (220, 260)) -> LabelledImage:
    """Dark discs of 100 Å at 5 Å per pixel on noise, with their centres."""
    rng = np.random.default_rng(seed)
    grid = np.stack(np.meshgrid([55.0, 165.0], [35.0, 100.0, 165.0, 230.0], indexing="ij"), axis=-1).reshape(-1, 2)
    yx = (grid + rng.uniform(-18, 18, grid.shape)).astype(np.float32)
    image = rng.normal(100, 10, shape).astype(np.float32)
    rows, columns = np.mgrid[: shape[0], : shape[1]]
    for y, x in yx:
        image[np.hypot(rows - y, columns - x) < 10] -= 25
    return LabelledImage(image, 5.0, 100.0, yx, np.zeros((0, 2), dtype=np.float32))


def mix(crops: CropFile, fields: FieldSource | None = None) -> Mixture:
    """Mix a crop file and, if given, fields cut in the same manner."""
    attributes = crops.attributes
    return Mixture(crops, fields, CropOptions(**attributes["options"]), Normalization(**attributes["normalization"]))


@pytest.fixture
def source() -> LabelledSource:
    """Four micrographs."""
    return LabelledSource("discs", "dark discs", [partial(make_labelled_image, seed) for seed in range(4)])
