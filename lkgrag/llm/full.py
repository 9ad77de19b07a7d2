"""Full fine-tuning: all weights of a small language model learn, in float32, without an adapter."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import nn

from lkgrag.errors import ModelError
from lkgrag.llm.lora import backbone
from lkgrag.utils.files import read_safetensors, write_safetensors

if TYPE_CHECKING:
    from pathlib import Path

    from lkgrag.config import LLMConfig

#: ``llm.adapter=auto`` trains all weights of a model with fewer parameters than this.
LIMIT = 500_000_000
#: File of the changed weights.
WEIGHTS_FILE = "weights.safetensors"
#: Bytes of a parameter in training: weight, gradient and AdamW's two moments, in float32.
TRAINED = 16


def is_full(config: LLMConfig, parameters: int) -> bool:
    """Whether all weights of a model learn.

    Args:
        config: ``adapter`` and ``quantization``; weights in 4 bits cannot learn.
        parameters: of the layers that are kept.
    """
    if config.quantization == "nf4":
        return False
    return config.adapter == "full" or (config.adapter == "auto" and parameters < LIMIT)


def count_weights(model: nn.Module) -> int:
    """Number of a model's parameters; shared ones count once."""
    return sum(p.numel() for p in model.parameters())


def unfreeze(model: nn.Module) -> None:
    """Let all weights learn that hidden states depend on; an output layer with its own weights does not."""
    # As LoRA does, with a model that was not frozen.
    model.requires_grad_(False)
    backbone(model).requires_grad_(True)


def save_weights(model: nn.Module, folder: Path) -> None:
    """Write the weights of :func:`unfreeze` in their own type."""
    weights = {name: p.detach() for name, p in backbone(model).named_parameters()}
    write_safetensors(folder / WEIGHTS_FILE, weights)


@torch.no_grad()
def load_weights(model: nn.Module, folder: Path) -> None:
    """Read what :func:`save_weights` wrote into a model of the same shape.

    Raises:
        ModelError: the weights are of another model, or of another number of layers.
        LkgragError: the file is missing or broken.
    """
    path = folder / WEIGHTS_FILE
    found, expected = read_safetensors(path), dict(backbone(model).named_parameters())
    wrong = [
        name
        for name in {*found, *expected}
        if name not in found or name not in expected or found[name].shape != expected[name].shape
    ]
    if wrong:
        raise ModelError(
            f"{path}: weights of another model ({len(wrong)} differ, as {sorted(wrong)[0]})"
        )
    for name, parameter in expected.items():
        parameter.copy_(found[name])
