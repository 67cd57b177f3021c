"""From a micrograph's pixels to what a picker says of it: one network, or the hybrid of two, behind one interface.

A predictor is built once per device and passed in.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Protocol

import torch
from torch import nn

from relion_attn_picker.imaging.prepare import NetworkImage, prepare_image
from relion_attn_picker.inference.answers import Answer, HybridAnswer, NetworkAnswer
from relion_attn_picker.inference.combination import Combination
from relion_attn_picker.inference.hybrid_folder import is_hybrid, read_hybrid, refuse_different_scales
from relion_attn_picker.inference.network import DeviceNetwork, run_networks
from relion_attn_picker.io.checkpoint import read_checkpoint
from relion_attn_picker.model_spec import Calibration, CheckpointHeader
from relion_attn_picker.models.builders import build_model
from relion_attn_picker.options import ATTENTION, STANDARD, InferenceOptions
from relion_attn_picker.picks import FloatArray, ProbabilityMap


class Predictor(Protocol):
    """What the pipeline needs of a picker: preparing (CPU threads), looking (the device) and finding are separate."""

    @property
    def header(self) -> CheckpointHeader:
        """What travels with the weights."""

    @property
    def precision(self) -> str:
        """In which the networks run now, in words: the first image may change it."""

    def prepare(self, image: FloatArray, pixel_size: float, particle_diameter: float) -> NetworkImage:
        """Bring an image ``(h, w)`` of ``pixel_size`` Å per pixel to the network's scale."""

    def answer(self, image: NetworkImage) -> Answer:
        """Look at a prepared image; the answer has the map and finds the peaks."""

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
        self._network = DeviceNetwork(model, options)
        self._options = options

    @property
    def device(self) -> torch.device:
        """On which the network runs."""
        return self._network.device

    @property
    def precision(self) -> str:
        """In which the network runs now."""
        return self._network.precision

    def prepare(self, image: FloatArray, pixel_size: float, particle_diameter: float) -> NetworkImage:
        """Bring an image ``(h, w)`` of ``pixel_size`` Å per pixel to the network's scale."""
        return _prepare(image, pixel_size, particle_diameter, self.header, self._options.threads)

    def answer(self, image: NetworkImage) -> NetworkAnswer:
        """Look at a prepared image, tile by tile where it is large."""
        return NetworkAnswer(*run_networks([self._network], image, self._options.tile_size))

    def predict(self, image: NetworkImage) -> ProbabilityMap:
        """Return the probability map of a prepared image."""
        return self.answer(image).probability_map


class HybridPredictor:
    """Two networks on one device that look at the same prepared image in one pass.

    Parameters
    ----------
    models, headers
        The attention network and the standard network, and the headers of their checkpoints, in this order.
    combination
        How two answers become one.
    calibration
        The operating point of the hybrid.
    options
        Device, precision and tile size.

    Raises
    ------
    CheckpointError
        If the two networks expect images of different scale or normalisation.
    """

    def __init__(
        self,
        models: tuple[nn.Module, nn.Module],
        headers: tuple[CheckpointHeader, CheckpointHeader],
        combination: Combination,
        calibration: Calibration,
        options: InferenceOptions,
    ) -> None:
        refuse_different_scales(*headers)
        margin = min(header.label_margin for header in headers)
        self.header = replace(headers[0], calibration=calibration, label_margin=margin)
        self._networks = [DeviceNetwork(model, options) for model in models]
        self._combination = combination
        self._options = options

    @property
    def device(self) -> torch.device:
        """On which the networks run."""
        return self._networks[0].device

    @property
    def precision(self) -> str:
        """In which the networks run now."""
        return " and ".join(dict.fromkeys(network.precision for network in self._networks))

    def prepare(self, image: FloatArray, pixel_size: float, particle_diameter: float) -> NetworkImage:
        """Bring an image ``(h, w)`` of ``pixel_size`` Å per pixel to the scale of both networks."""
        return _prepare(image, pixel_size, particle_diameter, self.header, self._options.threads)

    def answer(self, image: NetworkImage) -> HybridAnswer:
        """Let both networks look at a prepared image."""
        attention, standard = run_networks(self._networks, image, self._options.tile_size)
        return HybridAnswer(attention, standard, self._combination)

    def predict(self, image: NetworkImage) -> ProbabilityMap:
        """Return the combined map of a prepared image."""
        return self.answer(image).probability_map


def _prepare(
    image: FloatArray, pixel_size: float, particle_diameter: float, header: CheckpointHeader, threads: int
) -> NetworkImage:
    return prepare_image(
        image, pixel_size, particle_diameter, header.particle_diameter_px, header.normalization, workers=threads
    )


def load_predictor(path: Path, options: InferenceOptions) -> Predictor:
    """Build the predictor of a checkpoint, or of a hybrid's folder; torch gets ``options.threads`` threads.

    Raises
    ------
    CheckpointError
        If a checkpoint or the hybrid's calibration cannot be used.
    DeviceError
        If the GPU that was asked for is not there.
    """
    torch.set_num_threads(options.threads)
    if not is_hybrid(path):
        return ModelPredictor(*_load_model(path), options)
    hybrid = read_hybrid(path)
    if hybrid.falls_back_to is not None:
        return ModelPredictor(*_load_model(hybrid.checkpoints[hybrid.falls_back_to]), options)
    (attention, attention_header), (standard, standard_header) = (
        _load_model(hybrid.checkpoints[name]) for name in (ATTENTION, STANDARD)
    )
    return HybridPredictor(
        (attention, standard),
        (attention_header, standard_header),
        hybrid.combination,
        Calibration(hybrid.threshold, "attnpick calibrate"),
        options,
    )


def load_pair(checkpoints: Mapping[str, Path], options: InferenceOptions) -> HybridPredictor:
    """Build both networks as a hybrid that averages them, for whoever needs both answers.

    Raises
    ------
    CheckpointError
        If a checkpoint cannot be used, or the two expect images of different scale or normalisation.
    """
    torch.set_num_threads(options.threads)
    (attention, ours), (standard, theirs) = (_load_model(checkpoints[name]) for name in (ATTENTION, STANDARD))
    return HybridPredictor((attention, standard), (ours, theirs), Combination("average"), Calibration(), options)


def _load_model(path: Path) -> tuple[nn.Module, CheckpointHeader]:
    checkpoint = read_checkpoint(path)
    model = build_model(checkpoint.header.spec)
    checkpoint.load_into(model, path)
    return model, checkpoint.header
