"""Making batches while the network trains: in a thread, or in processes of their own.

Each process makes whole blocks of steps in turn (``mixture``), so that no field is made twice. What comes out is the
same for any number of processes.
"""

from __future__ import annotations

import multiprocessing
import os
import queue
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from multiprocessing.context import SpawnContext, SpawnProcess
from typing import Any

import torch

from relion_attn_picker.errors import PickerError
from relion_attn_picker.options import cores_of_process
from relion_attn_picker.training.batches import Batch, BatchMaker, batch_of
from relion_attn_picker.training_options import MAX_WORKERS

POLL_SECONDS = 2.0
"""How often one side of a queue looks whether the other side is still alive."""


def choose_workers(workers: int | None, device: torch.device) -> int:
    """Return how many processes make batches: as many as given, else enough for a GPU, and none for a CPU."""
    if workers is not None:
        return workers
    return min(MAX_WORKERS, cores_of_process() - 1) if device.type == "cuda" else 0


def iterate_batches(maker: BatchMaker, first_step: int, last_step: int, workers: int = 0) -> Iterator[Batch]:
    """Yield the batches of steps ``first_step`` … ``last_step - 1``, later ones being made meanwhile.

    Parameters
    ----------
    maker
        Makes one batch; with ``workers`` it is sent to other processes.
    first_step, last_step
        Steps.
    workers
        Processes; 0: a thread of this one.

    Raises
    ------
    PickerError
        If a process was killed, for instance because the memory was used up; also what a process raised itself.
    """
    if first_step >= last_step:
        return iter(())
    if workers == 0:
        return _batches_of_thread(maker, first_step, last_step)
    return _batches_of_processes(maker, first_step, last_step, workers)


def _batches_of_thread(maker: BatchMaker, first_step: int, last_step: int) -> Iterator[Batch]:
    with ThreadPoolExecutor(max_workers=1) as pool:
        upcoming = pool.submit(maker.make, first_step)
        for step in range(first_step, last_step):
            batch = upcoming.result()
            if step + 1 < last_step:
                upcoming = pool.submit(maker.make, step + 1)
            yield batch


def _batches_of_processes(maker: BatchMaker, first_step: int, last_step: int, workers: int) -> Iterator[Batch]:
    context = multiprocessing.get_context("spawn")
    hands = [_Worker(context, maker, range(first_step, last_step), number, workers) for number in range(workers)]
    try:
        for step in range(first_step, last_step):
            yield hands[step // maker.steps_per_block % workers].next_batch()
    finally:
        for hand in hands:
            hand.stop()


class _Worker:
    """A process that makes every ``workers``-th block, and the queue that its batches come through."""

    def __init__(self, context: SpawnContext, maker: BatchMaker, steps: range, number: int, workers: int) -> None:
        self._queue: multiprocessing.queues.Queue[Any] = context.Queue(maxsize=maker.steps_per_block)
        own = [step for step in steps if step // maker.steps_per_block % workers == number]
        self._process: SpawnProcess = context.Process(target=_work, args=(maker, own, self._queue), daemon=True)
        with _one_thread_for_children():
            self._process.start()

    def next_batch(self) -> Batch:
        """Return the next batch of this process as soon as it is there."""
        while True:
            try:
                result = self._queue.get(timeout=POLL_SECONDS)
            except queue.Empty:
                if self._process.is_alive():
                    continue
                raise PickerError(
                    f"A process that makes training batches was killed (exit code {self._process.exitcode}), perhaps "
                    "for want of memory: give fewer --workers; the training goes on where it stopped."
                ) from None
            if isinstance(result, Exception):
                raise result
            return batch_of(result)

    def stop(self) -> None:
        """End the process."""
        self._process.terminate()
        self._process.join()
        self._queue.close()


@contextmanager
def _one_thread_for_children() -> Iterator[None]:
    """Let the libraries of a process that is started meanwhile use one thread: they ask while they are loaded."""
    before = os.environ.get("OMP_NUM_THREADS")
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        yield
    finally:
        if before is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = before


def _work(maker: BatchMaker, steps: list[int], results: multiprocessing.queues.Queue[Any]) -> None:
    """Make the batches of ``steps`` in another process; arrays, not tensors, go back: they need no shared memory."""
    torch.set_num_threads(1)
    try:
        for step in steps:
            _put(results, maker.make_arrays(step))
    except Exception as error:  # raised again by next_batch
        _put(results, error)


def _put(results: multiprocessing.queues.Queue[Any], result: object) -> None:
    """Wait until there is room; give up if the training's own process is gone."""
    parent = multiprocessing.parent_process()
    while parent is None or parent.is_alive():
        try:
            return results.put(result, timeout=POLL_SECONDS)
        except queue.Full:
            continue
    raise SystemExit
