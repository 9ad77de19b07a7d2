"""Training of LRURec: all labels of all histories, early stopping, resumable at every epoch."""

from __future__ import annotations

import hashlib
import json
import logging
import math
import os
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from lkgrag.retrieval.base import rows_per_block, training_sequences
from lkgrag.retrieval.lrurec.network import LRURec
from lkgrag.retrieval.lrurec.retriever import LRURecRetriever, pad
from lkgrag.retrieval.lrurec.spectral import spectral_embeddings
from lkgrag.retrieval.lrurec.state import Progress, restore, store
from lkgrag.retrieval.ranks import Seen, histories_of, ndcg, pessimistic_ranks
from lkgrag.utils.console import bar

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

    from lkgrag.config import RetrievalConfig
    from lkgrag.data.interactions import Interactions
    from lkgrag.data.splits.base import Events

log = logging.getLogger(__name__)
#: Cut-off of the NDCG that stops training; the one that is tested.
CUTOFF = 10
#: Largest gradient norm.
CLIP = 5.0
#: Options that the weights depend on.
OPTIONS = (
    "hidden",
    "blocks",
    "dropout",
    "max_len",
    "lr",
    "weight_decay",
    "batch_size",
    "sampled",
    "epochs",
    "mask_seen",
)
#: Windows are sorted by length within so many batches, so that little is padded.
POOL = 8
#: Catalogues up to this size get the full softmax, larger ones so many drawn items a step.
FULL, SAMPLED = 50_000, 8_192
#: Most validation events that decide when to stop.
JUDGED = 30_000
#: Learning rate at the first step and at the end, as shares of the largest.
START, FLOOR = 0.02, 0.05


def fit_lrurec(
    interactions: Interactions,
    train_end: NDArray[np.int64],
    config: RetrievalConfig,
    seed: int,
    val: Events | None = None,
    epochs: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    device: torch.device | str = "cpu",
) -> tuple[LRURecRetriever, Progress]:
    """Train on the first ``train_end[user]`` items of each user.

    With ``val``, training stops after ``retrieval.patience`` epochs without a better NDCG@10 (masked
    as in the test, on at most :data:`JUDGED` events) and the best weights are kept; validation items
    are looked at for nothing else.
    Without, it runs ``epochs`` epochs and sees nothing beyond ``train_end``.

    Args:
        interactions: the sequences.
        train_end: int64 ``[num_users]``.
        config: the options of LRURec.
        seed: of weights, batches and dropout.
        val: events to stop on.
        epochs: number of epochs (default: ``retrieval.epochs``).
        checkpoint: file to which the state is written after every epoch; where it exists, training
            goes on from it and ends with the same weights as an undisturbed run.
        device: to train on.

    Raises:
        RunError: the checkpoint belongs to other options or data.
    """
    sequences = training_sequences(interactions, train_end)
    run = _Run(sequences, interactions.num_items, config, seed, torch.device(device))
    limit = config.epochs if epochs is None else epochs
    if val is not None and len(val) > JUDGED:
        chosen = np.random.default_rng([seed, 0x1D]).choice(len(val), JUDGED, replace=False)
        val = val[np.sort(chosen)]
    path = None if checkpoint is None else Path(checkpoint)
    if path is not None and path.exists():
        run.restore(path)
    with bar("LRURec") as update:
        while run.progress.epoch < limit and not run.stale(config.patience if val else limit):
            run.train_epoch()
            run.judge(interactions, val, config.mask_seen)
            if path is not None:
                run.store(path)
            update(run.progress.epoch, limit)
    return LRURecRetriever(run.finished(), config.max_len), run.progress


class _Run:
    """Model, optimiser and progress of one training."""

    def __init__(
        self,
        sequences: list[NDArray[np.int64]],
        num_items: int,
        config: RetrievalConfig,
        seed: int,
        device: torch.device,
    ) -> None:
        self.sequences, self.config, self.seed, self.device = sequences, config, seed, device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_mixed(seed, 0))
            self.model = LRURec(num_items, config.hidden, config.blocks, config.dropout)
        start = spectral_embeddings(sequences, num_items, config.hidden)
        with torch.no_grad():
            self.model.embedding.weight[:num_items] += torch.from_numpy(start)
        self.model.to(device)
        groups = self.model.parameter_groups(config.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, lr=config.lr)
        self.best = _copy(self.model)
        self.progress = Progress()

    def train_epoch(self) -> None:
        """One pass over every label; order, windows and dropout follow from (seed, epoch)."""
        self.model.train()
        epoch = self.progress.epoch + 1
        rng = np.random.default_rng([self.seed, epoch, 0x14])
        total = labels = 0.0
        cuda = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(_mixed(self.seed, epoch))
            composed = list(batches(self.sequences, self.config, rng))
            for number, batch in enumerate(composed):
                done = epoch - 1 + number / len(composed)
                for group in self.optimizer.param_groups:
                    group["lr"] = learning_rate(self.config, done)
                loss, count = self._step(batch)
                total += loss * count
                labels += count
        self.progress.epoch = epoch
        self.progress.loss.append(total / max(labels, 1))

    def _step(self, windows: list[NDArray[np.int64]]) -> tuple[float, int]:
        padding = self.model.num_items
        inputs = pad([w[:-1] for w in windows], padding).to(self.device)
        labels = pad([w[1:] for w in windows], padding).to(self.device)
        valid = labels != padding
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss(self.model.encode(inputs)[valid], labels[valid])
        loss.backward()
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()
        return float(loss.detach()), int(valid.sum())

    def _loss(self, states: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy in nats a label, over all items or, by the option, a sample of them."""
        number = self.config.sampled
        if number < 0:
            number = SAMPLED if self.model.num_items > FULL else 0
        if number == 0 or number >= self.model.num_items:
            return F.cross_entropy(self.model.logits(states), labels)
        drawn = torch.randint(self.model.num_items, (number,)).unique().to(self.device)
        return sampled_loss(self.model, states, labels, drawn)

    def judge(self, interactions: Interactions, val: Events | None, mask: bool) -> None:
        """Note the validation NDCG and keep the weights if they are the best."""
        progress = self.progress
        if val is None or not len(val):
            progress.best_epoch = progress.epoch
            self.best = _copy(self.model)
            return
        retriever = LRURecRetriever(self.model, self.config.max_len)
        histories = histories_of(interactions, val)
        step = rows_per_block(self.model.num_items)
        ranks = []
        for start in range(0, len(val), step):
            part = histories[start : start + step]
            scores = retriever.score(part)
            target = val.target[start : start + step]
            ranks.append(pessimistic_ranks(scores, target, Seen.of(part, mask)))
        value = ndcg(np.concatenate(ranks), CUTOFF)
        progress.curve.append(value)
        log.debug("LRURec epoch %d: NDCG@10 %.4f", progress.epoch, value)
        if value > progress.best:
            progress.best, progress.best_epoch = value, progress.epoch
            self.best = _copy(self.model)

    def stale(self, patience: int) -> bool:
        """Whether the best is ``patience`` epochs old."""
        return self.progress.epoch - self.progress.best_epoch >= max(patience, 1)

    def finished(self) -> LRURec:
        """The model with the best weights."""
        self.model.load_state_dict(self.best)
        return self.model.eval()

    def identity(self) -> str:
        """What a checkpoint must agree with: options, seed and every training item."""
        options = {name: getattr(self.config, name) for name in OPTIONS}
        data = hashlib.sha256()
        for sequence in self.sequences:
            data.update(np.int64(len(sequence)).tobytes() + sequence.astype(np.int64).tobytes())
        whole = {"seed": self.seed, "items": self.model.num_items, "data": data.hexdigest()}
        return json.dumps({**whole, **options}, sort_keys=True)

    def store(self, path: Path) -> None:
        """Write the state."""
        weights = self.model.state_dict()
        store(path, self.identity(), self.progress, weights, self.best, self.optimizer)

    def restore(self, path: Path) -> None:
        """Take the state up from a file.

        Raises:
            RunError: it belongs to other options or data.
        """
        self.progress, weights, best = restore(path, self.identity(), self.optimizer)
        self.model.load_state_dict(weights)
        self.best = {k: v.to(self.device) for k, v in best.items()}


def sampled_loss(model: LRURec, states: Tensor, labels: Tensor, drawn: Tensor) -> Tensor:
    """Cross-entropy of the labels against drawn items that stand for all others.

    The exponentials of the drawn items' logits, scaled up by how many items each stands for, estimate
    the sum over all items without bias (importance sampling with a uniform proposal).

    Args:
        model: the network.
        states: ``[N, width]``.
        labels: int64 ``[N]``.
        drawn: int64 ``[S]``, different items.
    """
    weight, bias = model.embedding.weight, model.bias
    mine = (states * weight[labels]).sum(1) + bias[labels]
    others = F.linear(states, weight[drawn], bias[drawn])
    same = drawn == labels[:, None]
    stand = (model.num_items - 1) / (len(drawn) - same.sum(1)).clamp(min=1)
    others = (others + stand.log()[:, None]).masked_fill(same, -math.inf)
    total = torch.cat([mine[:, None], others], 1).logsumexp(1)
    return (total - mine).mean()


def _copy(model: LRURec) -> dict[str, Tensor]:
    return {k: v.detach().clone() for k, v in model.state_dict().items()}


def _mixed(seed: int, epoch: int) -> int:
    """A seed for torch from (seed, epoch)."""
    return int(np.random.default_rng([seed, epoch, 0x7C]).integers(2**62))


def learning_rate(config: RetrievalConfig, done: float) -> float:
    """Linear warm-up over the first epoch, then a half cosine that ends with ``retrieval.epochs``.

    Args:
        config: ``lr`` and ``epochs``.
        done: epochs done, with the finished share of the current one.
    """
    left = 0.5 * (1.0 + math.cos(math.pi * min(1.0, done / config.epochs)))
    return config.lr * min(1.0, START + done) * (FLOOR + (1.0 - FLOOR) * left)


def batches(
    sequences: list[NDArray[np.int64]], config: RetrievalConfig, rng: np.random.Generator
) -> Iterator[list[NDArray[np.int64]]]:
    """Cut the histories into windows and the windows into batches.

    Every label (every item but a user's first) is in exactly one window; where a long history is
    cut changes from epoch to epoch.

    Yields:
        Windows of 2 to ``max_len + 1`` items: inputs are all but the last, labels all but the first.
    """
    windows = []
    for sequence in sequences:
        labels = len(sequence) - 1
        if labels < 1:
            continue
        first = labels if labels <= config.max_len else int(rng.integers(1, config.max_len + 1))
        cuts = [0, *range(first, labels, config.max_len), labels]
        windows += [sequence[a : b + 1] for a, b in pairwise(cuts)]
    order = rng.permutation(len(windows))
    pool = POOL * config.batch_size
    groups = []
    for start in range(0, len(order), pool):
        part = sorted(order[start : start + pool], key=lambda i: len(windows[i]))
        groups += [part[s : s + config.batch_size] for s in range(0, len(part), config.batch_size)]
    for index in rng.permutation(len(groups)):
        yield [windows[i] for i in groups[index]]
