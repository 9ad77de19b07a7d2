"""Training of a scorer alone, before the language model: seconds of it save minutes of LM steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import torch
from torch import Tensor

from lkgrag.errors import ConfigError
from lkgrag.ranker.fusion import Fusion, list_cross_entropy
from lkgrag.scorer.base import PathScorer, option_of, score_paths
from lkgrag.training.averaging import Average, BestState
from lkgrag.utils.repeatable import summed_in_order
from lkgrag.utils.watching import tell_figure

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData

    from lkgrag.config import ScorerConfig
    from lkgrag.paths import PathBatch

#: Weight of the scorer's own cross-entropy, so that the scorer cannot hide behind the prior.
AUXILIARY = 0.5
#: Share of the users whose lists are held out and decide when to stop.
HELD_OUT = 0.15
#: Epochs without a lower held-out loss before training stops.
PATIENCE = 5
#: Lists a batch.
BATCH = 32
WEIGHT_DECAY = 0.05


@dataclass(frozen=True)
class Pretraining:
    """The result of a scorer's training; the scorer itself has the parameters of the best epoch.

    Attributes:
        curve: one row an epoch: ``epoch``, the mean loss ``train``, and the losses on held-out users:
            ``held`` (fused), ``held_scorer`` (scorer alone) and ``held_prior`` (prior alone), in nats.
        best_epoch: the epoch with the lowest ``held``; 0 is before training.
        a: weight of the scorer.
        b: weight of the prior.
        idle: names of trainable parameters of the scorer whose gradient was 0 in every step.
    """

    curve: list[dict[str, float]] = field(default_factory=list)
    best_epoch: int = 0
    a: float = 1.0
    b: float = 1.0
    idle: list[str] = field(default_factory=list)


class ExampleLists(NamedTuple):
    """Training lists whose paths lie in one graph.

    Attributes:
        data: the graph (cross-fitted: without the events that the lists lead to).
        paths: the paths of ``B`` lists.
        target: int64 ``[B]``, a filled slot each.
    """

    data: HeteroData
    paths: PathBatch
    target: NDArray[np.int64]


class _Batch(NamedTuple):
    """Lists of one graph, small enough for one step."""

    data: HeteroData
    paths: PathBatch
    target: Tensor


def pretrain(
    scorer: PathScorer,
    data: HeteroData,
    paths: PathBatch,
    target: NDArray[np.int64],
    config: ScorerConfig,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Pretraining:
    """Train a scorer on lists of one graph; see :func:`pretrain_parts`.

    Args:
        scorer: on the device of ``paths``; changed in place and left in evaluation mode.
        data: the graph of the paths (cross-fitted: without the events that they lead to).
        paths: the paths of all examples, ``B`` lists.
        target: int64 ``[B]``, a filled slot each.
        config: as there.
        seed: as there.
        progress: as there.
    """
    lists = [ExampleLists(data, paths, target)]
    return pretrain_parts(scorer, lists, config, seed, progress)


def pretrain_parts(
    scorer: PathScorer,
    lists: Sequence[ExampleLists],
    config: ScorerConfig,
    seed: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Pretraining:
    """Minimise the cross-entropy of ``a * scorer + b * prior``, plus that of the scorer alone.

    The lists of some users are held out and decide when to stop. Neither validation nor test is used.
    Batches depend on the seed, their order on (seed, epoch).

    Args:
        scorer: on the device of the paths; changed in place and left in evaluation mode.
        lists: the examples, in one part for each graph of theirs.
        config: ``pretrain_epochs`` and ``pretrain_lr``.
        seed: of the held-out users, the batches and dropout.
        progress: called with (epochs done, most epochs).

    Returns:
        The curve, the best epoch and both weights. The curve is empty if there is nothing to train.

    Raises:
        ConfigError: a loss is not finite.
        ValueError: a target is missing.
    """
    parameters = [p for p in scorer.parameters() if p.requires_grad]
    scorer.eval()
    if not parameters or config.pretrain_epochs < 1 or sum(len(x.target) for x in lists) < 2:
        return Pretraining()
    if any(np.min(x.target, initial=0) < 0 for x in lists):
        raise ValueError("every training list must hold its target")
    device = lists[0].paths.sample.device
    fusion = Fusion().to(device)
    optimizer = _build_optimizer(parameters, fusion, config.pretrain_lr)
    training_lists, held_out_lists = _split_by_user(
        np.concatenate([x.paths.user.cpu().numpy() for x in lists]), seed
    )
    training_lists = np.random.default_rng([seed, 0x5C0]).permutation(training_lists)
    batches, held_out = _collate(lists, training_lists), _collate(lists, held_out_lists)
    best, average = BestState(scorer, fusion), Average([*parameters, *fusion.parameters()])
    curve: list[dict[str, float]] = []
    idle = {n: p for n, p in scorer.named_parameters() if p.requires_grad}
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(seed)
        for epoch in range(config.pretrain_epochs + 1):
            loss = math.nan
            if epoch:
                order = np.random.default_rng([seed, epoch, 0x5C0]).permutation(len(batches))
                shuffled = [batches[i] for i in order]
                loss = _train_epoch(scorer, fusion, shuffled, optimizer, average, idle)
            with average.applied():
                row = _evaluate(scorer, fusion, held_out)
                best.offer(row["held"], epoch)
            curve.append({"epoch": epoch, "train": loss, **row})
            if progress is not None:
                progress(epoch, config.pretrain_epochs)
            tell_figure("scorer", epoch, config.pretrain_epochs, row["held"])
            if epoch - best.epoch >= PATIENCE:
                break
    best.restore()
    return Pretraining(curve, best.epoch, fusion.a.item(), fusion.b.item(), list(idle))


def _build_optimizer(
    parameters: list[torch.nn.Parameter], fusion: Fusion, rate: float
) -> torch.optim.Optimizer:
    """AdamW, without weight decay for the fusion: its two scalars must not be pulled towards 0."""
    groups = [
        {"params": parameters, "weight_decay": WEIGHT_DECAY},
        {"params": list(fusion.parameters()), "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=rate)


def _split_by_user(
    user: NDArray[np.int64], seed: int
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Split lists into those to train on and those held out; no user is on both sides.

    Args:
        user: int64 ``[B]``, user index of each list; each -1 counts as a user of its own.
        seed: of the draw.

    Returns:
        Indices of the training lists and of the held-out lists, int64. All lists of a single user are on
        both sides.
    """
    user_id = tell_users_apart(user)
    users = np.unique(user_id)
    order = np.random.default_rng([seed, 0x4E1D]).permutation(users)
    held_out_users = order[: max(1, round(HELD_OUT * len(users)))] if len(users) > 1 else order[:0]
    is_out = np.isin(user_id, held_out_users)
    held_out = np.flatnonzero(is_out) if is_out.any() else np.arange(len(user))
    return np.flatnonzero(~is_out), held_out


def tell_users_apart(user: NDArray[np.int64]) -> NDArray[np.int64]:
    """Give each unknown user (-1) an index of its own, int64 ``[B]``."""
    return np.where(user >= 0, user, user.max(initial=0) + 1 + np.arange(len(user)))


def _losses(scorer: PathScorer, fusion: Fusion, batch: _Batch) -> tuple[Tensor, Tensor]:
    """Cross-entropy of each list ``[B]``, of the fused score and of the scorer alone."""
    paths, mask = batch.paths, batch.paths.candidate_mask
    candidate = score_paths(scorer, batch.data, paths).candidate.float()
    fused = fusion(torch.zeros_like(candidate), candidate, paths.prior.float(), mask)
    return (
        list_cross_entropy(fused, batch.target, mask),
        list_cross_entropy(candidate, batch.target, mask),
    )


def _collate(lists: Sequence[ExampleLists], order: NDArray[np.int64]) -> list[_Batch]:
    """Cut the lists into batches of one graph each, once: only their order changes from epoch to epoch.

    Args:
        lists: the examples.
        order: int64, indices of the examples, counted through all parts.
    """
    batches, start = [], 0
    for data, paths, target in lists:
        mine = order[(order >= start) & (order < start + len(target))] - start
        start += len(target)
        device = paths.sample.device
        index = torch.as_tensor(mine, device=device)
        slots = torch.as_tensor(np.asarray(target, np.int64), device=device)
        # Without any list of a part, split() would give one empty batch.
        parts = index.split(BATCH) if len(index) else ()
        batches += [_Batch(data, paths.prompts(part), slots[part]) for part in parts]
    return batches


def _train_epoch(
    scorer: PathScorer,
    fusion: Fusion,
    batches: list[_Batch],
    optimizer: torch.optim.Optimizer,
    average: Average,
    idle: dict[str, torch.nn.Parameter],
) -> float:
    """Train on every batch once; return the mean loss.

    Parameters that get a gradient other than 0 are taken out of ``idle``.
    """
    scorer.train()
    total, count = 0.0, 0
    for batch in batches:
        fused, alone = _losses(scorer, fusion, batch)
        loss = fused.mean() + AUXILIARY * alone.mean()
        optimizer.zero_grad()
        with summed_in_order(loss.device):
            loss.backward()
        for name in [n for n, p in idle.items() if p.grad is not None and bool(p.grad.any())]:
            del idle[name]
        torch.nn.utils.clip_grad_norm_(scorer.parameters(), 1.0)
        optimizer.step()
        average.update()
        value = loss.item()
        if not math.isfinite(value):
            # Without this error the untrained scorer would be kept without a word.
            raise ConfigError(
                f"{option_of(scorer)}: its loss in training is {value}; lower scorer.pretrain_lr, or see that "
                "its forward() stays finite where self.training is true"
            )
        total, count = total + value * len(batch.target), count + len(batch.target)
    scorer.eval()
    return total / max(1, count)


@torch.no_grad()
def _evaluate(scorer: PathScorer, fusion: Fusion, batches: list[_Batch]) -> dict[str, float]:
    """Mean losses over the held-out lists, as the curve names them."""
    parts = []
    for batch in batches:
        fused, alone = _losses(scorer, fusion, batch)
        paths = batch.paths
        prior = list_cross_entropy(paths.prior.float(), batch.target, paths.candidate_mask)
        parts.append(torch.stack([fused, alone, prior]))
    held, held_scorer, held_prior = torch.cat(parts, 1).mean(1).tolist()
    return {"held": held, "held_scorer": held_scorer, "held_prior": held_prior}
