"""Parameters in the course of a training: their running average, and those of the best epoch."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor

#: Share of the average that a step keeps. About 1 / (1 - AVERAGING) steps count.
AVERAGING = 0.99


class Average:
    """A running average of the parameters, which is less noisy than the last step."""

    def __init__(self, parameters: list[torch.nn.Parameter]) -> None:
        self.parameters = parameters
        self.mean = [p.detach().clone() for p in parameters]
        self.steps = 0

    @torch.no_grad()
    def update(self) -> None:
        """Add the parameters of a step to the average."""
        self.steps += 1
        # The first steps form a plain mean, so that the initial parameters soon stop to count.
        share = max(1.0 / self.steps, 1.0 - AVERAGING)
        for mean, parameter in zip(self.mean, self.parameters, strict=True):
            mean.lerp_(parameter, share)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Give the modules the averaged parameters within the block."""
        current = [p.detach().clone() for p in self.parameters]
        self._set(self.mean)
        try:
            yield
        finally:
            self._set(current)

    @torch.no_grad()
    def _set(self, values: list[Tensor]) -> None:
        for parameter, value in zip(self.parameters, values, strict=True):
            parameter.copy_(value)


class BestState:
    """The parameters of the best epoch so far."""

    def __init__(self, *modules: torch.nn.Module) -> None:
        self.modules, self.loss, self.epoch = modules, math.inf, 0
        self.best: list[dict[str, Tensor]] = []

    def offer(self, loss: float, epoch: int) -> None:
        """Keep the current parameters if this loss is the lowest so far."""
        if loss < self.loss:
            self.loss, self.epoch = loss, epoch
            self.best = [copy.deepcopy(m.state_dict()) for m in self.modules]

    def restore(self) -> None:
        """Give the modules the best parameters."""
        for module, state in zip(self.modules, self.best, strict=False):
            module.load_state_dict(state)
