"""Checkpoints: all that a training needs to go on from a step, in one safetensors file.

The file is written under a temporary name and renamed, so that a checkpoint is whole or absent. It
holds the trainable parameters, AdamW's moments and the scorer's state beside its parameters (buffers,
which a forward pass may change), and with early stopping the best weights so far. Its header holds the step and the curve as JSON.
Random numbers need no state: all derive from (seed, epoch, example).
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from lkgrag.errors import RunError
from lkgrag.utils.files import TensorFile, check_sum, write_safetensors

FILE = "checkpoint.safetensors"
FORMAT = 1


def named_trainable_parameters(module: nn.Module) -> dict[str, nn.Parameter]:
    """The parameters that training changes, by name."""
    return {name: p for name, p in module.named_parameters() if p.requires_grad}


def scorer_state(module: nn.Module) -> dict[str, torch.Tensor]:
    """The state of a ranker's scorer beside its parameters, such as running means, by name."""
    scorer = getattr(module, "scorer", None)
    if not isinstance(scorer, nn.Module):
        return {}
    # The other names of a shared parameter are no state.
    parameters = {name for name, _ in scorer.named_parameters(remove_duplicate=False)}
    state = scorer.state_dict()
    return {name: value for name, value in state.items() if name not in parameters}


@dataclass(frozen=True)
class Checkpoint:
    """Where a training's checkpoint is stored, and what the training depends on.

    Attributes:
        folder: folder of the file.
        key: a hash of all that the training depends on; a checkpoint with another key is refused.
    """

    folder: Path
    key: str

    @property
    def path(self) -> Path:
        """The file."""
        return self.folder / FILE

    def exists(self) -> bool:
        """Whether there is a checkpoint to go on from."""
        return self.path.exists()

    def save(
        self,
        module: nn.Module,
        optimizer: torch.optim.Optimizer,
        state: dict[str, Any],
        best: Mapping[str, torch.Tensor] | None = None,
    ) -> None:
        """Write the checkpoint of a step; it replaces the one before.

        Args:
            module: the model, not wrapped by Accelerate.
            optimizer: AdamW over its trainable parameters.
            state: plain values that :meth:`load` gives back (step, curve).
            best: weights of the best step so far, which :meth:`load_best` gives back.
        """
        tensors: dict[str, torch.Tensor] = {}
        for name, parameter in named_trainable_parameters(module).items():
            tensors[f"model.{name}"] = parameter
            for key, value in optimizer.state.get(parameter, {}).items():
                tensors[f"optimizer.{key}.{name}"] = torch.as_tensor(value)
        tensors |= {f"state.{name}": value for name, value in scorer_state(module).items()}
        tensors |= {f"best.{name}": value for name, value in (best or {}).items()}
        header = {"state": json.dumps({"format": FORMAT, "depends": self.key, **state})}
        write_safetensors(self.path, tensors, header, has_sum=True)

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
                parameters = named_trainable_parameters(module)
                names = {n for n in file.keys() if n.startswith("model.")}  # noqa: SIM118 (no dict)
                if names != {f"model.{n}" for n in parameters}:
                    raise RunError(f"{self.path}: a checkpoint of another model; {advice}")
                check_sum(file)
                _restore(file, module, optimizer)
        except (SafetensorError, OSError, ValueError) as error:
            raise RunError(f"{self.path}: broken checkpoint ({error}); {advice}") from error
        if state["depends"] != self.key:
            raise RunError(
                f"{self.folder}: the checkpoint belongs to other data or options; "
                "start with overwrite=true or another out="
            )
        return dict(state)

    def load_best(self) -> dict[str, torch.Tensor]:
        """The weights of the best step so far, by name, on the CPU; empty if none were saved.

        Call it after :meth:`load`, which checks the file.
        """
        with safe_open(str(self.path), framework="pt") as file:
            names = [name for name in file.keys() if name.startswith("best.")]  # noqa: SIM118
            return {name.removeprefix("best."): file.get_tensor(name) for name in names}


def _restore(file: TensorFile, module: nn.Module, optimizer: torch.optim.Optimizer) -> None:
    """Copy a checkpoint's tensors into the module and the optimiser, in place."""
    names = set(file.keys())
    with torch.no_grad():
        for name, parameter in named_trainable_parameters(module).items():
            parameter.copy_(file.get_tensor(f"model.{name}"))
            moments = {}
            for key in ("step", "exp_avg", "exp_avg_sq"):
                full = f"optimizer.{key}.{name}"
                if full in names:
                    value = file.get_tensor(full)
                    moments[key] = value if key == "step" else value.to(parameter.device)
            if moments:
                optimizer.state[parameter] = moments
    stored = [name for name in scorer_state(module) if f"state.{name}" in names]
    if stored:
        state = {name: file.get_tensor(f"state.{name}") for name in stored}
        module.scorer.load_state_dict(state, strict=False)  # type: ignore[union-attr]
