"""The picture of the gates: colours that mean α, panels in the micrograph's own pixels, a scale bar of its length."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.collections import EllipseCollection
from matplotlib.figure import Figure

from relion_attn_picker.gate_maps import GateMap, Window
from relion_attn_picker.report.attention_image import (
    AttentionPicture,
    blend,
    blended_colours,
    plot_attention,
    round_length,
    sample_gate,
)


def make_gates(window: Window, spacing: float = 10.0) -> list[GateMap]:
    """Return four maps of which the lower right quarter is open, each with a spacing twice as large."""
    gates = []
    for level in range(4):
        step = spacing * 2**level
        shape = (int(window.height / step), int(window.width / step))
        values = np.zeros(shape, dtype=np.float32)
        values[shape[0] // 2 :, shape[1] // 2 :] = 1
        origin = (window.top - 0.5 + step / 2, window.left - 0.5 + step / 2)
        gates.append(GateMap(f"level_{level + 1}", values, 2 * step, step, origin))
    return gates


def draw(window: Window) -> Figure:
    image = np.random.default_rng(0).normal(size=(800, 1000)).astype(np.float32)
    points = np.array([[200.0, 340.0], [790.0, 990.0]])
    return plot_attention(AttentionPicture("title", image, 2.0, 50.0, window, make_gates(window), points))


@pytest.mark.parametrize("window", [Window(0, 0, 1000, 800), Window(320, 160, 480, 320)])
def test_panels_have_the_coordinates_of_the_micrograph(window: Window) -> None:
    figure = draw(window)
    panels = figure.axes[:5]
    for axes in panels:
        assert axes.get_xlim() == (window.left - 0.5, window.left + window.width - 0.5)
        assert axes.get_ylim() == (window.top + window.height - 0.5, window.top - 0.5)  # the first row is at the top
        (circles,) = [each for each in axes.collections if isinstance(each, EllipseCollection)]
        np.testing.assert_allclose(circles.get_offsets()[0], (340, 200))
    assert panels[0].get_title() == f"micrograph, {2 if window.left == 0 else 1} picks"
    assert panels[1].get_title() == "level 1: 20 Å per pixel, 10 micrograph pixels"
    assert panels[4].get_title() == "level 4: 160 Å per pixel, 80 micrograph pixels"


def test_open_quarter_is_bright_where_it_lies() -> None:
    for axes in draw(Window(0, 0, 1000, 800)).axes[1:5]:
        shown = np.asarray(axes.images[0].get_array())[..., :2].mean(axis=-1)
        h, w = shown.shape
        assert shown[3 * h // 4 :, 3 * w // 4 :].mean() > 0.25 + max(shown[: h // 4].mean(), shown[:, : w // 4].mean())


def test_scale_bar_has_the_length_it_tells() -> None:
    axes = draw(Window(0, 0, 1000, 800)).axes[0]
    (text,) = [each.get_text() for each in axes.texts]
    x = axes.lines[-1].get_xdata()
    assert text == "500 Å"
    assert (x[1] - x[0]) * 2.0 == pytest.approx(500)


def test_colour_bar_goes_from_0_to_1() -> None:
    bar = draw(Window(0, 0, 1000, 800)).axes[-1]
    assert bar.get_ylim() == (0, 1)


@pytest.mark.parametrize(("most", "expected"), [(1, 1), (1.9, 1), (2, 2), (499, 200), (512, 500), (1000, 1000)])
def test_round_lengths(most: float, expected: float) -> None:
    assert round_length(most) == pytest.approx(expected)


def test_colours_of_the_bar_are_those_on_middle_grey() -> None:
    for alpha in (0.0, 0.3, 1.0):
        on_grey = blend(np.array([[0.5]]), np.array([[alpha]]))[0, 0]
        np.testing.assert_allclose(blended_colours()(alpha)[:3], on_grey, atol=0.01)
    black, white = blend(np.array([[0.0, 1.0]]), np.array([[0.4, 0.4]]))[0]
    assert (white > black).all()  # the micrograph shows through


def test_each_place_shows_the_pixel_it_lies_on() -> None:
    gate = GateMap("level_3", np.arange(12, dtype=np.float32).reshape(3, 4), 20.0, 10.0, (4.5, 14.5))
    shown = sample_gate(gate, np.array([0, 9, 10, 25]), np.array([10, 19, 20, 49]), 1.0)
    np.testing.assert_array_equal(shown, gate.values[[0, 0, 1, 2]][:, [0, 0, 1, 3]])


def test_pattern_too_fine_to_be_seen_becomes_its_mean() -> None:
    board = np.indices((64, 64)).sum(axis=0) % 2
    gate = GateMap("level_1", board.astype(np.float32), 1.0, 1.0, (0.0, 0.0))
    places = np.arange(9, 54, 3)
    np.testing.assert_allclose(sample_gate(gate, places, places, 3.0), 0.5, atol=0.02)
