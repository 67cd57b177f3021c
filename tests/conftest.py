"""Fixtures that many tests share."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

SHARED_DATA = Path(__file__).parent.parent.parent / "shared" / "data"


@pytest.fixture
def rng() -> np.random.Generator:
    """A seeded generator."""
    return np.random.default_rng(20260)


@pytest.fixture
def shared_data() -> Path:
    """The folder of real micrographs; the test is skipped where it is absent."""
    if not SHARED_DATA.is_dir():
        pytest.skip("the real micrographs are not here (../shared/data beside the repository)")
    return SHARED_DATA


@pytest.fixture(scope="session")
def tiny_checkpoint(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint whose network answers wherever the prepared image is dark: a picker that needs no training."""
    return write_tiny_checkpoint(tmp_path_factory.mktemp("weights") / "tiny.safetensors", "attention")


@pytest.fixture(scope="session")
def tiny_pair(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """An attention network and a standard one that answer wherever the prepared image is dark."""
    folder = tmp_path_factory.mktemp("pair")
    return {name: write_tiny_checkpoint(folder / f"{name}.safetensors", name) for name in ("attention", "standard")}


def write_tiny_checkpoint(path: Path, architecture: str, label_margin: float = 0.0) -> Path:
    """Write a hand-made network of which only the finest level takes part: it passes the negated image on."""
    import torch

    from relion_attn_picker.io.checkpoint import write_checkpoint
    from relion_attn_picker.model_spec import Calibration, CheckpointHeader, ModelSpec
    from relion_attn_picker.models.builders import build_model

    spec = ModelSpec(architecture, 8)
    model = build_model(spec)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
        pass_dark(model)
        if architecture == "standard":
            model.decoder[0][0].weight[0, 0, 1, 1] = 1  # type: ignore[index,operator,union-attr]  (no gate that halves)
    header = CheckpointHeader(
        spec, 24.0, calibration=Calibration(0.5, "by hand"), trained_with={"seed": 1}, label_margin=label_margin
    )
    write_checkpoint(path, model, header)
    return path


def pass_dark(model: object) -> None:
    """Make ``model`` answer sigmoid(-3 - 4·image) blurred over 3×3 pixels, by hand-made weights."""
    import torch

    model.encoder[0][0].weight[0, 0] = -1 / 9  # type: ignore[attr-defined]
    model.encoder[0][3].weight[0, 0, 1, 1] = 1  # type: ignore[attr-defined]
    model.decoder[0][0].weight[0, 0, 1, 1] = 2  # type: ignore[attr-defined]  (the gate halves: sigmoid(0) = 0.5)
    model.decoder[0][3].weight[0, 0, 1, 1] = 1  # type: ignore[attr-defined]
    model.head.weight[0, 0, 0, 0] = 4  # type: ignore[attr-defined]
    model.head.bias[0] = -3  # type: ignore[attr-defined]
    for module in model.modules():  # type: ignore[attr-defined]
        if isinstance(module, torch.nn.BatchNorm2d):
            module.weight.fill_(1)


@pytest.fixture(autouse=True)
def _restore_signals() -> Iterator[None]:
    """Give back the signals that jobs take over; a hang-up counts in the tests even if they run under nohup."""
    numbers = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}
    if before[signal.SIGHUP] is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


HOLD = """
import sys, time
from pathlib import Path
from relion_attn_picker.io.folder_lock import hold_folder
with hold_folder(Path(sys.argv[1])):
    print("held", flush=True)
    sys.stdin.read()
"""


def hold_elsewhere(folder: Path) -> subprocess.Popen[str]:
    """A process that holds ``folder`` until its stdin is closed."""
    holder = subprocess.Popen(
        [sys.executable, "-c", HOLD, str(folder)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    return holder
