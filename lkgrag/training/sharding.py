"""Fully sharded training (FSDP2): the frozen base is cut among processes, what learns is not.

With LoRA nearly all memory is the base model's, so only its frozen weights are cut. Adapter, head,
scorer and fusion stay whole on every process, and their gradients are averaged once a step: saved files
and checkpoints are those of an unsharded run, and a scorer may be any module (FSDP takes no scalar
parameters, for one).

Every forward pass of a sharded ranker is a common act: all processes must make equally many.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from torch import nn

from lkgrag.errors import ConfigError

if TYPE_CHECKING:
    from accelerate import Accelerator

    from lkgrag.ranker.model import RankerModel


def is_sharded(accelerator: Accelerator) -> bool:
    """Whether the model is cut among processes."""
    from accelerate.utils import DistributedType

    return accelerator.distributed_type == DistributedType.FSDP


def choose_shards(accelerator: Accelerator, model: RankerModel) -> None:
    """Tell Accelerate's plugin what to cut, before the ranker is prepared.

    Raises:
        ConfigError: there is no language model to cut.
    """
    from lkgrag.llm.lora import decoder_layers

    if model.lm is None:
        raise ConfigError("FSDP was asked for, but llm.name=none leaves nothing to shard")
    layer = decoder_layers(model.lm.model)[0]
    # Where Accelerate looks for the layers of TRANSFORMER_BASED_WRAP.
    model._no_split_modules = [type(layer).__name__]  # type: ignore[assignment]
    accelerator.state.fsdp_plugin.ignored_modules = [
        module
        for module in model.modules()
        if any(p.requires_grad for p in module.parameters(recurse=False))
    ]


def learned(module: nn.Module) -> list[nn.Parameter]:
    """The parameters that learn, in the same order on every process."""
    return [p for p in module.parameters() if p.requires_grad]


@torch.no_grad()
def align(parameters: Iterable[nn.Parameter]) -> None:
    """Start from the first process' values everywhere, as DistributedDataParallel does."""
    for parameter in parameters:
        torch.distributed.broadcast(parameter.data, src=0)


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Average gradients over processes, in place; a missing one counts as 0."""
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        torch.distributed.all_reduce(parameter.grad)
        parameter.grad /= torch.distributed.get_world_size()
