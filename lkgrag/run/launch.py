"""Checks of how a run's processes were started, before anything is computed."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import timedelta
from typing import TYPE_CHECKING, TypeVar

import torch
from accelerate.utils import DistributedType

from lkgrag.errors import ConfigError
from lkgrag.utils.device import CPU, FSDP, is_cpu_asked, is_fsdp_asked, is_switched_on
from lkgrag.utils.group import Group
from lkgrag.utils.heartbeat import together
from lkgrag.utils.launcher import count_local_processes

if TYPE_CHECKING:
    from accelerate import Accelerator

    from lkgrag.config import NodesConfig

log = logging.getLogger(__name__)
#: Variables that the launcher sets for engines that bring their own training loop.
ENGINES = {"ACCELERATE_USE_DEEPSPEED": "DeepSpeed", "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM"}
#: Variable that the launcher sets to the dtype of mixed precision.
MIXED_PRECISION = "ACCELERATE_MIXED_PRECISION"
#: How long a process may wait for the others. NCCL's default is ten minutes, but the first process' own work
#: (the bootstrap, the report) takes longer for millions of users. If a process dies, the launcher ends the
#: others, so a long limit does no harm.
PATIENCE = timedelta(days=1)

#: How to go on after another process of a run was lost.
GO_ON = "the same command goes on from the last finished stage or checkpoint"
T = TypeVar("T")


@contextmanager
def launched(nodes: NodesConfig, advice: str, start: Callable[[], T]) -> Iterator[T]:
    """Meet the other processes of the launch, connect to them, and watch them while the block runs.

    Args:
        nodes: how long to wait.
        advice: how to go on after a loss.
        start: lets Accelerate connect the processes; its result is yielded.

    Raises:
        LkgragError: as of :func:`lkgrag.utils.heartbeat.together`.
    """
    with together(nodes.timeout, nodes.join, advice) as heartbeat:
        with nullcontext() if heartbeat is None else heartbeat.forming(nodes.join):
            state = start()
            # Some libraries connect with the first message only.
            Group.of(torch.device("cpu")).gather(None)
        yield state


def warn_of_mixed_precision() -> None:
    """Warn if the launcher asks for mixed precision, as many default configurations do: it is not used.

    Otherwise scorer and fusion would be trained in other dtypes than they serve in.
    """
    precision = os.environ.get(MIXED_PRECISION, "").lower()
    if precision not in ("", "no"):
        log.warning(
            "mixed_precision=%s of the launcher is not used: the language model computes in llm.dtype, "
            "all else in float32",
            precision,
        )


def refuse_shared_devices() -> None:
    """Refuse more processes than GPUs on this machine.

    Accelerate would let processes share a GPU without a word. Without any GPU it would start several runs
    of one process each, which would not know of one another.

    Raises:
        ConfigError: there are more processes than GPUs, and the CPU was not asked for.
    """
    if is_cpu_asked():
        return
    processes, devices = count_local_processes(), torch.cuda.device_count()
    if processes > 1 and not (torch.cuda.is_available() or torch.accelerator.is_available()):
        raise ConfigError(
            f"{processes} processes on GPUs were asked for, but PyTorch finds no GPU on this machine: "
            f"start with python -m lkgrag.train, or set {CPU}=true for {processes} processes on the CPU"
        )
    if torch.cuda.is_available() and processes > devices:
        raise ConfigError(
            f"{processes} processes, but this machine has {devices} GPU{'s' if devices != 1 else ''}: "
            f"start accelerate launch with --num_processes {devices}, or set {CPU}=true for the CPU"
        )


def refuse_other_engines() -> None:
    """Refuse engines that lkgrag does not run on, before Accelerate looks for them.

    Raises:
        ConfigError: the launcher asks for such an engine.
    """
    for variable, name in ENGINES.items():
        if is_switched_on(variable):
            raise ConfigError(
                f"{name} was asked for ({variable}=true), but lkgrag does not run on it: use --config_file "
                "lkgrag/conf/accelerate/multi_gpu.yaml, or fsdp_qlora.yaml for a model that one GPU "
                "cannot hold"
            )


def refuse_other_parallelism(accelerator: Accelerator) -> None:
    """Refuse a launch that asks for sharding, but would silently hold the whole model on each process.

    Raises:
        ConfigError: FSDP was asked for, but Accelerate runs something else, or FSDP's first version.
    """
    if is_fsdp_asked() and accelerator.distributed_type != DistributedType.FSDP:
        actual = accelerator.distributed_type.value
        raise ConfigError(
            f"FSDP was asked for ({FSDP}=true), but Accelerate runs {actual}: FSDP needs GPUs and "
            "accelerate launch with several processes; use --config_file "
            "lkgrag/conf/accelerate/multi_gpu.yaml or default.yaml to run without it"
        )
    if is_fsdp_asked() and not accelerator.is_fsdp2:
        raise ConfigError(
            "version 1 of FSDP cannot mix 4-bit weights with those of LoRA: set fsdp_version: 2, as in "
            "lkgrag/conf/accelerate/fsdp_qlora.yaml"
        )
