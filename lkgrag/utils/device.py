"""What a process computes on: cores, threads, the device, and what the launcher asked for."""

from __future__ import annotations

import os

import torch

from lkgrag.errors import ModelError

#: What the launcher sets where its configuration asks for fully sharded data parallelism.
FSDP = "ACCELERATE_USE_FSDP"
#: What it sets where the CPU was asked for.
CPU = "ACCELERATE_USE_CPU"


def is_switched_on(variable: str) -> bool:
    """Whether the launcher switched something on by a variable of the environment."""
    return os.environ.get(variable, "false").lower() in ("true", "1", "yes")


def is_fsdp_asked() -> bool:
    """Whether the launcher was told to shard the model over its processes."""
    return is_switched_on(FSDP)


def is_cpu_asked() -> bool:
    """Whether the launcher was told to stay on the CPU."""
    return is_switched_on(CPU)


def cores() -> int:
    """CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def threads(wanted: int) -> int:
    """CPU threads of this process.

    Args:
        wanted: ``threads`` of the configuration; below 1 shares the cores among the local processes.
    """
    if wanted > 0:
        return wanted
    local = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return max(1, cores() // local)


def set_threads(wanted: int) -> int:
    """Set the number of threads before the first parallel operation, and return it.

    The launcher sets ``OMP_NUM_THREADS=1``, so the program itself must set the number.

    Args:
        wanted: as of :func:`threads`.
    """
    count = threads(wanted)
    torch.set_num_threads(count)
    return count


def choose_device(wanted: torch.device | str | None = None) -> torch.device:
    """The device of a process that belongs to no launch: a GPU if there is one.

    Args:
        wanted: a device to take instead.

    Raises:
        ModelError: this machine has no such device.
    """
    if wanted is None:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        device = torch.device(wanted)
        torch.empty(0, device=device)
    except (RuntimeError, AssertionError) as error:
        # Not every build of PyTorch knows every device; each refuses in its own way.
        raise ModelError(
            f"device={wanted}: PyTorch cannot use it on this machine; take device='cpu', or leave it "
            "out for the best one there is"
        ) from error
    return device
