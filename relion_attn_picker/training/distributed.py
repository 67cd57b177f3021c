"""Training one network with several processes: GPUs of one machine, or several machines, started by ``torchrun``.

Each rank takes an equal part of every batch, and the result is that of one process with the whole batch: batch norm
sees the statistics of the whole batch, and the loss is that of the whole batch.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce
from torch.nn.parallel import DistributedDataParallel

from relion_attn_picker.errors import DeviceError, InputError
from relion_attn_picker.inference.devices import choose_device
from relion_attn_picker.training.batches import Batch

PATIENCE: Final = timedelta(hours=12)
"""How long a rank waits for the others: rank 0 alone cuts the crops and validates."""

REMEDY: Final = "start the training by torchrun, or unset RANK and WORLD_SIZE to train with one process"


@dataclass(frozen=True)
class World:
    """This process's ``rank`` among ``size``, and among those of its machine."""

    rank: int = 0
    size: int = 1
    local_rank: int = 0

    @property
    def is_first(self) -> bool:
        """Whether this is rank 0, which alone writes."""
        return self.rank == 0

    def slots(self, batch_size: int) -> range:
        """Return this rank's part of a batch.

        Raises
        ------
        InputError
            If the ranks cannot have equal parts.
        """
        if batch_size % self.size:
            raise InputError(
                f"Batches of {batch_size} cannot be divided among {self.size} processes: "
                f"give a --batch_size that is a multiple of {self.size}."
            )
        part = batch_size // self.size
        return range(self.rank * part, (self.rank + 1) * part)


def current_world() -> World:
    """Return the place of this process as ``torchrun`` tells it; alone if it was not started by that.

    Raises
    ------
    InputError
        If what the environment tells is no such place.
    """
    if "RANK" not in os.environ or "WORLD_SIZE" not in os.environ:
        return World()
    told = {name: os.environ.get(name, "0") for name in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    rank, size, local_rank = (int(value) if value.isdecimal() else -1 for value in told.values())
    if not 0 <= rank < size or local_rank < 0:
        raise InputError(
            f"{', '.join(f'{name} is {value!r}' for name, value in told.items())}: expected whole numbers from 0, the "
            f"rank below the size, as torchrun sets them; {REMEDY}."
        )
    return World(rank, size, local_rank)


def require_own_gpus(gpu: str, world: World) -> None:
    """Refuse one GPU for several processes.

    Raises
    ------
    DeviceError
        If a GPU was asked for by number, and this process is not alone.
    """
    if world.size > 1 and gpu not in ("auto", "cpu"):
        raise DeviceError(
            f"GPU {gpu} was asked for, but {world.size} processes train together and each needs a GPU of its own: "
            "give --gpu auto, and choose the GPUs by CUDA_VISIBLE_DEVICES."
        )


def device_of(gpu: str, world: World) -> torch.device:
    """Return this process's device: with ``auto``, each process of a machine has a GPU of its own.

    Raises
    ------
    DeviceError
        If the GPU is not there or cannot be used, or there are too few for the processes.
    """
    require_own_gpus(gpu, world)
    if gpu == "auto" and world.size > 1 and torch.cuda.is_available():
        visible = torch.cuda.device_count()
        if 1 < visible <= world.local_rank:
            raise DeviceError(
                f"Process {world.local_rank + 1} on this machine needs a GPU of its own, but {visible} were found: "
                f"start {visible} processes (--nproc_per_node={visible}), or give --gpu cpu."
            )
        gpu = str(world.local_rank % visible)  # a queue may show each process nothing but its own GPU
    device = choose_device(gpu)
    if device.type == "cuda":
        torch.cuda.set_device(device)
    return device


def require_one_process(command: str) -> None:
    """Refuse a command that several processes would each run in the same folder.

    Raises
    ------
    InputError
        If this process is not alone.
    """
    world = current_world()
    if world.size > 1:
        raise InputError(
            f"attnpick {command} was started as {world.size} processes (WORLD_SIZE), but runs as one: start it without "
            "torchrun; attnpick train can use several."
        )


@contextmanager
def join_world(world: World) -> Iterator[None]:
    """Connect the processes for the duration of a block: gloo between CPUs, nccl between GPUs.

    Raises
    ------
    InputError
        If the environment does not tell where the processes meet.
    """
    if world.size == 1 or dist.is_initialized():
        yield
        return
    for name in ("MASTER_ADDR", "MASTER_PORT"):
        if name not in os.environ:
            raise InputError(
                f"RANK and WORLD_SIZE tell that {world.size} processes train together, but there is no {name}, which "
                f"torchrun sets: {REMEDY}."
            )
    backend = "cpu:gloo,cuda:nccl" if torch.cuda.is_available() else "gloo"
    dist.init_process_group(backend, timeout=PATIENCE)
    try:
        yield
    finally:
        dist.destroy_process_group()


def agree(value: Any, world: World) -> Any:
    """Return rank 0's ``value`` on every rank, when all of them have come here."""
    if world.size == 1:
        return value
    values = [value]
    dist.broadcast_object_list(values, src=0, device=torch.device("cpu"))
    return values[0]


def distribute(model: nn.Module, world: World, device: torch.device) -> nn.Module:
    """Return ``model`` so that its gradients are means over the ranks; its batch norms become global, in place.

    The parameters and buffers remain those of ``model``, under their names: it is saved as if it were alone.
    """
    if world.size == 1:
        return model
    if device.type == "cuda":
        model = nn.SyncBatchNorm.convert_sync_batchnorm(model)  # type: ignore[no-untyped-call]
        return DistributedDataParallel(model, device_ids=[device.index], broadcast_buffers=False)
    make_batch_norms_global(model)
    return DistributedDataParallel(model, broadcast_buffers=False)


def whole_batch(logits: Tensor, batch: Batch, world: World) -> tuple[Tensor, Tensor, Tensor]:
    """Return logits, targets and weights of all ranks' parts; only this rank's logits carry a gradient.

    A loss of these is the loss of the whole batch, and the sum of the ranks' gradients is its gradient, whatever the
    loss divides by. ``DistributedDataParallel`` takes the mean: the loss is multiplied by the number of ranks.
    """
    if world.size == 1:
        return logits, batch.targets, batch.weights
    gathered = [_gather(tensor, world) for tensor in (logits.detach(), batch.targets, batch.weights)]
    gathered[0][world.rank] = logits
    all_logits, targets, weights = (torch.cat(parts) for parts in gathered)
    return all_logits, targets, weights


def _gather(tensor: Tensor, world: World) -> list[Tensor]:
    tensor = tensor.contiguous()
    parts = [torch.empty_like(tensor) for _ in range(world.size)]
    dist.all_gather(parts, tensor)
    return parts


class GlobalBatchNorm2d(nn.BatchNorm2d):
    """Batch norm with the statistics of all ranks' parts of the batch, on a CPU (torch's own needs GPUs).

    The mean comes first and the variance from the distances to it: no digits are lost as with the mean of squares.
    """

    def forward(self, images: Tensor) -> Tensor:
        """Normalise ``(b, c, h, w)``."""
        if not self.training:
            return super().forward(images)
        values = images.to(torch.promote_types(images.dtype, torch.float32))
        count = values.numel() // values.shape[1] * dist.get_world_size()
        mean = _sum_over_ranks(values.sum(dim=(0, 2, 3))) / count
        centred = values - mean[:, None, None]
        variance = _sum_over_ranks(centred.square().sum(dim=(0, 2, 3))) / count
        self._remember(mean.detach(), variance.detach() * (count / (count - 1)))
        scale = self.weight * torch.rsqrt(variance + self.eps)
        normalised: Tensor = centred * scale[:, None, None] + self.bias[:, None, None]
        return normalised.to(images.dtype)

    def _remember(self, mean: Tensor, variance: Tensor) -> None:
        """Move the running statistics towards those of this batch, as ``nn.BatchNorm2d`` does."""
        assert self.momentum is not None
        for running, current in ((self.running_mean, mean), (self.running_var, variance)):
            assert running is not None
            running.lerp_(current, self.momentum)
        assert self.num_batches_tracked is not None
        self.num_batches_tracked.add_(1)


def _sum_over_ranks(tensor: Tensor) -> Tensor:
    total: Tensor = all_reduce(tensor)  # type: ignore[no-untyped-call]
    return total


def make_batch_norms_global(model: nn.Module) -> None:
    """Give every batch norm of ``model`` the forward pass of ``GlobalBatchNorm2d``; nothing else of it changes."""
    for module in model.modules():
        if type(module) is nn.BatchNorm2d:
            module.__class__ = GlobalBatchNorm2d
