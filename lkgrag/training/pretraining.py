"""Training of a scorer alone, before the language model: minutes of LM steps saved by seconds."""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from lkgrag.errors import ConfigError
from lkgrag.ranker.fusion import Fusion, list_cross_entropy
from lkgrag.scorer.base import PathScorer, option_of, score_paths

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData

    from lkgrag.config import ScorerConfig
    from lkgrag.paths import PathBatch

#: Weight of the cross-entropy of the scorer alone, so that it cannot hide behind the prior.
AUXILIARY = 0.5
#: Share of the users whose lists decide when to stop.
HELD = 0.15
#: Epochs without a better held-out loss before it stops.
PATIENCE = 5
#: Share of the average that a step keeps; about so many steps count: 1 / (1 - AVERAGING).
AVERAGING = 0.99
BATCH = 32
WEIGHT_DECAY = 0.05


@dataclass(frozen=True)
class Pretraining:
    """What came of it; the scorer has the parameters of the best epoch.

    Attributes:
        curve: a row an epoch: ``epoch``, mean loss ``train``, and on the held-out users ``held``
            (fused), ``held_scorer`` (alone) and ``held_prior`` (without the scorer), in nats.
        best_epoch: with the lowest ``held``; 0 is before training.
        a: weight of the scorer.
        b: weight of the prior.
    """

    curve: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    a: float = 1.0
    b: float = 1.0


def pretrain(
    scorer: PathScorer,
    data: HeteroData,
    paths: PathBatch,
    target: NDArray[np.int64],
    config: ScorerConfig,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Pretraining:
    """Minimise the cross-entropy of ``a * scorer + b * prior``, plus that of the scorer alone.

    Some users' lists are held out to decide when to stop; neither validation nor test is looked at.
    Batches follow from the seed, their order from (seed,
    epoch).

    Args:
        scorer: changed in place, left in evaluation mode, on the device of ``paths``.
        data: the graph that the paths are of (cross-fitted: without what they lead to).
        paths: all examples.
        target: int64 ``[B]``, a filled slot each.
        config: ``pretrain_epochs`` and ``pretrain_lr``.
        seed: of the held-out users, the batches and dropout.
        progress: called with (epochs done, most epochs).

    Raises:
        ConfigError: a loss is not finite.
        ValueError: a target is missing.
    """
    parameters = [p for p in scorer.parameters() if p.requires_grad]
    scorer.eval()
    if not parameters or config.pretrain_epochs < 1 or paths.num_prompts < 2:
        return Pretraining()
    slots = torch.as_tensor(np.asarray(target, np.int64), device=paths.sample.device)
    if int(slots.min()) < 0:
        raise ValueError("every training list must hold its target")
    device = paths.sample.device
    fusion = Fusion().to(device)
    optimizer = _optimizer(parameters, fusion, config.pretrain_lr)
    learn, held = _split(paths.user.cpu().numpy(), seed)
    learn = np.random.default_rng([seed, 0x5C0]).permutation(learn)
    batches = _batches(paths, slots, learn)
    judged = _batches(paths, slots, held)
    best, average = _State(scorer, fusion), _Average([*parameters, *fusion.parameters()])
    curve: list[dict[str, float]] = []
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        for epoch in range(config.pretrain_epochs + 1):
            train = math.nan
            if epoch:
                order = np.random.default_rng([seed, epoch, 0x5C0]).permutation(len(batches))
                chosen = [batches[i] for i in order]
                train = _epoch(scorer, fusion, data, chosen, optimizer, average)
            with average.applied():
                row = _judge(scorer, fusion, data, judged)
                best.offer(row["held"], epoch)
            curve.append({"epoch": epoch, "train": train, **row})
            if progress is not None:
                progress(epoch, config.pretrain_epochs)
            if epoch - best.epoch >= PATIENCE:
                break
    best.restore()
    return Pretraining(curve, best.epoch, fusion.a.item(), fusion.b.item())


def _optimizer(
    parameters: list[torch.nn.Parameter], fusion: Fusion, rate: float
) -> torch.optim.Optimizer:
    """AdamW; the fusion's two scalars must not be pulled towards 0."""
    groups = [
        {"params": parameters, "weight_decay": WEIGHT_DECAY},
        {"params": list(fusion.parameters()), "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate)


def _split(user: NDArray[np.int64], seed: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Lists to learn from and lists held out, no user on both sides; strangers are one each."""
    identity = np.where(user >= 0, user, user.max(initial=0) + 1 + np.arange(len(user)))
    people = np.unique(identity)
    order = np.random.default_rng([seed, 0x4E1D]).permutation(people)
    away = order[: max(1, round(HELD * len(people)))] if len(people) > 1 else order[:0]
    out = np.isin(identity, away)
    # A single user cannot be split: then the same lists serve both ends.
    return np.flatnonzero(~out), np.flatnonzero(out) if out.any() else np.arange(len(user))


def _losses(
    scorer: PathScorer, fusion: Fusion, data: HeteroData, paths: PathBatch, target: Tensor
) -> tuple[Tensor, Tensor]:
    """Cross-entropy of each list ``[B]``, fused and of the scorer alone."""
    mask = paths.candidate_mask
    candidate = score_paths(scorer, data, paths).candidate.float()
    fused = fusion(torch.zeros_like(candidate), candidate, paths.prior.float(), mask)
    return (
        list_cross_entropy(fused, target, mask),
        list_cross_entropy(candidate, target, mask),
    )


def _batches(
    paths: PathBatch, target: Tensor, order: NDArray[np.int64]
) -> list[tuple[PathBatch, Tensor]]:
    """Collated once: only the order of the batches changes from epoch to epoch."""
    index = torch.as_tensor(order, device=target.device)
    return [(paths.prompts(part), target[part]) for part in index.split(BATCH)]


def _epoch(
    scorer: PathScorer,
    fusion: Fusion,
    data: HeteroData,
    batches: list[tuple[PathBatch, Tensor]],
    optimizer: torch.optim.Optimizer,
    average: _Average,
) -> float:
    """One pass; the mean loss."""
    scorer.train()
    total, count = 0.0, 0
    for paths, target in batches:
        fused, alone = _losses(scorer, fusion, data, paths, target)
        loss = fused.mean() + AUXILIARY * alone.mean()
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(scorer.parameters(), 1.0)
        optimizer.step()
        average.update()
        value = loss.item()
        if not math.isfinite(value):
            # Else the scorer before its training would be kept, and nobody told.
            raise ConfigError(
                f"{option_of(scorer)}: its loss in training is {value}; lower scorer.pretrain_lr, or see that "
                "its forward() stays finite where self.training is true"
            )
        total, count = total + value * len(target), count + len(target)
    scorer.eval()
    return total / max(1, count)


@torch.no_grad()
def _judge(
    scorer: PathScorer, fusion: Fusion, data: HeteroData, batches: list[tuple[PathBatch, Tensor]]
) -> dict[str, float]:
    """Mean losses over lists that nothing was learned from."""
    parts = []
    for paths, target in batches:
        fused, alone = _losses(scorer, fusion, data, paths, target)
        prior = list_cross_entropy(paths.prior.float(), target, paths.candidate_mask)
        parts.append(torch.stack([fused, alone, prior]))
    held, held_scorer, held_prior = torch.cat(parts, 1).mean(1).tolist()
    return {"held": held, "held_scorer": held_scorer, "held_prior": held_prior}


class _Average:
    """A running average of the parameters, less noisy than the last of few examples."""

    def __init__(self, parameters: list[torch.nn.Parameter]) -> None:
        self.parameters = parameters
        self.mean = [p.detach().clone() for p in parameters]
        self.steps = 0

    @torch.no_grad()
    def update(self) -> None:
        """Take the parameters of a step in."""
        self.steps += 1
        # At first the plain mean of all steps, so that the start is soon forgotten.
        share = max(1.0 / self.steps, 1.0 - AVERAGING)
        for mean, parameter in zip(self.mean, self.parameters, strict=True):
            mean.lerp_(parameter, share)

    @contextmanager
    def applied(self) -> Iterator[None]:
        """The modules have the averaged parameters within the block."""
        last = [p.detach().clone() for p in self.parameters]
        self._set(self.mean)
        try:
            yield
        finally:
            self._set(last)

    @torch.no_grad()
    def _set(self, values: list[Tensor]) -> None:
        for parameter, value in zip(self.parameters, values, strict=True):
            parameter.copy_(value)


class _State:
    """The best parameters so far."""

    def __init__(self, *modules: torch.nn.Module) -> None:
        self.modules, self.loss, self.epoch = modules, math.inf, 0
        self.best: list[dict[str, Tensor]] = []

    def offer(self, loss: float, epoch: int) -> None:
        """Keep the parameters if this loss is the lowest."""
        if loss < self.loss:
            self.loss, self.epoch = loss, epoch
            self.best = [copy.deepcopy(m.state_dict()) for m in self.modules]

    def restore(self) -> None:
        """Put the best ones back."""
        for module, state in zip(self.modules, self.best, strict=False):
            module.load_state_dict(state)
