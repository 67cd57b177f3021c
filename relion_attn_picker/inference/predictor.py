"""From a micrograph's pixels to its probability map.

A predictor is built once per device and passed in. Whatever stands behind it (one network now), ``predict`` takes the
pixels of a micrograph and gives a ``ProbabilityMap`` at the network's own scale.
"""

from __future__ import annotations

import copy
import logging
from pathlib import Path
from typing import Final, Protocol

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from relion_attn_picker.imaging.prepare import NetworkImage, prepare_image
from relion_attn_picker.imaging.tiles import TileBlender, plan_tiles
from relion_attn_picker.inference.devices import choose_device, is_faster_in_bfloat16
from relion_attn_picker.io.checkpoint import read_checkpoint
from relion_attn_picker.model_spec import CheckpointHeader
from relion_attn_picker.models.builders import build_model
from relion_attn_picker.models.unet import STRIDE, receptive_field
from relion_attn_picker.options import InferenceOptions
from relion_attn_picker.picks import FloatArray, ProbabilityMap

log = logging.getLogger(__name__)

HALO: Final = receptive_field() // 2 + 1
"""Network pixels on each side of a pixel that its answer can depend on."""

PRECISION_TOLERANCE: Final = 0.03
"""Largest difference of a probability that bfloat16 may make before float32 is taken instead."""

DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class Predictor(Protocol):
    """What the pipeline needs of a picker: preparing (CPU threads) and predicting (the device) are separate steps."""

    @property
    def header(self) -> CheckpointHeader:
        """What travels with the weights."""

    def prepare(self, image: FloatArray, pixel_size: float, particle_diameter: float) -> NetworkImage:
        """Bring an image ``(h, w)`` of ``pixel_size`` Å per pixel to the network's scale."""

    def predict(self, image: NetworkImage) -> ProbabilityMap:
        """Return the probability map of a prepared image."""


class ModelPredictor:
    """One network on one device.

    Parameters
    ----------
    model
        A network of ``models``; a copy of it is fused and moved, the original stays as it is.
    header
        The header of its checkpoint.
    options
        Device, precision and tile size.
    """

    def __init__(self, model: nn.Module, header: CheckpointHeader, options: InferenceOptions) -> None:
        self.header = header
        self.device = choose_device(options.gpu)
        self._tile_size = options.tile_size
        self._threads = options.threads
        fused = fuse_batch_norms(copy.deepcopy(model).eval())
        self._model = fused.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.precision = options.precision
        self._unchecked = False
        if self.precision == "auto":
            self._unchecked = is_faster_in_bfloat16(self.device)
            self.precision = "bfloat16" if self._unchecked else "float32"

    def prepare(self, image: FloatArray, pixel_size: float, particle_diameter: float) -> NetworkImage:
        """Bring an image ``(h, w)`` of ``pixel_size`` Å per pixel to the network's scale."""
        return prepare_image(
            image,
            pixel_size,
            particle_diameter,
            self.header.particle_diameter_px,
            self.header.normalization,
            workers=self._threads,
        )

    def predict(self, image: NetworkImage) -> ProbabilityMap:
        """Return the probability map of a prepared image, tile by tile where it is large."""
        if self._unchecked:
            self._compare_precisions(image)
        shape = (image.values.shape[0], image.values.shape[1])
        blender = TileBlender(shape)
        for row, column in plan_tiles(shape, self._tile_size, HALO, STRIDE):
            tile = image.values[row.start : row.stop, column.start : column.stop]
            blender.add(row, column, self._probabilities(tile, self.precision))
        return ProbabilityMap(blender.result(), image.pixel_size)

    @torch.inference_mode()
    def _probabilities(self, values: FloatArray, precision: str) -> FloatArray:
        images: Tensor = torch.from_numpy(values[None, None]).to(self.device, memory_format=torch.channels_last)
        with torch.autocast(self.device.type, dtype=DTYPES[precision], enabled=precision != "float32"):
            logits = self._model(images)
        probabilities: FloatArray = torch.sigmoid(logits[0, 0].float()).cpu().numpy()
        return probabilities

    def _compare_precisions(self, image: NetworkImage) -> None:
        """Keep bfloat16 only if it gives the probabilities of float32 on the middle of the first image."""
        self._unchecked = False
        height, width = image.values.shape
        top, left = max(0, height // 2 - 256), max(0, width // 2 - 256)
        window = image.values[top : top + 512, left : left + 512]
        difference = abs(self._probabilities(window, "bfloat16") - self._probabilities(window, "float32")).max()
        if difference > PRECISION_TOLERANCE:
            log.warning("bfloat16 changes probabilities by up to %.3f here: float32 is used instead.", difference)
            self.precision = "float32"


def fuse_batch_norms(model: nn.Module) -> nn.Module:
    """Fold every batch norm into the convolution before it, in place: the same answer with less to compute."""
    for module in list(model.modules()):
        if isinstance(module, nn.Sequential):
            for index in range(len(module) - 1):
                convolution, norm = module[index], module[index + 1]
                if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    module[index] = fuse_conv_bn_eval(convolution, norm)
                    module[index + 1] = nn.Identity()
    return model


def load_predictor(path: Path, options: InferenceOptions) -> ModelPredictor:
    """Build the predictor of the checkpoint at ``path``; torch gets ``options.threads`` threads in this process.

    Raises
    ------
    CheckpointError
        If the checkpoint cannot be used.
    DeviceError
        If the GPU that was asked for is not there.
    """
    torch.set_num_threads(options.threads)
    checkpoint = read_checkpoint(path)
    model = build_model(checkpoint.header.spec)
    checkpoint.load_into(model, path)
    return ModelPredictor(model, checkpoint.header, options)
