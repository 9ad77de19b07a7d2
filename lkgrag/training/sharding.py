"""Fully sharded training (FSDP2): the frozen base model is cut among processes, all else stays whole.

With LoRA nearly all memory is the base model's, so only its frozen weights are cut. Adapter, head,
scorer and fusion stay whole on every process, and their gradients are averaged once a step. Saved files
and checkpoints are thus those of an unsharded run. A scorer may be any module, even one with scalar
parameters, which FSDP refuses.

Every forward pass of a sharded ranker needs all processes: each must make equally many.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import torch
from accelerate.utils import DistributedType
from torch import nn

from lkgrag.errors import ConfigError
from lkgrag.llm.lora import decoder_layers

if TYPE_CHECKING:
    from accelerate import Accelerator

    from lkgrag.ranker.model import RankerModel


def is_sharded(accelerator: Accelerator) -> bool:
    """Whether the model is cut among processes."""
    return accelerator.distributed_type == DistributedType.FSDP


def choose_shards(accelerator: Accelerator, model: RankerModel) -> None:
    """Tell Accelerate's plugin what to cut; call it before Accelerate prepares the ranker.

    Raises:
        ConfigError: the ranker has no language model to cut, or all of its weights learn.
    """
    if model.lm is None:
        raise ConfigError("FSDP was asked for, but llm.name=none leaves nothing to shard")
    if model.lm.is_full:
        raise ConfigError(
            "FSDP shards frozen weights, but llm.adapter trains all of them: set llm.adapter=lora"
        )
    layer = decoder_layers(model.lm.model)[0]
    # Accelerate reads the layers of TRANSFORMER_BASED_WRAP from this attribute.
    model._no_split_modules = [type(layer).__name__]  # type: ignore[assignment]
    accelerator.state.fsdp_plugin.ignored_modules = [
        module
        for module in model.modules()
        if any(p.requires_grad for p in module.parameters(recurse=False))
    ]


def trainable_parameters(module: nn.Module) -> list[nn.Parameter]:
    """The parameters that training changes, in the same order on every process."""
    return [p for p in module.parameters() if p.requires_grad]


@torch.no_grad()
def align(parameters: Iterable[nn.Parameter]) -> None:
    """Copy the first process' values to all processes, as DistributedDataParallel does."""
    for parameter in parameters:
        torch.distributed.broadcast(parameter.data, src=0)


@torch.no_grad()
def average_gradients(parameters: Iterable[nn.Parameter]) -> None:
    """Average gradients over processes, in place; a missing gradient counts as 0."""
    for parameter in parameters:
        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        torch.distributed.all_reduce(parameter.grad)
        parameter.grad /= torch.distributed.get_world_size()
