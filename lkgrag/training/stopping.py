"""Early stopping: some users' lists are held out, and the weights that rank these best are kept."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from lkgrag.training.checkpoint import named_trainable_parameters, scorer_state
from lkgrag.training.pretraining import tell_users_apart

if TYPE_CHECKING:
    from numpy.typing import NDArray

#: Column of the learning curve that holds the loss on the held-out lists.
HELD_OUT = "held_out"


def hold_out(user: NDArray[np.int64], share: float, seed: int) -> NDArray[np.bool_]:
    """Choose the lists that are held out: all of some users.

    Args:
        user: int64 ``[N]``, user of each list; each -1 counts as a user of its own.
        share: of the users; at least one user is held out and one is left, unless the share is 0.
        seed: of the draw.

    Returns:
        bool ``[N]``; all False where there are fewer than two users.
    """
    user_id = tell_users_apart(user)
    users = np.unique(user_id)
    if share <= 0 or len(users) < 2:
        return np.zeros(len(user), bool)
    count = min(max(1, round(share * len(users))), len(users) - 1)
    order = np.random.default_rng([seed, 0x57097]).permutation(users)
    return np.isin(user_id, order[:count])


@dataclass
class EarlyStopping:
    """Keeps the weights of the lowest loss on held-out lists, and says when to stop.

    All but the weights follows from the learning curve, so a resumed training decides as an unbroken one.

    Attributes:
        every: optimiser steps between checks.
        patience: checks without a lower loss before the training stops.
        best: weights of the lowest loss so far, by name, on the CPU; empty before the first check.
    """

    every: int
    patience: int
    best: dict[str, Tensor] = field(default_factory=dict)

    def is_due(self, done: int, steps: int) -> bool:
        """Whether the held-out lists are looked at after ``done`` of ``steps`` steps."""
        return done == steps or done % self.every == 0

    def is_over(self, curve: list[dict[str, float]]) -> bool:
        """Whether the last checks of a curve brought no lower loss."""
        losses = _losses(curve)
        return bool(losses) and len(losses) - 1 - int(np.argmin(losses)) >= self.patience

    def offer(self, module: nn.Module, curve: list[dict[str, float]]) -> None:
        """Keep the module's trainable weights if the curve's last check has the lowest loss."""
        losses = _losses(curve)
        if int(np.argmin(losses)) == len(losses) - 1:
            state = named_trainable_parameters(module) | scorer_state(module)
            # A copy even on the CPU: training changes the originals.
            self.best = {name: value.detach().to("cpu", copy=True) for name, value in state.items()}

    @torch.no_grad()
    def restore(self, module: nn.Module) -> None:
        """Give the module the best weights, if there was a check."""
        if not self.best:
            return
        for name, parameter in named_trainable_parameters(module).items():
            parameter.copy_(self.best[name])
        state = {name: self.best[name] for name in scorer_state(module) if name in self.best}
        if state:
            module.scorer.load_state_dict(state, strict=False)  # type: ignore[union-attr]


def _losses(curve: list[dict[str, float]]) -> list[float]:
    """The losses of all checks; one that is not finite counts as the worst."""
    found = [row[HELD_OUT] for row in curve if HELD_OUT in row]
    return [loss if math.isfinite(loss) else math.inf for loss in found]
