"""LRURec: training and ranking against the published algorithm in stock PyTorch, on Amazon Beauty and ml-100k.

The published algorithm (arXiv 2310.02367) runs the recurrence by recursive doubling over a length padded to a
power of two, and computes the logits of every position. It gets the same threads, data, sizes and optimiser
here, and the better of two batch sizes; ``published sizes`` has the paper's wider layers besides.
"""

from __future__ import annotations

import multiprocessing
import resource
import time
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from benchmarks.common import rate, say
from lkgrag.config.loading import load_config
from lkgrag.retrieval import LRURecOptions
from lkgrag.retrieval.base import rows_per_block
from lkgrag.retrieval.lrurec.network import RADIUS, LRURec
from lkgrag.retrieval.lrurec.retriever import LRURecRetriever
from lkgrag.retrieval.lrurec.training import Training, batches
from lkgrag.retrieval.ranks import Seen, top_k
from lkgrag.run.stages import load_dataset

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

SETS = {"ml-100k": None, "amazon-beauty": "amazon-beauty"}
#: Longest window that the published algorithm pads to: its own setting for Beauty, ours for ml-100k (its
#: own, 200, is slower).
LONGEST = {"ml-100k": 100, "amazon-beauty": 50}
#: Batch sizes that the published algorithm is timed with; the better one counts.
BATCHES = (24, 128)
#: Optimiser steps that are timed, and users that are ranked by the published algorithm.
STEPS, USERS = 24, 2048


class Doubling(nn.Module):
    """The recurrence by recursive doubling, and a position-wise network, as published.

    Args:
        width: of input and output.
        states: complex states.
        hidden: of the position-wise network.
        dropout: share.
    """

    def __init__(self, width: int, states: int, hidden: int, dropout: float) -> None:
        super().__init__()
        low, high = RADIUS
        modulus = torch.sqrt(torch.rand(states) * (high**2 - low**2) + low**2)
        self.nu = nn.Parameter(torch.log(-torch.log(modulus)))
        self.theta = nn.Parameter(torch.log(torch.rand(states).clamp_min(1e-4) * 2 * torch.pi))
        self.gamma = nn.Parameter(0.5 * torch.log1p(-(modulus**2)))
        self.into = nn.Linear(width, states, dtype=torch.cfloat)
        self.out = nn.Linear(states, width, dtype=torch.cfloat)
        self.up, self.down = nn.Linear(width, hidden), nn.Linear(hidden, width)
        self.norms = nn.ModuleList([nn.LayerNorm(width), nn.LayerNorm(width)])
        self.drop = nn.Dropout(dropout)

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        """Map ``[B, L, width]``, ``L`` a power of two, to the same shape; mask ``[B, L]`` is 0 in padding."""
        batch, length, _ = x.shape
        decay = torch.polar(torch.exp(-torch.exp(self.nu)), torch.exp(self.theta))[None]
        h = self.into(x.to(torch.cfloat)) * torch.exp(self.gamma)
        size = 2
        while size <= length:
            h = h.view(batch * length // size, size, -1)
            gate = mask.view(-1, size)[:, size // 2 - 1, None, None]
            first, second = h[:, : size // 2], h[:, size // 2 :]
            h = torch.cat([first, second + decay * first[:, -1:] * gate], 1)
            decay = torch.cat([decay, decay * decay[-1]])
            size *= 2
        y = self.out(h.view(batch, length, -1)).real
        x = self.norms[0](x + self.drop(y))
        return self.norms[1](x + self.drop(self.down(self.drop(F.gelu(self.up(x))))))


class Published(nn.Module):
    """The published algorithm: left padding, and logits of all positions.

    Args:
        num_items: item ``num_items`` pads.
        width: of embeddings.
        blocks: number of layers.
        states: complex states a layer.
        hidden: of the position-wise networks.
        dropout: share.
    """

    def __init__(
        self, num_items: int, width: int, blocks: int, states: int, hidden: int, dropout: float
    ) -> None:
        super().__init__()
        self.num_items = num_items
        self.embedding = nn.Embedding(num_items + 1, width, padding_idx=num_items)
        self.bias = nn.Parameter(torch.zeros(num_items))
        self.norm, self.drop = nn.LayerNorm(width), nn.Dropout(dropout)
        self.layers = nn.ModuleList(Doubling(width, states, hidden, dropout) for _ in range(blocks))

    def forward(self, items: Tensor) -> Tensor:
        """Logits ``[B, L, I]`` of int64 ``[B, L]``."""
        length = 1 << max(items.shape[1] - 1, 0).bit_length()
        padded = F.pad(items, (length - items.shape[1], 0), value=self.num_items)
        mask = (padded != self.num_items).float()
        x = self.drop(self.norm(self.embedding(padded)))
        for layer in self.layers:
            x = layer(x, mask)
        return F.linear(x[:, -items.shape[1] :], self.embedding.weight[:-1], self.bias)


def measure(roots: dict[str, str], quick: bool, threads: int) -> dict[str, Any]:
    """Measure every data set that is at hand, each part in a process of its own for its peak memory.

    Args:
        roots: folder of each data set's files, where it is not fetched.
        quick: fewer steps and users.
        threads: of each process.
    """
    sets: dict[str, Any] = {}
    for name in SETS:
        if name != "ml-100k" and name not in roots:
            say(f"{name}: its files are not at hand (LKGRAG_DATA); left out")
            continue
        found = {}
        for part in (ours, published_same, published_wide):
            found[part.__name__] = _alone(part, name, roots.get(name), quick, threads)
            say(f"{name}: LRURec, {part.__name__.replace('_', ' ')}: {_told(found[part.__name__])}")
        sets[name] = found
    every = len(sets) == len(SETS) and not quick

    def smallest(what: str) -> float | None:
        ratios = [s["ours"][what] / s["published_same"][what] for s in sets.values()]
        return min(ratios) if every else None

    values = {
        "S6_training": smallest("examples_a_second"),
        "S6_ranking": smallest("users_a_second"),
        "S6_beauty": sets["amazon-beauty"]["ours"]["seconds_all_users"] if every else None,
    }
    return {"threads": threads, "sets": sets, "values": values}


def _told(found: dict[str, float]) -> str:
    return ", ".join(f"{key.replace('_', ' ')} {value:,.0f}" for key, value in found.items())


def _alone(part: Callable[..., Any], *args: Any) -> dict[str, float]:
    """Call in a fresh process, so that peak memory is its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        found: dict[str, float] = pool.apply(_metered, (part, args))
    return found


def _metered(part: Callable[..., dict[str, float]], args: tuple[Any, ...]) -> dict[str, float]:
    found = part(*args)
    found["peak_mib"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return found


def _data(name: str, root: str | None, threads: int) -> tuple[Any, Any, list[NDArray[np.int64]]]:
    torch.set_num_threads(threads)
    options = {} if SETS[name] is None else {"preset": str(SETS[name])}
    if root is not None:
        options["data.root"] = root
    config = load_config(options)
    loaded = load_dataset(config)
    indptr, end = loaded.interactions.indptr, loaded.split.train_end
    sequences = [loaded.interactions.item[s : s + n] for s, n in zip(indptr, end, strict=False)]
    return config, loaded, sequences


def ours(name: str, root: str | None, quick: bool, threads: int) -> dict[str, float]:
    """Labels a second in training and users a second in ranking, ours."""
    config, loaded, sequences = _data(name, root, threads)
    options = LRURecOptions.of(config.retrieval)
    run = Training(sequences, loaded.interactions.num_items, options, 0, torch.device("cpu"))
    run.model.train()
    composed = list(batches(sequences, options, np.random.default_rng(0)))
    composed = composed[: STEPS // 4 if quick else len(composed) // 4]
    labels = sum(len(w) - 1 for batch in composed for w in batch)
    trained = rate(lambda: [run._step(b) for b in composed], labels, 0.0)
    whole = [np.asarray(s) for s in sequences][: USERS // 8 if quick else None]
    seconds = 1 / rate(lambda: _rank(run.model, config, whole), 1, 0.0, 2)
    return {
        "examples_a_second": trained,
        "users_a_second": len(whole) / seconds,
        "seconds_all_users": seconds * len(sequences) / len(whole),
    }


def _rank(model: LRURec, config: Any, histories: list[NDArray[np.int64]]) -> None:
    """The best 20 of everyone, in blocks."""
    retriever = LRURecRetriever(model, config.retrieval.max_len)
    turn = np.arange(model.num_items)
    step = rows_per_block(model.num_items)
    for start in range(0, len(histories), step):
        part = histories[start : start + step]
        top_k(retriever.score(part), config.retrieval.k, Seen.of(part), turn)


def published_same(name: str, root: str | None, quick: bool, threads: int) -> dict[str, float]:
    """The published algorithm with our sizes."""
    return _published(name, root, quick, threads, 1, 2)


def published_wide(name: str, root: str | None, quick: bool, threads: int) -> dict[str, float]:
    """The published algorithm with its own sizes: twice the states, four times the hidden units."""
    return _published(name, root, quick, threads, 2, 4)


def _published(
    name: str, root: str | None, quick: bool, threads: int, states: int, hidden: int
) -> dict[str, float]:
    config, loaded, sequences = _data(name, root, threads)
    r = config.retrieval
    num_items = loaded.interactions.num_items
    model = Published(
        num_items, r.hidden, r.blocks, states * r.hidden, hidden * r.hidden, r.dropout
    )
    optimizer = torch.optim.AdamW(model.parameters(), lr=r.lr)
    # One window a user, the latest items, left-padded to one length.
    length = LONGEST[name]
    windows = [s[-(length + 1) :] for s in sequences if len(s) > 1]
    best = 0.0
    for size in BATCHES[: 1 if quick else None]:
        steps = max(2, STEPS * BATCHES[0] // size // (4 if quick else 1))
        rng = np.random.default_rng(0)
        parts = [[windows[i] for i in rng.permutation(len(windows))[:size]] for _ in range(steps)]
        labels = sum(len(w) - 1 for part in parts for w in part)
        model.train()
        start = None
        for number, part in enumerate([parts[0], *parts]):
            if number == 1:
                start = time.perf_counter()
            items, target = (
                _left(part, length, num_items, cut) for cut in (slice(-1), slice(1, None))
            )
            optimizer.zero_grad(set_to_none=True)
            loss = F.cross_entropy(
                model(items).flatten(0, 1), target.flatten(), ignore_index=num_items
            )
            loss.backward()
            torch.nn.utils.clip_grad_norm_(model.parameters(), 5.0)
            optimizer.step()
        assert start is not None
        best = max(best, labels / (time.perf_counter() - start))
    model.eval()
    chosen = sequences[: USERS // 8 if quick else USERS]
    ranked = max(
        _rank_published(model, chosen, length, num_items, size)
        for size in BATCHES[: 1 if quick else None]
    )
    return {
        "examples_a_second": best,
        "users_a_second": ranked,
        "seconds_all_users": len(sequences) / ranked,
    }


@torch.no_grad()
def _rank_published(
    model: Published, histories: list[NDArray[np.int64]], length: int, padding: int, size: int
) -> float:
    """Users a second."""

    def work() -> None:
        for start in range(0, len(histories), size):
            part = histories[start : start + size]
            scores = model(_left([h[-length:] for h in part], length, padding, slice(None)))[:, -1]
            seen = Seen.of(part)
            scores[torch.from_numpy(seen.row), torch.from_numpy(seen.item)] = -1e9
            scores.topk(20)

    work()
    begin = time.perf_counter()
    work()
    return len(histories) / (time.perf_counter() - begin)


def _left(part: list[NDArray[np.int64]], length: int, padding: int, cut: slice) -> Tensor:
    """Sequences, cut, with padding on the left: int64 ``[B, length]``."""
    out = np.full((len(part), length), padding, np.int64)
    for row, whole in enumerate(part):
        sequence = whole[cut]
        out[row, length - len(sequence) :] = sequence
    return torch.from_numpy(out)
