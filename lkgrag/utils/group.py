"""The processes of one launch, and what they tell one another."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, distributed

T = TypeVar("T")


@dataclass(frozen=True)
class Group:
    """The place of this process among those of its launch. Every method must be called by all of them.

    Attributes:
        rank: of this process, from 0.
        size: number of processes; with one, nothing is sent.
        device: of this process; tensors that are sent lie there.
    """

    rank: int = 0
    size: int = 1
    device: torch.device = torch.device("cpu")

    @classmethod
    def of(cls, device: torch.device) -> Group:
        """The group that Accelerate has formed, or this process alone.

        Args:
            device: of this process.
        """
        if not (distributed.is_available() and distributed.is_initialized()):
            return cls(device=device)
        return cls(distributed.get_rank(), distributed.get_world_size(), device)

    @property
    def is_main(self) -> bool:
        """Whether this is the first process, the only one that writes."""
        return self.rank == 0

    @property
    def is_first_here(self) -> bool:
        """Whether this is the first process of its machine, which speaks there."""
        return os.environ.get("LOCAL_RANK", str(self.rank)) == "0"

    def gather(self, value: T) -> list[T]:
        """The values of all processes, by rank. A value must be picklable."""
        values: list[Any] = [value] * self.size
        if self.size > 1:
            distributed.all_gather_object(values, value)
        return values

    def share(self, value: T) -> T:
        """The first process' value, on every process. It must be picklable."""
        values: list[Any] = [value if self.is_main else None]
        if self.size > 1:
            distributed.broadcast_object_list(values, src=0, device=self.device)
        return values[0] if self.size > 1 else value

    def sum(self, tensor: Tensor) -> Tensor:
        """The sum of a tensor over the processes, in place: the same bits on each.

        Args:
            tensor: of the same shape everywhere, on :attr:`device`.
        """
        if self.size > 1:
            distributed.all_reduce(tensor)
        return tensor

    @torch.no_grad()
    def copy(self, tensors: Iterable[Tensor]) -> None:
        """Copy the first process' values into tensors of the same shapes on every process."""
        if self.size > 1:
            for tensor in tensors:
                distributed.broadcast(tensor.data, src=0)

    def share_tensors(self, tensors: dict[str, Tensor] | None) -> dict[str, Tensor]:
        """The first process' tensors, on every process.

        Args:
            tensors: by name; those of other processes are not looked at.

        Returns:
            The same names, dtypes and shapes everywhere, on the CPU.
        """
        own = tensors or {}
        if self.size == 1:
            return own
        kinds = self.share({name: (value.dtype, value.shape) for name, value in own.items()})
        out = {}
        for name, (dtype, shape) in kinds.items():
            sent = own[name] if self.is_main else torch.empty(shape, dtype=dtype)
            sent = sent.to(self.device).contiguous()
            distributed.broadcast(sent, src=0)
            out[name] = sent.cpu()
        return out

    @torch.no_grad()
    def sum_gradients(self, parameters: Iterable[torch.nn.Parameter], loss: Tensor) -> Tensor:
        """Sum gradients over the processes, in place, in one message; a missing gradient counts as 0.

        Args:
            parameters: float32, the same on every process.
            loss: of this process, float32 ``[]``; it goes with the gradients.

        Returns:
            The sum of the losses, ``[]``.
        """
        own = list(parameters)
        for parameter in own:
            if parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        gradients = [p.grad.reshape(-1) for p in own if p.grad is not None]
        flat = self.sum(torch.cat([*gradients, loss.reshape(1)]))
        place = 0
        for parameter in own:
            parameter.grad = flat[place : place + parameter.numel()].view_as(parameter)
            place += parameter.numel()
        return flat[-1]


#: A process that has no others.
ALONE = Group()
