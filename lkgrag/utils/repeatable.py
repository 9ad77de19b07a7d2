"""Trainings that can be repeated to the last bit."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def summed_in_order(device: torch.device) -> Iterator[None]:
    """Let gradients be summed in one order within the block.

    On a CPU with several threads, PyTorch adds the gradients of an indexed tensor, as ``items[index]``, in the order in
    which the threads come to them (``index_put_`` with ``accumulate``). So each run of a training had other last
    digits, and after some epochs other figures. With the flag for deterministic algorithms one thread adds them; where it is many,
    ``torch.nn.functional.embedding`` does the same with all threads. On a GPU the
    flag would choose other algorithms, and refuse some, so nothing is changed there.

    Args:
        device: of the gradients.
    """
    if device.type != "cpu" or torch.are_deterministic_algorithms_enabled():
        yield
        return
    # The flag also fills new memory, which takes time and changes no result.
    filled = torch.utils.deterministic.fill_uninitialized_memory  # type: ignore[attr-defined]
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    torch.use_deterministic_algorithms(True, warn_only=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(False)
        torch.utils.deterministic.fill_uninitialized_memory = filled  # type: ignore[attr-defined]
