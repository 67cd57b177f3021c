"""Which device and which precision the network runs with; nothing is ever substituted silently.

``float32`` means the same on a GPU as on a CPU: ``choose_device`` switches TensorFloat-32 off, with which a GPU
multiplies numbers of 10 bits (torch would use it in convolutions, and not in matrix products). Who wants speed on such
a GPU has bfloat16, which ``auto`` takes there.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Sequence
from functools import cache
from typing import Final

import torch
from torch.nn import functional

from relion_attn_picker.errors import DeviceError

log = logging.getLogger(__name__)

TAKEN: Final = {"out of memory": "has no memory left", "busy or unavailable": "is kept by another program"}
"""What an error of CUDA says where other programs have taken a GPU → the same in words for the user."""


def choose_device(gpu: str) -> torch.device:
    """Return the device for ``gpu``: ``"auto"``, ``"cpu"`` or the number of a GPU.

    ``auto`` is the GPU with the most free memory, the same one throughout a process. On a GPU, float32 is float32 from
    here on (see above).

    Raises
    ------
    DeviceError
        If a GPU was asked for by number and is not there, or the GPU cannot compute anything.
    """
    if gpu == "cpu":
        return torch.device("cpu")
    available = torch.cuda.device_count() if torch.cuda.is_available() else 0
    if gpu == "auto":
        if available:
            return _prepare_gpu(_find_freest_gpu(available))
        log.warning("No GPU was found: the CPU is used. Give --gpu cpu to say that this is meant.")
        return torch.device("cpu")
    if int(gpu) >= available:
        found = f"{available} found" if available else "none found"
        raise DeviceError(f"GPU {gpu} was asked for, but there is no such GPU ({found}): give --gpu auto or --gpu cpu.")
    return _prepare_gpu(int(gpu))


def is_on_gpu(gpu: str) -> bool:
    """Tell whether ``choose_device`` would choose a GPU for ``gpu``, without touching one."""
    return gpu != "cpu" and torch.cuda.is_available()


@cache
def _find_freest_gpu(count: int) -> int:
    """Return which of ``count`` GPUs has the most free memory; asked once, so that all networks come to one GPU."""
    if count == 1:
        return 0
    memory = [_read_memory(number) for number in range(count)]
    chosen = max(range(count), key=lambda number: memory[number][0])
    free, total = memory[chosen]
    log.info(
        "GPU %d of %d is used: it has the most free memory, %.1f of %.1f GB.", chosen, count, free / 1e9, total / 1e9
    )
    return chosen


def _read_memory(number: int) -> tuple[int, int]:
    """Return the free and the whole memory of a GPU in bytes; none is free where another program keeps it to itself."""
    try:
        return torch.cuda.mem_get_info(number)
    except RuntimeError as error:
        log.warning("GPU %d is left out: %s", number, str(error).partition("\n")[0])
        return 0, 0


def _prepare_gpu(number: int) -> torch.device:
    """Switch TensorFloat-32 off, and let the GPU compute something.

    Raises
    ------
    DeviceError
        If torch has nothing that this GPU can run, or other programs leave it no memory at all, or keep it to
        themselves, as on clusters whose GPUs are for one process each.
    """
    torch.backends.cuda.matmul.allow_tf32 = False
    torch.backends.cudnn.allow_tf32 = False
    device = torch.device("cuda", number)
    try:
        _run_kernel(device)
    except RuntimeError as error:
        if "no kernel image" in str(error):
            capability = ".".join(map(str, torch.cuda.get_device_capability(device)))
            raise DeviceError(
                f"torch {torch.__version__} has no code for {describe_device(device)}, of compute capability "
                f"{capability}: install a torch that supports it, or give --gpu cpu."
            ) from error
        for sign, what in TAKEN.items():
            if sign in str(error):
                raise DeviceError(
                    f"{describe_device(device)} {what}: wait until other programs on it have ended, or give --gpu with "
                    "another number, or --gpu cpu."
                ) from error
        raise
    return device


def _run_kernel(device: torch.device) -> None:
    torch.zeros(1, device=device).add_(1).item()


def describe_device(device: torch.device) -> str:
    """Return the name of a device, for people."""
    return "the CPU" if device.type == "cpu" else f"GPU {device.index} ({torch.cuda.get_device_name(device)})"


def gpu_option_of(device: torch.device) -> str:
    """Return the text that makes ``choose_device`` choose this device."""
    return "cpu" if device.type == "cpu" else str(device.index)


def choose_precision(precision: str, device: torch.device) -> str:
    """Return the precision to compute in; ``auto`` is ``bfloat16`` where the device is faster with it.

    A GPU is asked what it is (8.0, Ampere, is the first with bfloat16 arithmetic): the small convolution by which a CPU
    is measured takes a GPU no longer than its launch.
    """
    if precision != "auto":
        return precision
    if device.type == "cuda":
        return "bfloat16" if torch.cuda.get_device_capability(device) >= (8, 0) else "float32"
    return "bfloat16" if is_faster_in_bfloat16(device) else "float32"


def is_faster_in_bfloat16(device: torch.device) -> bool:
    """Tell whether a CPU computes a convolution faster in bfloat16 than in float32.

    Measured (about 10 ms), because a processor without bfloat16 arithmetic still runs it, emulated and many times
    slower, and because no public function of torch tells.
    """
    times = _convolution_times(device, (torch.bfloat16, torch.float32))
    return times[torch.bfloat16] < 0.8 * times[torch.float32]


@torch.inference_mode()
def _convolution_times(device: torch.device, dtypes: Sequence[torch.dtype]) -> dict[torch.dtype, float]:
    """Return the shortest of nine times, in seconds, of a 3×3 convolution typical of the networks, for each type.

    The types take turns, and what else the machine has to do, which comes and goes, leaves one time of each alone.
    """
    arrays = {
        dtype: (
            torch.zeros(1, 32, 64, 64, device=device, dtype=dtype),
            torch.zeros(32, 32, 3, 3, device=device, dtype=dtype),
        )
        for dtype in dtypes
    }
    times: dict[torch.dtype, list[float]] = {dtype: [] for dtype in dtypes}
    for _ in range(10):
        for dtype, (image, kernel) in arrays.items():
            start = time.perf_counter()
            functional.conv2d(image, kernel, padding=1)
            times[dtype].append(time.perf_counter() - start)
    return {dtype: min(each[1:]) for dtype, each in times.items()}
