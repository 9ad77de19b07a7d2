"""The state of an LRURec training in one file: weights, optimiser and progress."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from safetensors import SafetensorError, safe_open

from lkgrag.errors import LkgragError, RunError
from lkgrag.utils.files import read_safetensors, write_safetensors

if TYPE_CHECKING:
    from torch import Tensor


@dataclass
class Progress:
    """How far training got. With the tensors it is all that a resumed run needs.

    Attributes:
        epoch: finished epochs.
        best: the best validation NDCG@10 so far; -1 without validation.
        best_epoch: number of epochs after which the best was reached.
        curve: validation NDCG@10 after each epoch.
        loss: mean training loss of each epoch, in nats a label.
    """

    epoch: int = 0
    best: float = -1.0
    best_epoch: int = 0
    curve: list[float] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)


def store(
    path: Path,
    identity: str,
    progress: Progress,
    model: dict[str, Tensor],
    best: dict[str, Tensor],
    optimizer: torch.optim.Optimizer,
) -> None:
    """Write everything into one file, atomically.

    Args:
        path: of the file.
        identity: of options and data, compared when the file is read.
        progress: how far training got.
        model: the weights.
        best: the weights that were best so far.
        optimizer: its state is written, but not its options.
    """
    tensors = {f"model.{k}": v for k, v in model.items()}
    tensors |= {f"best.{k}": v for k, v in best.items()}
    for index, state in optimizer.state_dict()["state"].items():
        tensors |= {f"optimizer.{index}.{k}": torch.as_tensor(v) for k, v in state.items()}
    meta = {"progress": json.dumps(asdict(progress)), "identity": identity}
    write_safetensors(path, tensors, meta, has_sum=True)


def read(path: Path, identity: str) -> tuple[Progress, dict[str, Tensor]]:
    """Read what :func:`store` wrote.

    Returns:
        Progress, and all tensors, which :func:`unpack` takes.

    Raises:
        RunError: the file belongs to other options or data.
        LkgragError: the file is broken.
    """
    tensors = read_safetensors(path)
    meta = _metadata(path)
    if meta.get("identity") != identity:
        raise RunError(
            f"{path}: this checkpoint was made with other options or data; delete it to start anew"
        )
    return Progress(**json.loads(meta["progress"])), tensors


def unpack(
    tensors: dict[str, Tensor], optimizer: torch.optim.Optimizer
) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """Part the tensors of a state; the optimiser's are set in place.

    Returns:
        The weights, and the best weights.
    """
    parts: dict[str, dict[str, Tensor]] = {"model": {}, "best": {}, "optimizer": {}}
    for name, tensor in tensors.items():
        part, key = name.split(".", 1)
        parts[part][key] = tensor
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in parts["optimizer"].items():
        index, name = key.split(".", 1)
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({**optimizer.state_dict(), "state": state})
    return parts["model"], parts["best"]


def _metadata(path: Path) -> dict[str, str]:
    try:
        with safe_open(path, framework="pt") as file:
            return file.metadata() or {}
    except (SafetensorError, OSError) as error:
        raise LkgragError(f"{path}: broken checkpoint ({error}); delete it") from error
