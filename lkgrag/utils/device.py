"""What a process computes on: cores, threads, the device, and the settings of the launcher."""

from __future__ import annotations

import os

import torch

from lkgrag.errors import ModelError
from lkgrag.utils.launcher import count_local_processes

#: The launcher sets this variable if its configuration asks for fully sharded data parallelism.
FSDP = "ACCELERATE_USE_FSDP"
#: The launcher sets this variable if its configuration asks for the CPU.
CPU = "ACCELERATE_USE_CPU"


def is_switched_on(variable: str) -> bool:
    """Whether the launcher has set an environment variable to true."""
    return os.environ.get(variable, "false").lower() in ("true", "1", "yes")


def is_fsdp_asked() -> bool:
    """Whether the launcher asks to shard the model over its processes."""
    return is_switched_on(FSDP)


def is_cpu_asked() -> bool:
    """Whether the launcher asks to stay on the CPU."""
    return is_switched_on(CPU)


def count_cores() -> int:
    """Count the CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def count_threads(wanted: int) -> int:
    """Return the number of CPU threads for this process.

    Args:
        wanted: the option ``threads``. Below 1, the local processes share the cores equally.
    """
    if wanted > 0:
        return wanted
    local = count_local_processes()
    return max(1, count_cores() // local)


def set_threads(wanted: int) -> int:
    """Set the number of threads before the first parallel operation, and return it.

    The launcher sets ``OMP_NUM_THREADS=1``, so the program itself must set the number.

    Args:
        wanted: as in :func:`count_threads`.
    """
    count = count_threads(wanted)
    torch.set_num_threads(count)
    return count


def choose_device(wanted: torch.device | str | None = None) -> torch.device:
    """Choose the device of a process that no launcher started: a GPU if there is one.

    Args:
        wanted: a device to take instead.

    Raises:
        ModelError: PyTorch cannot use that device on this machine.
    """
    if wanted is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError, TypeError) as error:
        # Builds of PyTorch raise different errors for a device that they do not know.
        raise ModelError(
            f"device={wanted}: PyTorch cannot use it on this machine; take device='cpu', or leave it "
            "out for the best device there is"
        ) from error
    return device
