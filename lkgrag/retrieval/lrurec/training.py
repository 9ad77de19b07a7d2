"""Training of LRURec: all labels of all histories, with early stopping, resumable at every epoch.

Several processes may share it. Each computes its sequences of every batch, with the draws and the negatives of one
process, and the gradients are added. So the curve is that of one process but for the order of the sums.
"""

from __future__ import annotations

import hashlib
import json
import logging
import math
from collections.abc import Iterator
from dataclasses import asdict
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from lkgrag.retrieval.base import rows_per_block
from lkgrag.retrieval.lrurec.network import Cut, LRURec
from lkgrag.retrieval.lrurec.scoring import pad, score_histories
from lkgrag.retrieval.lrurec.spectral import spectral_embeddings
from lkgrag.retrieval.lrurec.state import Progress, read, store, unpack
from lkgrag.retrieval.ranks import Seen, ndcg, pessimistic_ranks
from lkgrag.utils.group import ALONE, Group
from lkgrag.utils.progress import bar
from lkgrag.utils.repeatable import summed_in_order
from lkgrag.utils.watching import tell_figure

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray
    from torch import Tensor

    from lkgrag.retrieval.lrurec.options import LRURecOptions
    from lkgrag.retrieval.lrurec.validation import ValidationEvents

log = logging.getLogger(__name__)
#: Cut-off of the NDCG that stops training; the test has the same.
CUTOFF = 10
#: Largest gradient norm.
CLIP = 5.0
#: Windows are sorted by length within so many batches, so that there is little padding.
POOL = 8
#: Largest catalogue that gets the full softmax, and drawn items a step for larger ones.
FULL, SAMPLED = 50_000, 8_192
#: Most validation events that decide when to stop.
JUDGED = 30_000
#: Learning rate at the first step and at the end, as shares of the largest.
START, FLOOR = 0.02, 0.05


class Training:
    """Model, optimiser and progress of one training.

    Args:
        sequences: training items of each user, oldest first.
        num_items: ``I``.
        options: of network and training.
        seed: of weights, batches and dropout.
        device: to train on.
        group: the processes that train together; all make the same calls, and the first one writes.
    """

    def __init__(
        self,
        sequences: list[NDArray[np.int64]],
        num_items: int,
        options: LRURecOptions,
        seed: int,
        device: torch.device,
        group: Group = ALONE,
    ) -> None:
        self.group = group
        self.sequences, self.options, self.seed, self.device = sequences, options, seed, device
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(_mixed(seed, 0))
            self.model = LRURec(num_items, options.hidden, options.blocks, options.dropout)
        start = spectral_embeddings(sequences, num_items, options.hidden)
        with torch.no_grad():
            self.model.embedding.weight[:num_items] += torch.from_numpy(start)
        self.model.to(device)
        groups = self.model.parameter_groups(options.weight_decay)
        self.optimizer = torch.optim.AdamW(groups, lr=options.lr)
        self.best = _copy(self.model)
        self.progress = Progress()

    def run(self, epochs: int, val: ValidationEvents | None, checkpoint: Path | None) -> None:
        """Train until ``epochs`` are done, or until validation no longer improves.

        Args:
            epochs: number of epochs.
            val: events to stop on.
            checkpoint: file of the state, read where it exists and written after every epoch.

        Raises:
            RunError: the checkpoint belongs to other options or data.
        """
        if val is not None:
            val = val.sample(JUDGED, self.seed)
        if self.group.share(checkpoint is not None and checkpoint.exists()):
            self.restore(checkpoint)
        patience = self.options.patience if val else epochs
        with bar("LRURec, epochs", may_end_early=True) as update:
            update(self.progress.epoch, epochs)
            while self.progress.epoch < epochs and not self.is_stale(patience):
                self.train_epoch()
                self.judge(val)
                if val is not None and len(val):
                    tell_figure("lrurec", self.progress.epoch, epochs, self.progress.curve[-1])
                if checkpoint is not None and self.group.is_main:
                    self.store(checkpoint)
                update(self.progress.epoch, epochs)

    def train_epoch(self) -> None:
        """One pass over every label; order, windows and dropout follow from (seed, epoch)."""
        self.model.train()
        epoch = self.progress.epoch + 1
        rng = np.random.default_rng([self.seed, epoch, 0x14])
        total = labels = 0.0
        cuda = [self.device] if self.device.type == "cuda" else []
        with torch.random.fork_rng(devices=cuda):
            torch.manual_seed(_mixed(self.seed, epoch))
            composed = list(batches(self.sequences, self.options, rng))
            for number, batch in enumerate(composed):
                done = epoch - 1 + number / len(composed)
                for group in self.optimizer.param_groups:
                    group["lr"] = learning_rate(self.options, done)
                loss, count = self._step(batch)
                total += loss * count
                labels += count
        # Machines of different kinds round differently.
        self.group.copy(self.model.parameters())
        self.progress.epoch = epoch
        self.progress.loss.append(total / max(labels, 1))

    def _step(self, windows: list[NDArray[np.int64]]) -> tuple[float, int]:
        """One step of the optimiser; the mean loss of the batch's labels, and their number."""
        group, padding = self.group, self.model.num_items
        inputs = pad([w[:-1] for w in windows], padding)
        labels = pad([w[1:] for w in windows], padding)
        count, share = int((labels != padding).sum()), 1.0
        if group.size > 1:
            # Strided: windows of a batch are sorted by length. A process without one computes with weight 0.
            mine = slice(group.rank, None, group.size) if group.rank < len(windows) else slice(1)
            self.model.cut(Cut(mine, len(windows)))
            inputs, labels = inputs[:, mine], labels[:, mine]
            share = int((labels != padding).sum()) / count if group.rank < len(windows) else 0.0
        inputs, labels = inputs.to(self.device), labels.to(self.device)
        valid = labels != padding
        self.optimizer.zero_grad(set_to_none=True)
        loss = self._loss(self.model.encode(inputs)[valid], labels[valid])
        if group.size > 1:
            loss = loss * share
        with summed_in_order(loss.device):
            loss.backward()
        total = loss.detach()
        if group.size > 1:
            self.model.cut(None)
            total = group.sum_gradients(self.model.parameters(), total)
        torch.nn.utils.clip_grad_norm_(self.model.parameters(), CLIP)
        self.optimizer.step()
        return float(total), count

    def _loss(self, states: Tensor, labels: Tensor) -> Tensor:
        """Cross-entropy in nats a label, over all items or a sample of them, as the option says."""
        number = self.options.sampled
        if number < 0:
            number = SAMPLED if self.model.num_items > FULL else 0
        if number == 0 or number >= self.model.num_items:
            return F.cross_entropy(self.model.logits(states), labels)
        drawn = torch.randint(self.model.num_items, (number,)).unique().to(self.device)
        return sampled_loss(self.model, states, labels, drawn)

    def judge(self, val: ValidationEvents | None) -> None:
        """Note the validation NDCG, and keep the weights if they are the best so far."""
        progress = self.progress
        if val is None or not len(val):
            progress.best_epoch = progress.epoch
            self.best = _copy(self.model)
            return
        step = rows_per_block(self.model.num_items)
        ranks = np.zeros(len(val), np.int64)
        # Blocks are those of one process, so that all ranks are.
        for start in range(self.group.rank * step, len(val), self.group.size * step):
            part = val.histories[start : start + step]
            scores = score_histories(self.model, part, self.options.max_len)
            target = val.target[start : start + step]
            seen = Seen.of(part, self.options.mask_seen)
            ranks[start : start + step] = pessimistic_ranks(scores, target, seen)
        if self.group.size > 1:
            ranks = self.group.sum(torch.from_numpy(ranks).to(self.device)).cpu().numpy()
        value = ndcg(ranks, CUTOFF)
        progress.curve.append(value)
        log.debug("LRURec epoch %d: NDCG@10 %.4f", progress.epoch, value)
        if value > progress.best:
            progress.best, progress.best_epoch = value, progress.epoch
            self.best = _copy(self.model)

    def is_stale(self, patience: int) -> bool:
        """Whether the best epoch is ``patience`` epochs ago."""
        return self.progress.epoch - self.progress.best_epoch >= max(patience, 1)

    def finished(self) -> LRURec:
        """The model with the best weights."""
        self.model.load_state_dict(self.best)
        return self.model.eval()

    def identity(self) -> str:
        """What a checkpoint must agree with: options, seed and all training items."""
        options = asdict(self.options)
        # It only says when to stop: the weights after a given epoch do not depend on it.
        del options["patience"]
        data = hashlib.sha256()
        for sequence in self.sequences:
            data.update(np.int64(len(sequence)).tobytes() + sequence.astype(np.int64).tobytes())
        whole = {"seed": self.seed, "items": self.model.num_items, "data": data.hexdigest()}
        return json.dumps({**whole, **options}, sort_keys=True)

    def store(self, path: Path) -> None:
        """Write the state."""
        weights = self.model.state_dict()
        store(path, self.identity(), self.progress, weights, self.best, self.optimizer)

    def restore(self, path: Path | None) -> None:
        """Resume from the state in a file, which the first process reads; the others name none.

        Raises:
            RunError: it belongs to other options or data.
        """
        progress = self.progress
        tensors: dict[str, Tensor] = {}
        if path is not None and self.group.is_main:
            progress, tensors = read(path, self.identity())
        self.progress = self.group.share(progress)
        weights, best = unpack(self.group.share_tensors(tensors), self.optimizer)
        self.model.load_state_dict(weights)
        self.best = {k: v.to(self.device) for k, v in best.items()}


def sampled_loss(model: LRURec, states: Tensor, labels: Tensor, drawn: Tensor) -> Tensor:
    """Cross-entropy of the labels against drawn items that stand for all other items.

    Each drawn item stands for several items, and its exponential is scaled by their number. The sum estimates
    that over all items without bias (importance sampling with a uniform proposal).

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


def learning_rate(options: LRURecOptions, done: float) -> float:
    """Linear warm-up over the first epoch, then a half cosine that ends with ``options.epochs``.

    Args:
        options: ``lr`` and ``epochs``.
        done: epochs done, including the finished share of the current epoch.
    """
    left = 0.5 * (1.0 + math.cos(math.pi * min(1.0, done / options.epochs)))
    return options.lr * min(1.0, START + done) * (FLOOR + (1.0 - FLOOR) * left)


def batches(
    sequences: list[NDArray[np.int64]], options: LRURecOptions, rng: np.random.Generator
) -> Iterator[list[NDArray[np.int64]]]:
    """Cut the histories into windows and the windows into batches.

    Every label (every item but a user's first) is in exactly one window. A long history is cut at other places
    in each epoch.

    Args:
        sequences: training items of each user, oldest first.
        options: ``max_len`` and ``batch_size``.
        rng: of the order and the cuts.

    Yields:
        Windows of 2 to ``max_len + 1`` items: inputs are all but the last, labels all but the first.
    """
    windows = []
    for sequence in sequences:
        labels = len(sequence) - 1
        if labels < 1:
            continue
        first = labels if labels <= options.max_len else int(rng.integers(1, options.max_len + 1))
        cuts = [0, *range(first, labels, options.max_len), labels]
        windows += [sequence[a : b + 1] for a, b in pairwise(cuts)]
    order = rng.permutation(len(windows))
    pool = POOL * options.batch_size
    groups = []
    for start in range(0, len(order), pool):
        part = sorted(order[start : start + pool], key=lambda i: len(windows[i]))
        size = options.batch_size
        groups += [part[s : s + size] for s in range(0, len(part), size)]
    for index in rng.permutation(len(groups)):
        yield [windows[i] for i in groups[index]]
