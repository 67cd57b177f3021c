"""Which device and which precision the network runs with; nothing is ever substituted silently."""

from __future__ import annotations

import logging
import time

import torch
from torch.nn import functional

from relion_attn_picker.errors import DeviceError

log = logging.getLogger(__name__)


def choose_device(gpu: str) -> torch.device:
    """Return the device for ``gpu``: ``"auto"``, ``"cpu"`` or the number of a GPU.

    Raises
    ------
    DeviceError
        If a GPU was asked for by number and is not there.
    """
    if gpu == "cpu":
        return torch.device("cpu")
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpu == "auto":
        if available:
            return torch.device("cuda", 0)
        log.warning("No GPU was found: the CPU is used. Give --gpu cpu to say that this is meant.")
        return torch.device("cpu")
    if int(gpu) >= available:
        found = f"{available} found" if available else "none found"
        raise DeviceError(f"GPU {gpu} was asked for, but there is no such GPU ({found}): give --gpu auto or --gpu cpu.")
    return torch.device("cuda", int(gpu))


def device_name(device: torch.device) -> str:
    """Return the text that makes ``choose_device`` choose this device."""
    return "cpu" if device.type == "cpu" else str(device.index)


def is_faster_in_bfloat16(device: torch.device) -> bool:
    """Tell whether the device computes a convolution faster in bfloat16 than in float32.

    Measured (about 10 ms), because a processor without bfloat16 arithmetic still runs it, emulated and many times
    slower, and because no public function of torch tells.
    """
    return _convolution_time(device, torch.bfloat16) < 0.8 * _convolution_time(device, torch.float32)


@torch.inference_mode()
def _convolution_time(device: torch.device, dtype: torch.dtype) -> float:
    """Return the shortest of three times, in seconds, of a 3×3 convolution typical of the networks."""
    image = torch.zeros(1, 32, 64, 64, device=device, dtype=dtype)
    kernel = torch.zeros(32, 32, 3, 3, device=device, dtype=dtype)
    times = []
    for _ in range(4):
        start = time.perf_counter()
        functional.conv2d(image, kernel, padding=1)
        if device.type == "cuda":
            torch.cuda.synchronize(device)
        times.append(time.perf_counter() - start)
    return min(times[1:])
