"""What a process sets before its first parallel operation: threads, device."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch

from lkgrag.errors import ModelError

if TYPE_CHECKING:
    from lkgrag.config import Config


def threads(config: Config) -> int:
    """CPU threads of this process: ``threads``, or the cores shared among the local processes."""
    if config.threads > 0:
        return config.threads
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, cores() // local)


def prepare_process(config: Config) -> int:
    """Set the number of threads, and return it.

    The launcher sets ``OMP_NUM_THREADS=1``, so the number must be set by the program itself.
    """
    count = threads(config)
    torch.set_num_threads(count)
    return count


def device(asked: torch.device | str | None = None) -> torch.device:
    """The device of a process that is no part of a launch: a GPU if there is one.

    Args:
        asked: a device to take instead.

    Raises:
        ModelError: this machine has no such device.
    """
    if asked is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        found = torch.device(asked)
        torch.empty(0, device=found)
    except (RuntimeError, AssertionError) as error:
        # Not every build of PyTorch knows every device; each refuses in its own way.
        raise ModelError(
            f"device={asked}: PyTorch cannot use it on this machine; take device='cpu', or leave it "
            "out for the best one there is"
        ) from error
    return found


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
