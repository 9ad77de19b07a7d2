"""What a process sets before its first parallel operation: threads, device."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import torch

from lkgrag.rundir import cores

if TYPE_CHECKING:
    from lkgrag.config import Config


def threads(config: Config) -> int:
    """CPU threads of this process: ``threads``, or the cores shared among the local processes."""
    if config.threads > 0:
        return config.threads
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, cores() // local)


def prepare_process(config: Config) -> int:
    """Set the number of threads and deterministic algorithms; return the number of threads.

    The launcher sets ``OMP_NUM_THREADS=1``, so the number must be set by the program itself.
    """
    count = threads(config)
    torch.set_num_threads(count)
    return count


def device() -> torch.device:
    """The device of a process that is no part of a launch: a GPU if there is one."""
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")
