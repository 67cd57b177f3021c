"""One battery for every network."""

from __future__ import annotations

import pytest
import torch

from relion_attn_picker.errors import CheckpointError
from relion_attn_picker.inference.devices import choose_device
from relion_attn_picker.inference.network import fuse_batch_norms
from relion_attn_picker.model_spec import ModelSpec
from relion_attn_picker.models.attention_gate import AttentionGate
from relion_attn_picker.models.attention_unet import AttentionUNet
from relion_attn_picker.models.builders import ARCHITECTURES, build_model
from relion_attn_picker.models.unet import STRIDE, UNet, receptive_field

every_architecture = pytest.mark.parametrize("architecture", sorted(ARCHITECTURES))


def small_model(architecture: str) -> UNet:
    torch.manual_seed(7)
    return build_model(ModelSpec(architecture, 8)).eval()


def count_parameters(model: torch.nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())


@pytest.mark.parametrize(("architecture", "expected"), [("standard", 31_042_369), ("attention", 31_393_901)])
def test_parameter_count_at_64_base_features(architecture: str, expected: int) -> None:
    assert count_parameters(build_model(ModelSpec(architecture, 64))) == expected


def test_gates_cost_351532_parameters() -> None:
    gates = sum(count_parameters(AttentionGate(64 * 2**level)) for level in range(4))
    assert gates == 351_532


@every_architecture
@pytest.mark.parametrize("shape", [(32, 32), (17, 50), (1, 1), (48, 33)])
def test_logits_have_the_shape_of_any_image(architecture: str, shape: tuple[int, int]) -> None:
    logits = small_model(architecture)(torch.randn(2, 1, *shape))
    assert logits.shape == (2, 1, *shape)
    assert torch.isfinite(logits).all()


@every_architecture
def test_every_parameter_gets_a_gradient(architecture: str) -> None:
    model = small_model(architecture).train()
    model(torch.randn(2, 1, 64, 64)).square().mean().backward()
    without = [name for name, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    assert without == []


@every_architecture
def test_output_is_logits_not_probabilities(architecture: str) -> None:
    logits = small_model(architecture)(10 * torch.randn(1, 1, 64, 64))
    assert logits.min() < 0 or logits.max() > 1


@every_architecture
def test_batch_members_are_independent(architecture: str) -> None:
    model, images = small_model(architecture), torch.randn(3, 1, 32, 48)
    together = model(images)
    alone = torch.cat([model(image[None]) for image in images])
    torch.testing.assert_close(together, alone, atol=1e-5, rtol=1e-4)


@every_architecture
def test_same_seed_same_weights(architecture: str) -> None:
    first, second = small_model(architecture), small_model(architecture)
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


@every_architecture
def test_fused_batch_norms_give_the_same_answer(architecture: str) -> None:
    model = small_model(architecture).train()
    model(torch.randn(4, 1, 64, 64))  # running statistics that are not 0 and 1
    model.eval()
    images = torch.randn(1, 1, 64, 80)
    with torch.inference_mode():
        expected = model(images)
        fused = fuse_batch_norms(model)(images)
    torch.testing.assert_close(fused, expected, atol=1e-4, rtol=1e-4)
    assert not [m for m in model.modules() if isinstance(m, torch.nn.BatchNorm2d)]


@every_architecture
def test_receptive_field_covers_every_pixel_that_matters(architecture: str) -> None:
    side = receptive_field()
    size = (side // STRIDE + 3) * 2 * STRIDE
    centre = size // 2
    image = torch.zeros(1, 1, size, size, requires_grad=True)
    model = small_model(architecture)
    for offset in range(0, STRIDE, 5):
        (gradient,) = torch.autograd.grad(model(image)[0, 0, centre + offset, centre + offset], image)
        seen = gradient[0, 0].nonzero()
        reach = (seen - (centre + offset)).abs().max().item()
        assert reach <= side // 2 + 1
        assert reach > 40


@every_architecture
@pytest.mark.gpu
def test_gpu_agrees_with_cpu(architecture: str) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    device = choose_device("auto")  # which makes float32 float32
    model, images = small_model(architecture), torch.randn(1, 1, 64, 64)
    with torch.inference_mode():
        expected = model(images)
        actual = model.to(device)(images.to(device)).cpu()
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=1e-4)


def test_unknown_architecture_is_refused_with_the_names() -> None:
    with pytest.raises(CheckpointError, match="'hybird' is unknown: expected one of attention, standard"):
        build_model(ModelSpec("hybird", 16))


@pytest.mark.parametrize("base_features", [0, 7, 9, 128, 2.5])
def test_impossible_base_features_are_refused(base_features: int) -> None:
    with pytest.raises(ValueError, match="expected an even number from 8 to 64"):
        ModelSpec("standard", base_features)


class TestAttentionMaps:
    def test_four_maps_in_unit_interval_named_by_level(self) -> None:
        model = small_model("attention")
        assert isinstance(model, AttentionUNet)
        maps = model.get_attention_maps(torch.randn(1, 1, 64, 96))
        assert list(maps) == ["level_1", "level_2", "level_3", "level_4"]
        assert [tuple(alpha.shape) for alpha in maps.values()] == [
            (1, 1, 64, 96),
            (1, 1, 32, 48),
            (1, 1, 16, 24),
            (1, 1, 8, 12),
        ]
        assert all(alpha.min() >= 0 and alpha.max() <= 1 for alpha in maps.values())

    def test_forward_pass_is_unchanged_and_no_hook_stays(self) -> None:
        model, image = small_model("attention"), torch.randn(1, 1, 64, 64)
        assert isinstance(model, AttentionUNet)
        with torch.inference_mode():
            before = model(image)
            model.get_attention_maps(image)
            after = model(image)
        assert torch.equal(before, after)
        assert all(not gate._forward_hooks for gate in model.gates)

    def test_gate_follows_the_published_formula(self) -> None:
        gate = AttentionGate(8).eval()
        skip, gating = torch.randn(1, 8, 5, 6), torch.randn(1, 8, 5, 6)
        with torch.no_grad():
            expected = torch.empty(5, 6)
            for y in range(5):
                for x in range(6):
                    wx = gate.project_skip[0].weight[:, :, 0, 0] @ skip[0, :, y, x] + gate.project_skip[0].bias
                    wg = gate.project_gate[0].weight[:, :, 0, 0] @ gating[0, :, y, x] + gate.project_gate[0].bias
                    norm = (1 + gate.psi[1].eps) ** 0.5  # batch norms still hold mean 0 and variance 1
                    joint = ((wx + wg) / norm).clamp(min=0)
                    psi = (gate.psi[0].weight[0, :, 0, 0] @ joint + gate.psi[0].bias[0]) / norm
                    expected[y, x] = 1 / (1 + torch.exp(-psi))
            torch.testing.assert_close(gate.coefficients(skip, gating)[0, 0], expected)
            torch.testing.assert_close(gate(skip, gating), expected * skip)

    def test_gates_do_something(self) -> None:
        model, image = small_model("attention"), torch.randn(1, 1, 64, 64)
        assert isinstance(model, AttentionUNet)
        with torch.inference_mode():
            open_gates = model(image)
            for gate in model.gates:
                gate.psi[1].bias.fill_(-100)
            closed_gates = model(image)
        assert not torch.allclose(open_gates, closed_gates)
