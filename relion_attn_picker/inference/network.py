"""Networks on a device: in which precision they run, and how a large image goes through them, tile by tile.

What this module does not do: it finds no peaks; ``predictor`` does.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from relion_attn_picker.errors import DeviceError
from relion_attn_picker.imaging.prepare import NetworkImage
from relion_attn_picker.imaging.tiles import TileBlender, plan_tiles
from relion_attn_picker.inference.devices import choose_device, choose_precision, describe_device
from relion_attn_picker.models.attention_unet import AttentionUNet
from relion_attn_picker.models.unet import STRIDE, receptive_field
from relion_attn_picker.options import InferenceOptions
from relion_attn_picker.picks import FloatArray, ProbabilityMap

log = logging.getLogger(__name__)

Result = TypeVar("Result")

HALO: Final = receptive_field() // 2 + 1
"""Network pixels on each side of a pixel that its answer can depend on."""

PRECISION_TOLERANCE: Final = 0.03
"""Largest difference of a probability that bfloat16 may make before float32 is taken instead."""

SMALLEST_TILE: Final = 384
"""Side, in network pixels, below which no tile is made smaller for want of memory: half of it would be halo."""

PRECISION_WINDOW: Final = 512
"""Side, in network pixels, of the part of an image on which bfloat16 is compared with float32."""

DTYPES: Final = {"float32": torch.float32, "bfloat16": torch.bfloat16}


class DeviceNetwork:
    """One network on one device, in the precision that suits both.

    Parameters
    ----------
    model
        A network of ``models``; a copy of it is fused and moved, the original stays as it is.
    options
        Device and precision.
    """

    def __init__(self, model: nn.Module, options: InferenceOptions) -> None:
        self.device = choose_device(options.gpu)
        fused = fuse_batch_norms(copy.deepcopy(model).eval())
        self._model = fused.to(self.device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.precision = choose_precision(options.precision, self.device)
        self._unchecked = options.precision == "auto" and self.precision == "bfloat16"
        self.largest_tile: int | None = None
        """Side of the largest tile that the device's memory has room for, once a larger one had none."""

    def load(self, values: FloatArray) -> Tensor:
        """Bring pixels ``(h, w)`` to the device, as the network takes them."""
        return torch.from_numpy(values[None, None]).to(self.device, memory_format=torch.channels_last)

    def probabilities(self, images: Tensor) -> FloatArray:
        """Return the probabilities ``(h, w)`` of what ``load`` gave."""
        return self._run(images, self.precision)

    def attention(self, images: Tensor) -> list[FloatArray]:
        """Return the ``α`` of each gate, the finest first, for what ``load`` gave; in float32 always.

        Raises
        ------
        TypeError
            If the network has no gates.
        """
        if not isinstance(self._model, AttentionUNet):
            raise TypeError(f"{type(self._model).__name__} has no attention gates.")
        return [alpha[0, 0].cpu().numpy() for alpha in self._model.get_attention_maps(images).values()]

    @torch.inference_mode()
    def _run(self, images: Tensor, precision: str) -> FloatArray:
        with torch.autocast(self.device.type, dtype=DTYPES[precision], enabled=precision != "float32"):
            logits = self._model(images)
        probabilities: FloatArray = torch.sigmoid(logits[0, 0].float()).cpu().numpy()
        return probabilities

    def check_precision(self, image: NetworkImage, side: int = PRECISION_WINDOW) -> None:
        """Keep bfloat16 only if it gives the probabilities of float32 on the middle of the first image.

        The middle has ``side`` pixels each way, at most ``PRECISION_WINDOW``.
        """
        if not self._unchecked:
            return
        side = min(side, PRECISION_WINDOW)
        height, width = image.values.shape
        top, left = max(0, (height - side) // 2), max(0, (width - side) // 2)
        window = self.load(image.values[top : top + side, left : left + side])
        difference = abs(self._run(window, "bfloat16") - self._run(window, "float32")).max()
        self._unchecked = False
        if difference > PRECISION_TOLERANCE:
            log.warning("bfloat16 changes probabilities by up to %.3f here: float32 is used instead.", difference)
            self.precision = "float32"


def run_networks(networks: Sequence[DeviceNetwork], image: NetworkImage, tile_size: int) -> list[ProbabilityMap]:
    """Return the probability map of each network for one image, in one pass over its tiles.

    Parameters
    ----------
    networks
        All on one device: each tile goes there once.
    image
        As ``imaging.prepare`` makes it.
    tile_size
        Largest side, in network pixels, of what goes through a network at once; less where memory is short.

    Raises
    ------
    DeviceError
        If the memory of the GPU does not suffice for small tiles either.
    """
    longest = max(image.values.shape)
    return use_tiles_that_fit(networks[0], longest, tile_size, lambda size: _run_tiles(networks, image, size))


def _run_tiles(networks: Sequence[DeviceNetwork], image: NetworkImage, tile_size: int) -> list[ProbabilityMap]:
    for network in networks:
        network.check_precision(image, tile_size)
    shape = (image.values.shape[0], image.values.shape[1])
    blenders = [TileBlender(shape) for _ in networks]
    for row, column in plan_tiles(shape, tile_size, HALO, STRIDE):
        tile = networks[0].load(image.values[row.start : row.stop, column.start : column.stop])
        for network, blender in zip(networks, blenders, strict=True):
            blender.add(row, column, network.probabilities(tile))
    return [ProbabilityMap(blender.result(), image.pixel_size) for blender in blenders]


def use_tiles_that_fit(network: DeviceNetwork, longest: int, tile_size: int, work: Callable[[int], Result]) -> Result:
    """Return what ``work`` gives for the largest tile that the GPU's memory has room for.

    Parameters
    ----------
    network
        It remembers the size, so that the next image begins with it.
    longest
        Longer side of the image, in network pixels: a larger tile is as large as this.
    tile_size
        Largest side of a tile, in network pixels; halved while the memory does not suffice, to ``SMALLEST_TILE``.
    work
        Called with a tile size, again with another one if it ran out of memory.

    Raises
    ------
    DeviceError
        If the memory does not suffice for the smallest tile either.
    """
    first = size = min(tile_size, network.largest_tile or tile_size)
    while True:
        try:
            result = work(size)
            break
        except torch.cuda.OutOfMemoryError as error:
            side = min(size, longest)
            size = max(SMALLEST_TILE, side // 2)
            if size >= side:
                raise DeviceError(
                    f"The memory of {describe_device(network.device)} does not suffice for tiles of {side} pixels: "
                    "wait until other programs on it have ended, or give --gpu with another number, or --gpu cpu."
                ) from error
        torch.cuda.empty_cache()  # not above: until here the error keeps alive what filled the memory
    if size < first:
        network.largest_tile = size
        log.warning(
            "The memory of %s does not suffice for tiles of %d pixels: %d are used from here on.",
            describe_device(network.device),
            min(first, longest),
            size,
        )
    return result


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
