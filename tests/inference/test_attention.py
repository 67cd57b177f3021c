"""The gates over a whole micrograph: no seams, a window shows what the whole shows, and maps lie where they belong."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from relion_attn_picker.errors import InputError
from relion_attn_picker.gate_maps import GateMap, Window
from relion_attn_picker.imaging.corner_grid import lay_on_corner
from relion_attn_picker.imaging.prepare import NetworkImage
from relion_attn_picker.imaging.tiles import plan_tiles
from relion_attn_picker.inference.attention import AttentionNetwork, find_attention, find_region, run_gates
from relion_attn_picker.inference.network import DeviceNetwork
from relion_attn_picker.model_spec import CheckpointHeader, ModelSpec
from relion_attn_picker.models.attention_unet import AttentionUNet
from relion_attn_picker.models.unet import UNet
from relion_attn_picker.options import InferenceOptions

CPU = InferenceOptions(gpu="cpu", threads=1)
SPEC = ModelSpec("attention", 8)
HEADER = CheckpointHeader(SPEC, 24.0)


def random_network() -> AttentionUNet:
    """A network whose every level matters, with gates that use the whole range."""
    torch.manual_seed(3)
    model = AttentionUNet(8).train()
    for module in model.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.momentum = None  # the mean of all batches
    with torch.no_grad():
        for _ in range(3):
            model(torch.randn(4, 1, 96, 96))
        for gate in model.gates:
            gate.psi[1].weight.fill_(3.0)  # type: ignore[index,union-attr,operator]
    return model.eval()


def dark_network() -> AttentionUNet:
    """A network made by hand whose four gates open where a pixel in their cell is darker than 4.8 standard deviations.

    The encoder passes the negated image on from level to level, at each level the maximum of 2 × 2 pixels.
    """
    model = AttentionUNet(8).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        for number, convolution in enumerate(model.encoder):
            convolution[0].weight[0, 0, 1, 1] = -1 if number == 0 else 1  # type: ignore[index,union-attr,operator]
            convolution[3].weight[0, 0, 1, 1] = 1  # type: ignore[index,union-attr,operator]
        for gate in model.gates:
            gate.project_skip[0].weight[0, 0] = 1  # type: ignore[index,union-attr,operator]
            gate.psi[0].weight[0, 0] = 20  # type: ignore[index,union-attr,operator]
            gate.psi[0].bias[0] = -96  # type: ignore[index,union-attr,operator]
        for module in model.modules():
            if isinstance(module, torch.nn.BatchNorm2d):
                module.weight.fill_(1)
    return model


def see_whole_and_tiled(shape: tuple[int, int]) -> list[tuple[NDArray[np.float32], NDArray[np.float32]]]:
    model = random_network()
    values = np.random.default_rng(5).normal(size=shape).astype(np.float32)
    with torch.inference_mode():
        whole = [
            alpha[0, 0].numpy() for alpha in model.get_attention_maps(torch.from_numpy(values[None, None])).values()
        ]
    network = DeviceNetwork(model, InferenceOptions(gpu="cpu", precision="float32"))
    region = find_region(None, 1.0, shape)
    tiled = run_gates(network, NetworkImage(values, 5.0), region, tile_size=288)
    return list(zip(whole, tiled, strict=True))


@pytest.mark.parametrize("shape", [(411, 330), (300, 545)])
def test_tiled_maps_are_those_of_the_whole_image(shape: tuple[int, int]) -> None:
    assert len(list(plan_tiles(shape, 288, 108, 16))) > 1
    for level, (whole, tiled) in enumerate(see_whole_and_tiled(shape)):
        assert tiled.shape == tuple(-(-length // 2**level) for length in shape)
        assert whole.std() > 0.02
        assert np.abs(tiled - whole[: tiled.shape[0], : tiled.shape[1]]).max() < 1e-3


def test_tiles_become_smaller_where_memory_is_short(monkeypatch: pytest.MonkeyPatch) -> None:
    network = DeviceNetwork(random_network(), InferenceOptions(gpu="cpu", precision="float32"))
    image = NetworkImage(np.random.default_rng(5).normal(size=(800, 330)).astype(np.float32), 5.0)
    region = find_region(None, 1.0, (800, 330))
    whole = run_gates(network, image, region, tile_size=1024)
    see = DeviceNetwork.attention

    def see_or_fail(network: DeviceNetwork, images: torch.Tensor) -> list[NDArray[np.float32]]:
        if max(images.shape) > 400:
            raise torch.cuda.OutOfMemoryError("CUDA out of memory.")
        return see(network, images)

    monkeypatch.setattr(DeviceNetwork, "attention", see_or_fail)
    for one, other in zip(whole, run_gates(network, image, region, tile_size=1024), strict=True):
        np.testing.assert_allclose(other, one, atol=1e-3)
    assert network.largest_tile == 400


@pytest.mark.parametrize("window", [Window(0, 0, 190, 160), Window(431, 205, 150, 130), Window(530, 300, 270, 200)])
def test_window_shows_what_the_whole_shows(window: Window, rng: np.random.Generator) -> None:
    network = AttentionNetwork(random_network(), HEADER, CPU)
    image = rng.normal(size=(500, 800)).astype(np.float32)
    whole = network.see(image, 2.0, 70.0)
    part = network.see(image, 2.0, 70.0, window)
    for all_of_it, seen in zip(whole, part, strict=True):
        top, left = np.rint((np.array(seen.origin) - all_of_it.origin) / all_of_it.spacing).astype(int)
        height, width = seen.values.shape
        np.testing.assert_allclose(seen.values, all_of_it.values[top : top + height, left : left + width], atol=1e-3)
        np.testing.assert_allclose(all_of_it.from_micrograph([seen.origin]), [[top, left]], atol=1e-6)
        corners = seen.from_micrograph(
            [[window.top, window.left], [window.top + window.height - 1, window.left + window.width - 1]]
        )
        reach = 0.5 + 1 / seen.spacing  # the last pixels of a micrograph may lie beyond the last network pixel
        assert (corners >= -reach).all()
        assert (corners <= np.array(seen.values.shape) - 1 + reach).all()


def place_spots(shape: tuple[int, int], diameter: float, rng: np.random.Generator) -> NDArray[np.float64]:
    """Return centres about two diameters apart, at random fractions of pixels."""
    places = [np.arange(1.2 * diameter, length - 1.2 * diameter, 2.2 * diameter) for length in shape]
    grid = np.stack(np.meshgrid(*places, indexing="ij"), -1).reshape(-1, 2)
    return grid + rng.uniform(-0.4 * diameter, 0.4 * diameter, grid.shape)


def find_open_centre(gate: GateMap, near: NDArray[np.float64], radius: float) -> NDArray[np.float64]:
    """Return the centroid, in pixels of the micrograph, of the open pixels within ``radius`` of a place."""
    rows, columns = gate.centres()
    is_near = np.hypot(rows[:, None] - near[0], columns - near[1]) < radius
    open_rows, open_columns = np.nonzero((gate.values > 0.5) & is_near)
    assert len(open_rows) > 0
    return np.array([rows[open_rows].mean(), columns[open_columns].mean()])


@pytest.mark.parametrize(
    ("shape", "pixel_size", "diameter"), [((701, 1130), 1.37, 83.0), ((420, 260), 7.1, 150.0), ((520, 430), 2.0, 96.0)]
)
def test_gates_open_where_the_dark_spots_are(
    shape: tuple[int, int], pixel_size: float, diameter: float, rng: np.random.Generator
) -> None:
    """The answer is the spots' own places, on both axes, at ratios of scale that are no whole numbers.

    Taking the maximum of a cell widens a spot at random to all sides, so that the mean error is far below a pixel of
    the level: half a cell, the usual mistake, is 0.44 of a pixel at level 4.
    """
    pixels = diameter / pixel_size
    centres = place_spots(shape, pixels, rng)
    y, x = np.ogrid[: shape[0], : shape[1]]
    image = rng.normal(0, 0.1, shape)
    for cy, cx in centres:
        image -= 4 * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / (2 * (pixels / 6) ** 2))
    gates = AttentionNetwork(dark_network(), HEADER, CPU).see(image.astype(np.float32), pixel_size, diameter)
    for gate in gates:
        errors = np.array([find_open_centre(gate, centre, 0.9 * pixels) - centre for centre in centres]) / gate.spacing
        assert np.abs(errors.mean(axis=0)).max() < 0.1, gate.name


def test_pixel_size_and_spacing_double_from_level_to_level(rng: np.random.Generator) -> None:
    image = rng.normal(size=(300, 350)).astype(np.float32)
    gates = AttentionNetwork(dark_network(), HEADER, CPU).see(image, 2.0, 90.0)
    assert [gate.name for gate in gates] == ["level_1", "level_2", "level_3", "level_4"]
    factor = gates[0].spacing
    assert factor == pytest.approx(90 / 24 / 2, rel=0.005)
    for level, gate in enumerate(gates):
        assert gate.spacing == pytest.approx(factor * 2**level)
        assert gate.pixel_size == pytest.approx(2 * gate.spacing)
        first_and_last = np.array([0, 2**level - 1]) * factor  # network pixels on the first pixel of the level
        assert gate.origin == pytest.approx((first_and_last.mean(), first_and_last.mean()))


class TestCornerGrid:
    """Independent answer: α is linear in the micrograph's coordinates, and so is what is laid on the corner."""

    @staticmethod
    def slope(spacing: float, origin: tuple[float, float]) -> GateMap:
        y, x = np.indices((40, 50))
        values = 0.001 * (origin[0] + y * spacing) + 0.0004 * (origin[1] + x * spacing)
        return GateMap("level_2", values.astype(np.float32), 2 * spacing, spacing, origin)

    @pytest.mark.parametrize(("spacing", "origin"), [(6.8, (1.7, 1.7)), (0.9, (0.225, 0.225)), (13.3, (40.0, 3.3))])
    def test_pixels_begin_at_the_corner(self, spacing: float, origin: tuple[float, float]) -> None:
        window = Window(round(origin[1] + 3 * spacing), round(origin[0] + 2 * spacing), 217, 150)
        if spacing < 1:
            window = Window(window.left, window.top, 20, 15)
        laid = lay_on_corner(self.slope(spacing, origin), window)
        assert laid.shape == (int(np.ceil(window.height / spacing)), int(np.ceil(window.width / spacing)))
        y = window.top - 0.5 + (np.arange(laid.shape[0]) + 0.5) * spacing
        x = window.left - 0.5 + (np.arange(laid.shape[1]) + 0.5) * spacing
        np.testing.assert_allclose(laid, 0.001 * y[:, None] + 0.0004 * x, atol=1e-5)

    def test_values_go_on_beyond_the_outermost_centres(self) -> None:
        gate = GateMap("level_1", np.full((4, 4), 0.3, dtype=np.float32), 2.0, 10.0, (5.0, 5.0))
        np.testing.assert_allclose(lay_on_corner(gate, Window(0, 0, 45, 41)), np.full((5, 5), 0.3))


def test_network_without_gates_is_refused_with_what_to_do(tiny_pair: dict[str, Path]) -> None:
    with pytest.raises(InputError, match=r"holds the network 'standard', which has no attention gates .* leave out"):
        find_attention(tiny_pair["standard"])
    with pytest.raises(TypeError, match="UNet has no attention gates"):
        network = DeviceNetwork(UNet(8), CPU)
        network.attention(network.load(np.zeros((16, 16), dtype=np.float32)))


def test_default_weights_and_a_hybrid_give_the_attention_network() -> None:
    assert find_attention(None).name == "attention.safetensors"
    assert find_attention(find_attention(None).parent).name == "attention.safetensors"


class TestWindow:
    @pytest.mark.parametrize("window", [Window(-1, 0, 50, 50), Window(60, 0, 50, 50), Window(0, 60, 50, 50)])
    def test_outside(self, window: Window) -> None:
        with pytest.raises(InputError, match=r"does not lie within a\.mrc, which has 100×90 pixels"):
            window.check("a.mrc", (90, 100), 20)

    def test_smaller_than_a_particle(self) -> None:
        with pytest.raises(InputError, match=r"is smaller than a particle, 60 pixels of a\.mrc"):
            Window(0, 0, 50, 50).check("a.mrc", (90, 100), 60)

    def test_whole_image_and_no_more(self) -> None:
        Window(0, 0, 100, 90).check("a.mrc", (90, 100), 20)
        with pytest.raises(InputError, match="does not lie within"):
            Window(0, 0, 101, 90).check("a.mrc", (90, 100), 20)
