"""Checkpoints: everything that goes on from a step, in one safetensors file.

One file is written under a temporary name and renamed, so that a checkpoint is whole or absent. It
holds the trainable parameters, AdamW's moments, what a scorer keeps beside its parameters (buffers, which a
forward pass may change) and, in its header, the step and the curve as JSON.
Random numbers need no state: all derive from (seed, epoch, example).
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from lkgrag.errors import RunError
from lkgrag.utils.files import write_safetensors

FILE = "checkpoint.safetensors"
FORMAT = 1


def trainable(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that training changes, by name."""
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


def beside(module: nn.Module) -> dict[str, torch.Tensor]:
    """What the scorer of a ranker keeps beside its parameters, as running means, by name."""
    scorer = getattr(module, "scorer", None)
    if not isinstance(scorer, nn.Module):
        return {}
    # Of a shared one, the parameter's other names are no state of their own.
    parameters = {name for name, _ in scorer.named_parameters(remove_duplicate=False)}
    state = scorer.state_dict()
    return {name: value for name, value in state.items() if name not in parameters}


def save_checkpoint(
    folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> None:
    """Write the checkpoint of a step, replacing the one before.

    Args:
        folder: of the checkpoint.
        module: the unwrapped model.
        optimizer: AdamW over its trainable parameters.
        state: plain values to come back (step, curve, what the run depends on).
    """
    tensors: dict[str, torch.Tensor] = {}
    for name, parameter in trainable(module).items():
        tensors[f"model.{name}"] = parameter
        for key, value in optimizer.state.get(parameter, {}).items():
            tensors[f"optimizer.{key}.{name}"] = torch.as_tensor(value)
    tensors |= {f"state.{name}": value for name, value in beside(module).items()}
    header = {"state": json.dumps({"format": FORMAT, **state})}
    write_safetensors(folder / FILE, tensors, header)


def load_checkpoint(
    folder: Path, module: nn.Module, optimizer: torch.optim.Optimizer
) -> dict[str, Any] | None:
    """Restore a checkpoint in place.

    Returns:
        The state given to :func:`save_checkpoint`, or None if there is no checkpoint.

    Raises:
        RunError: the file is broken, of another format, or of another model.
    """
    path = folder / FILE
    if not path.exists():
        return None
    advice = "delete it, or start with overwrite=true"
    try:
        with safe_open(str(path), framework="pt") as file:
            state = json.loads((file.metadata() or {}).get("state", "{}"))
            if state.get("format") != FORMAT:
                raise RunError(f"{path}: a checkpoint of another format; {advice}")
            names = set(file.keys())
            parameters = trainable(module)
            if {n for n in names if n.startswith("model.")} != {f"model.{n}" for n in parameters}:
                raise RunError(f"{path}: a checkpoint of another model; {advice}")
            with torch.no_grad():
                for name, parameter in parameters.items():
                    parameter.copy_(file.get_tensor(f"model.{name}"))
                    moments = {}
                    for key in ("step", "exp_avg", "exp_avg_sq"):
                        full = f"optimizer.{key}.{name}"
                        if full in names:
                            value = file.get_tensor(full)
                            moments[key] = value if key == "step" else value.to(parameter.device)
                    if moments:
                        optimizer.state[parameter] = moments
            kept = {
                n: file.get_tensor(f"state.{n}") for n in beside(module) if f"state.{n}" in names
            }
            if kept:
                module.scorer.load_state_dict(kept, strict=False)  # type: ignore[union-attr]
    except (SafetensorError, OSError, ValueError) as error:
        raise RunError(f"{path}: broken checkpoint ({error}); {advice}") from error
    return state
