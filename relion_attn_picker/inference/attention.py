"""The four attention gates of a network over a whole micrograph, or a window of it, tile by tile.

What this module does not do: it judges nothing, and picks nothing; the tiles are those of picking.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from relion_attn_picker.errors import InputError
from relion_attn_picker.gate_maps import GateMap, Window
from relion_attn_picker.imaging.prepare import NetworkImage, prepare_image
from relion_attn_picker.imaging.tiles import TileBlender, plan_tiles
from relion_attn_picker.inference.hybrid_folder import hybrid_checkpoints, is_hybrid
from relion_attn_picker.inference.network import HALO, DeviceNetwork, use_tiles_that_fit
from relion_attn_picker.inference.weights import find_weights
from relion_attn_picker.io.checkpoint import read_checkpoint, read_header
from relion_attn_picker.model_spec import CheckpointHeader
from relion_attn_picker.models.attention_unet import AttentionUNet
from relion_attn_picker.models.unet import SKIP_LEVELS, STRIDE
from relion_attn_picker.options import ATTENTION, InferenceOptions
from relion_attn_picker.picks import FloatArray


@dataclass(frozen=True)
class Region:
    """Network pixels ``[start, stop)`` along y and x; both starts are multiples of the network's stride."""

    rows: tuple[int, int]
    columns: tuple[int, int]

    @property
    def shape(self) -> tuple[int, int]:
        """Height and width."""
        return self.rows[1] - self.rows[0], self.columns[1] - self.columns[0]

    def grow(self, margin: int, shape: tuple[int, int]) -> Region:
        """Return the region with a margin, rounded up to whole strides, as far as the image ``shape`` reaches."""
        whole = -(-margin // STRIDE) * STRIDE
        rows, columns = (
            (max(0, start - whole), min(length, stop + whole))
            for (start, stop), length in zip((self.rows, self.columns), shape, strict=True)
        )
        return Region(rows, columns)


class AttentionNetwork:
    """A network with attention gates, on one device.

    Parameters
    ----------
    model
        A network of ``models`` with gates; the original stays as it is.
    header
        The header of its checkpoint.
    options
        Device, threads and tile size; it runs in float32 always.
    """

    def __init__(self, model: AttentionUNet, header: CheckpointHeader, options: InferenceOptions) -> None:
        self.header = header
        self._network = DeviceNetwork(model, replace(options, precision="float32"))
        self._options = options

    def see(
        self, image: FloatArray, pixel_size: float, particle_diameter: float, window: Window | None = None
    ) -> tuple[GateMap, ...]:
        """Return the maps of the four gates, the finest first.

        Parameters
        ----------
        image
            The whole micrograph, shape ``(h, w)``: a window is standardised as picking does, with all of it.
        pixel_size
            Å per pixel of ``image``.
        particle_diameter
            Å.
        window
            Which part to look at; the maps then cover it and reach to the next whole pixel of the coarsest level.

        Raises
        ------
        InputError
            If the diameter is absurd for this image.
        """
        header = self.header
        prepared = prepare_image(
            image,
            pixel_size,
            particle_diameter,
            header.particle_diameter_px,
            header.normalization,
            workers=self._options.threads,
        )
        factor = prepared.pixel_size / pixel_size
        shape = (prepared.values.shape[0], prepared.values.shape[1])
        region = find_region(window, factor, shape)
        maps = run_gates(self._network, prepared, region, self._options.tile_size)
        return tuple(
            place_gate(level, values, region, pixel_size, factor)
            for level, values in zip(SKIP_LEVELS, maps, strict=True)
        )


def load_attention(path: Path, options: InferenceOptions) -> AttentionNetwork:
    """Build the network of a checkpoint that ``find_attention`` gave; torch gets ``options.threads`` threads.

    Raises
    ------
    CheckpointError
        If the checkpoint cannot be used.
    DeviceError
        If the GPU that was asked for is not there.
    """
    torch.set_num_threads(options.threads)
    checkpoint = read_checkpoint(path)
    model = AttentionUNet(checkpoint.header.spec.base_features)
    checkpoint.load_into(model, path)
    return AttentionNetwork(model, checkpoint.header, options)


def find_attention(path: Path | None) -> Path:
    """Return the checkpoint of an attention network that a user's choice means; of a hybrid, its member.

    Raises
    ------
    InputError
        If the network has no gates, or there are no weights.
    CheckpointError
        If a file cannot be read.
    """
    found = find_weights(ATTENTION if path is None else None, path)
    if is_hybrid(found):
        found = hybrid_checkpoints(found)[ATTENTION]
    architecture = read_header(found).spec.architecture
    if architecture != ATTENTION:
        raise InputError(
            f"{found} holds the network {architecture!r}, which has no attention gates to look at: give weights of the "
            "attention network, or leave out --weights to take the released ones."
        )
    return found


def find_region(window: Window | None, factor: float, shape: tuple[int, int]) -> Region:
    """Return which network pixels a window of the micrograph lies on, whole pixels of the coarsest level.

    Network pixel n is centred on micrograph pixel n · ``factor`` and reaches half of ``factor`` to both sides; a
    micrograph pixel reaches half a pixel. ``shape`` is that of the network's image.
    """
    if window is None:
        return Region((0, shape[0]), (0, shape[1]))
    spans = []
    for first, count, length in ((window.top, window.height, shape[0]), (window.left, window.width, shape[1])):
        begin = max(0, math.floor((first - 0.5) / factor + 0.5))
        end = math.ceil((first + count - 0.5) / factor + 0.5)
        start = min(begin, length - 1) // STRIDE * STRIDE
        spans.append((start, min(length, -(-end // STRIDE) * STRIDE)))
    return Region(*spans)


def run_gates(network: DeviceNetwork, image: NetworkImage, region: Region, tile_size: int) -> list[FloatArray]:
    """Return the ``α`` of each gate, the finest first, on a region of an image.

    The region is looked at with as much context as the network can see, in the tiles of picking: what comes out is
    what the whole image in one piece would give.

    Returns
    -------
    list of FloatArray
        Shape ``(⌈h/2ˡ⌉, ⌈w/2ˡ⌉)`` of the region's ``(h, w)``, with ``l`` = 0 … 3.

    Raises
    ------
    DeviceError
        If the memory of the GPU does not suffice for small tiles either.
    """
    context = region.grow(HALO, (image.values.shape[0], image.values.shape[1]))
    pixels = image.values[slice(*context.rows), slice(*context.columns)]
    maps = use_tiles_that_fit(network, max(context.shape), tile_size, lambda size: _run_tiles(network, pixels, size))
    steps = [2**level for level in range(len(SKIP_LEVELS))]
    top, left = region.rows[0] - context.rows[0], region.columns[0] - context.columns[0]
    return [
        alpha[top // step :, left // step :][: -(-region.shape[0] // step), : -(-region.shape[1] // step)]
        for step, alpha in zip(steps, maps, strict=True)
    ]


def _run_tiles(network: DeviceNetwork, pixels: FloatArray, tile_size: int) -> list[FloatArray]:
    """Return the ``α`` of each gate on all of ``pixels``."""
    shape = (pixels.shape[0], pixels.shape[1])
    steps = [2**level for level in range(len(SKIP_LEVELS))]
    blenders = [TileBlender((-(-shape[0] // step), -(-shape[1] // step))) for step in steps]
    for row, column in plan_tiles(shape, tile_size, HALO, STRIDE):
        maps = network.attention(network.load(pixels[row.start : row.stop, column.start : column.stop]))
        for step, blender, alpha in zip(steps, blenders, maps, strict=True):
            height, width = row.coarsen(step), column.coarsen(step)
            seen = alpha[: height.stop - height.start, : width.stop - width.start]  # the rest is padding
            blender.add(height, width, seen)
    return [blender.result() for blender in blenders]


def place_gate(name: str, values: FloatArray, region: Region, pixel_size: float, factor: float) -> GateMap:
    """Say where the map of a gate lies on the micrograph.

    A pixel of level l (from 0) stands for 2ˡ × 2ˡ network pixels, of which it has the middle: network pixel
    2ˡ k + (2ˡ - 1) / 2. Images are padded at their far edges only, and network pixel (0, 0) is centred on micrograph
    pixel (0, 0) (see ``imaging.resample``), so that the way to the micrograph is the one factor.

    Parameters
    ----------
    name, values
        The gate's level and its ``α`` on ``region``.
    region
        Network pixels.
    pixel_size
        Å per pixel of the micrograph.
    factor
        Micrograph pixels per network pixel.
    """
    step = 2 ** SKIP_LEVELS.index(name)
    middle = (step - 1) / 2
    origin = ((region.rows[0] + middle) * factor, (region.columns[0] + middle) * factor)
    return GateMap(name, values, step * factor * pixel_size, step * factor, origin)
