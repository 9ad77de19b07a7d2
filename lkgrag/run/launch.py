"""How the processes of a run were started, checked before anything is computed."""

from __future__ import annotations

import logging
import os
from datetime import timedelta
from typing import TYPE_CHECKING

from lkgrag.errors import ConfigError
from lkgrag.utils.device import CPU, FSDP, is_cpu_asked, is_fsdp_asked, is_switched_on

if TYPE_CHECKING:
    from accelerate import Accelerator

log = logging.getLogger(__name__)
#: What it sets where the configuration asks for an engine that has a training loop of its own.
ENGINES = {"ACCELERATE_USE_DEEPSPEED": "DeepSpeed", "ACCELERATE_USE_MEGATRON_LM": "Megatron-LM"}
#: What it sets to the type that products are to be computed in.
MIXED = "ACCELERATE_MIXED_PRECISION"
#: Processes of this machine.
LOCAL = "LOCAL_WORLD_SIZE"
#: How long a process may wait for the others. By default NCCL gives up after ten minutes, and what the first
#: process does alone (the bootstrap, the report) takes longer on millions of users. One that died is no reason
#: for less: the launcher ends the others.
PATIENCE = timedelta(days=1)


def warn_of_mixed_precision() -> None:
    """Say that a launcher's mixed precision is left out, as many a default configuration has it.

    Scorer and fusion would be trained and judged in other types than they serve in.
    """
    asked = os.environ.get(MIXED, "").lower()
    if asked not in ("", "no"):
        log.warning(
            "mixed_precision=%s of the launcher is not used: the language model computes in llm.dtype, "
            "all else in float32",
            asked,
        )


def refuse_shared_devices() -> None:
    """Stop where processes would share a GPU: Accelerate would deal them out in turns and say nothing.

    Without any GPU it would start as many runs of one process, which know nothing of one another.

    Raises:
        ConfigError: more processes on this machine than GPUs.
    """
    import torch

    if is_cpu_asked():
        return
    processes, devices = int(os.environ.get(LOCAL, "1")), torch.cuda.device_count()
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
    """Stop before Accelerate looks for an engine that nothing here runs on.

    Raises:
        ConfigError: the launcher was told to use one.
    """
    for variable, name in ENGINES.items():
        if is_switched_on(variable):
            raise ConfigError(
                f"{name} was asked for ({variable}=true), which lkgrag does not run on: take --config_file "
                "lkgrag/conf/accelerate/multi_gpu.yaml, or fsdp_qlora.yaml for a model that one GPU "
                "cannot hold"
            )


def refuse_other_parallelism(accelerator: Accelerator) -> None:
    """Stop where sharding was asked for and each process would silently hold the whole model.

    Raises:
        ConfigError: FSDP was asked for, but this is something else, or its first version.
    """
    from accelerate.utils import DistributedType

    if is_fsdp_asked() and accelerator.distributed_type != DistributedType.FSDP:
        found = accelerator.distributed_type.value
        raise ConfigError(
            f"FSDP was asked for ({FSDP}=true), but Accelerate runs {found}: FSDP needs GPUs and "
            "accelerate launch with several processes; take --config_file "
            "lkgrag/conf/accelerate/multi_gpu.yaml or default.yaml to run without it"
        )
    if is_fsdp_asked() and not accelerator.is_fsdp2:
        raise ConfigError(
            "FSDP of version 1 cannot mix 4-bit weights with LoRA's: set fsdp_version: 2, as in "
            "lkgrag/conf/accelerate/fsdp_qlora.yaml"
        )
