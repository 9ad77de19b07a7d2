"""Checkpoints: everything that goes on from a step, in one safetensors file.

One file is written under a temporary name and renamed, so that a checkpoint is whole or absent. It
holds the trainable parameters, AdamW's moments, what a scorer keeps beside its parameters (buffers, which a
forward pass may change) and, in its header, the step and the curve as JSON.
Random numbers need no state: all derive from (seed, epoch, example).
"""

from __future__ import annotations

import json
from dataclasses import dataclass
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


@dataclass(frozen=True)
class Checkpoint:
    """Where a training's checkpoint lies, and what the training depends on.

    Attributes:
        folder: of the file.
        key: a hash of all that the training depends on; a checkpoint of another key is refused.
    """

    folder: Path
    key: str

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / FILE

    def exists(self) -> bool:
        """Whether a training can go on from here."""
        return self.path.exists()

    def save(
        self, module: nn.Module, optimizer: torch.optim.Optimizer, state: dict[str, Any]
    ) -> None:
        """Write the checkpoint of a step, replacing the one before.

        Args:
            module: the unwrapped model.
            optimizer: AdamW over its trainable parameters.
            state: plain values to come back (step, curve).
        """
        tensors: dict[str, torch.Tensor] = {}
        for name, parameter in trainable(module).items():
            tensors[f"model.{name}"] = parameter
            for key, value in optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{key}.{name}"] = torch.as_tensor(value)
        tensors |= {f"state.{name}": value for name, value in beside(module).items()}
        header = {"state": json.dumps({"format": FORMAT, "depends": self.key, **state})}
        write_safetensors(self.path, tensors, header)

    def load(self, module: nn.Module, optimizer: torch.optim.Optimizer) -> dict[str, Any] | None:
        """Restore a checkpoint in place.

        Returns:
            The state given to :meth:`save`, or None if there is no checkpoint.

        Raises:
            RunError: the file is broken, of another format, or of another model, data or options.
        """
        if not self.exists():
            return None
        advice = "delete it, or start with overwrite=true"
        try:
            with safe_open(str(self.path), framework="pt") as file:
                state = json.loads((file.metadata() or {}).get("state", "{}"))
                if state.get("format") != FORMAT:
                    raise RunError(f"{self.path}: a checkpoint of another format; {advice}")
                parameters = trainable(module)
                names = {n for n in file.keys() if n.startswith("model.")}  # noqa: SIM118 (no dict)
                if names != {f"model.{n}" for n in parameters}:
                    raise RunError(f"{self.path}: a checkpoint of another model; {advice}")
                _restore(file, module, optimizer)
        except (SafetensorError, OSError, ValueError) as error:
            raise RunError(f"{self.path}: broken checkpoint ({error}); {advice}") from error
        if state["depends"] != self.key:
            raise RunError(
                f"{self.folder}: the checkpoint belongs to other data or options; "
                "start with overwrite=true or another out="
            )
        return dict(state)


def _restore(file: Any, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Copy a checkpoint's tensors into the module and the optimiser.

    Args:
        file: an open safetensors file, whose class has no public name.
        module: changed in place.
        optimizer: likewise.
    """
    names = set(file.keys())
    with torch.no_grad():
        for name, parameter in trainable(module).items():
            parameter.copy_(file.get_tensor(f"model.{name}"))
            moments = {}
            for key in ("step", "exp_avg", "exp_avg_sq"):
                full = f"optimizer.{key}.{name}"
                if full in names:
                    value = file.get_tensor(full)
                    moments[key] = value if key == "step" else value.to(parameter.device)
            if moments:
                optimizer.state[parameter] = moments
    kept = {n: file.get_tensor(f"state.{n}") for n in beside(module) if f"state.{n}" in names}
    if kept:
        module.scorer.load_state_dict(kept, strict=False)  # type: ignore[union-attr]
