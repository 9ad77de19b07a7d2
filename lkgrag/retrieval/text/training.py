r"""Training of the retriever ``text``: every training interaction is to be told from its history.

The loss is a softmax over the catalogue of :math:`e^t \cos(user, item) + b \log(1 + count)`. Popularity stands in it
so that the words need not explain it. Above :data:`FULL` items the softmax runs over a step's own items and a
sample; each stands for several, by the inverse of its probability to be drawn (importance sampling).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch.nn import functional as F

from lkgrag.retrieval.text.network import LATEST, Features, TextTowers
from lkgrag.utils.progress import bar
from lkgrag.utils.repeatable import summed_in_order

if TYPE_CHECKING:
    from torch import Tensor

    from lkgrag.data.interactions import Interactions

EPOCHS, BATCH = 3, 1024
#: With dropout, or with lower rates, the towers would still be learning when training ends (docs/experiments.md).
RATE, WEIGHT_DECAY = 1.2e-2, 0.1
#: Largest catalogue that gets the full softmax, and the items that are drawn a step for larger ones.
FULL, SAMPLED = 4096, 3072


class Examples:
    """All predictions of the training interactions.

    Args:
        interactions: training interactions.

    Attributes:
        target: int64 ``[N]``, the item of each prediction.
    """

    def __init__(self, interactions: Interactions) -> None:
        length = np.diff(interactions.indptr)
        # Each sequence stands behind padding, so that no window reaches into another user's.
        start = interactions.indptr[:-1] + LATEST * np.arange(1, len(length) + 1)
        place = np.repeat(start - interactions.indptr[:-1], length) + np.arange(len(interactions))
        padded = np.full(len(interactions) + LATEST * len(length), -1, np.int64)
        padded[place] = interactions.item
        self._items = torch.from_numpy(padded)
        self._place = torch.from_numpy(place[interactions.position > 0])
        self.target = self._items[self._place]

    def __len__(self) -> int:
        """Number of predictions, ``N``."""
        return len(self.target)

    def latest(self, index: Tensor) -> Tensor:
        """The latest items before some predictions, int64 ``[B, LATEST]``, the latest first, -1 in padding."""
        return self._items[self._place[index][:, None] - torch.arange(1, LATEST + 1)]


@dataclass(frozen=True)
class Pool:
    """The items that the targets of a step compete with.

    Attributes:
        items: int64 ``[S]``, different items in rising order; all targets are among them.
        log_chance: float32 ``[S]``, logarithm of the probability that an item that is no target is among them.
    """

    items: Tensor
    log_chance: Tensor

    @classmethod
    def draw(cls, target: Tensor, share: Tensor, rng: np.random.Generator) -> Pool:
        """All items, if they are at most :data:`FULL`; else the targets, and a uniform sample.

        Args:
            target: int64 ``[B]``.
            share: float32 ``[I]``, of the items among all targets, so that other targets count as drawn, too.
            rng: of the sample.
        """
        num_items = len(share)
        if num_items <= FULL:
            return cls(torch.arange(num_items), torch.zeros(num_items))
        drawn = torch.from_numpy(rng.integers(0, num_items, SAMPLED))
        items = torch.cat([target, drawn]).unique()
        expected = SAMPLED / num_items + len(target) * share[items]
        return cls(items, torch.log(-torch.expm1(-expected)))


def train_towers(
    interactions: Interactions, features: Features, terms: int, seed: int, device: torch.device
) -> TextTowers:
    """Train the towers on training interactions.

    Args:
        interactions: training interactions only.
        features: of all items' texts.
        terms: size of the vocabulary.
        seed: of the weights, the order and the samples.
        device: to train on.

    Returns:
        The towers on the CPU, in evaluation mode; untrained where nobody has two items.
    """
    examples, rng = Examples(interactions), np.random.default_rng([seed, 0x7E])
    # The generators of the caller stay as they are.
    with torch.random.fork_rng(devices=[device] if device.type == "cuda" else []):
        torch.manual_seed(int(rng.integers(2**62)))
        towers = TextTowers(terms, features.encoded.shape[1]).to(device)
        if len(examples):
            _train(towers, examples, features, interactions.num_items, rng)
    return towers.cpu().eval()


def _train(
    towers: TextTowers,
    examples: Examples,
    features: Features,
    num_items: int,
    rng: np.random.Generator,
) -> None:
    """All steps, with a rate that rises and falls once (one-cycle)."""
    towers.train()
    count = torch.bincount(examples.target, minlength=num_items).float()
    share, popularity = count / len(examples), count.log1p()
    steps = EPOCHS * math.ceil(len(examples) / BATCH)
    optimizer = torch.optim.AdamW(towers.parameters(), lr=RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=steps)
    done = 0
    with bar("text, steps") as update:
        for _ in range(EPOCHS):
            total = torch.zeros((), device=towers.scale.device)
            for part in torch.from_numpy(rng.permutation(len(examples))).split(BATCH):
                latest, target = examples.latest(part), examples.target[part]
                pool = Pool.draw(target, share, rng)
                loss = _loss(towers, features, popularity, latest, target, pool)
                optimizer.zero_grad(set_to_none=True)
                with summed_in_order(loss.device):
                    loss.backward()
                optimizer.step()
                schedule.step()
                total += loss.detach() * len(part)
                done += 1
                update(done, steps)
            towers.curve.append(float(total) / len(examples))


def _loss(
    towers: TextTowers,
    features: Features,
    popularity: Tensor,
    latest: Tensor,
    target: Tensor,
    pool: Pool,
) -> Tensor:
    """Cross-entropy of the targets among the pool, in nats.

    Args:
        towers: in training.
        features: of all items.
        popularity: float32 ``[I]``, log of the counts.
        latest: int64 ``[B, LATEST]``, items; -1 pads.
        target: int64 ``[B]``.
        pool: of the step.
    """
    device = towers.scale.device
    # Only the items of the step get a vector: those of the histories, and the pool.
    needed = torch.cat([pool.items, latest[latest >= 0]]).unique()
    place = torch.full((len(features) + 1,), -1)
    place[needed] = torch.arange(len(needed))
    items = towers.items(features[needed].to(device))
    # The last place stays -1, which is where the padding points.
    users = towers.users(items, place[latest].to(device))
    bias = towers.popular * popularity[pool.items].to(device)
    logits = torch.addmm(bias, users * towers.scale.exp(), items[place[pool.items].to(device)].T)
    # An item stands for 1 / chance items, but the target of a row for itself alone.
    column, chance = torch.searchsorted(pool.items, target).to(device), pool.log_chance.to(device)
    own = torch.zeros_like(logits).scatter(1, column[:, None], chance[column][:, None])
    return F.cross_entropy(logits - chance + own, column)
