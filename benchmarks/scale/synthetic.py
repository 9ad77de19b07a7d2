"""Synthetic data with Amazon Beauty's degrees, many times as large: ``python -m benchmarks.scale.synthetic FOLDER``.

Only the counts of degrees are kept of the real data (``degrees.json``, which the command above writes). A data set
of scale ``s`` has ``s`` communities of Beauty's size. In each, ends of edges are joined at random so that every
item, value and user has a degree of the real data; a share of the ends is joined across communities. Ids
are shuffled, so that nothing near in memory is near in the graph.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lkgrag.data.interactions import Interactions
from lkgrag.utils.files import read_json, write_json

if TYPE_CHECKING:
    from numpy.typing import NDArray

FILE = Path(__file__).with_name("degrees.json")
#: Share of an edge type's ends that are joined across communities.
ACROSS = 0.05
#: Relations of the real data to values, and between items.
TO_VALUES, BETWEEN = ("brand", "category"), ("also_bought", "also_viewed", "bought_together")


@dataclass(frozen=True)
class Synthetic:
    """A data set and what its prompts are drawn from.

    Attributes:
        interactions: sequences, and the graph as triples.
        community: int64 ``[I]``, of each item.
    """

    interactions: Interactions
    community: NDArray[np.int64]


def make(scale: int, seed: int = 0, hub: float = 0.0) -> Synthetic:
    """Make a data set.

    Args:
        scale: number of communities of Beauty's size.
        seed: of all draws.
        hub: share of the items that have one more value in common.
    """
    said = read_json(FILE)
    rng = np.random.default_rng([seed, scale])
    items = sum(said["item"].values())
    num_items = scale * items
    shuffled = rng.permutation(num_items)
    community = np.empty(num_items, np.int64)
    community[shuffled] = np.repeat(np.arange(scale), items)
    user, item = _joined(said["user"], said["item"], scale, rng)
    order = np.argsort(user, kind="stable")
    item, user = shuffled[item[order]], user[order]
    num_users = scale * sum(said["user"].values())
    indptr = np.zeros(num_users + 1, np.int64)
    np.cumsum(np.bincount(user, minlength=num_users), out=indptr[1:])
    parts, base = [], num_items
    for name, degrees in said["relations"].items():
        source, target = _joined(degrees["source"], degrees["target"], scale, rng)
        if name in BETWEEN:
            target = shuffled[target]
        else:
            size = scale * sum(degrees["target"].values())
            target = base + rng.permutation(size)[target]
            base += size
        parts.append((name, shuffled[source], target))
    if hub:
        members = rng.permutation(num_items)[: int(hub * num_items)]
        parts.append(("theme", members, np.full(len(members), base)))
        base += 1
    names = [f"i{n}" for n in range(num_items)] + [f"v{n}" for n in range(base - num_items)]
    triples = pd.DataFrame(
        {
            "head": _categories(np.concatenate([p[1] for p in parts]), names),
            "relation": pd.Categorical.from_codes(
                np.repeat(np.arange(len(parts)), [len(p[1]) for p in parts]),
                pd.Index([p[0] for p in parts]),
            ),
            "tail": _categories(np.concatenate([p[2] for p in parts]), names),
        }
    )
    ids = names[:num_items]
    interactions = Interactions(
        user_ids=[f"u{n}" for n in range(num_users)],
        item_ids=ids,
        indptr=indptr,
        item=item,
        rating=np.full(len(item), np.nan, np.float32),
        time=np.full(len(item), np.nan),
        items=pd.DataFrame({"title": ids}),
        users=pd.DataFrame(index=range(num_users)),
        triples=triples,
        links=pd.DataFrame({"item": np.arange(num_items), "entity": ids}),
    )
    return Synthetic(interactions, community)


def _categories(codes: NDArray[np.int64], names: list[str]) -> Any:
    return pd.Categorical.from_codes(codes.astype(np.int32), pd.Index(names))


def _joined(
    source: dict[str, int], target: dict[str, int], scale: int, rng: np.random.Generator
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Edges of all communities: ends by degree, joined at random.

    Args:
        source: how many sources have a degree, by degree.
        target: likewise of targets; as many ends in all, or the longer side is cut.
        scale: number of communities.
        rng: of the draws.
    """
    outward, inward = _ends(source), _ends(target)
    size = min(len(outward), len(inward))
    sources, targets = sum(source.values()), sum(target.values())
    rows = np.empty((scale, size), np.int64)
    columns = np.empty((scale, size), np.int64)
    for part in range(scale):
        rows[part] = rng.permutation(outward)[:size] + part * sources
        columns[part] = rng.permutation(inward)[:size] + part * targets
    left, right = rows.reshape(-1), columns.reshape(-1)
    across = np.flatnonzero(rng.random(len(left)) < ACROSS)
    right[across] = right[rng.permutation(across)]
    return left, right


def _ends(degrees: dict[str, int]) -> NDArray[np.int64]:
    """Each node as often as its degree says."""
    degree = np.repeat([int(d) for d in degrees], list(degrees.values()))
    return np.repeat(np.arange(len(degree)), degree)


def prompts(made: Synthetic, number: int, seed: int, width: int = 20) -> tuple[NDArray, NDArray]:
    """Histories and candidates: of a user, and of the community of the user's first item.

    Returns:
        int64 ``[number, width]`` each, -1 padding.
    """
    rng = np.random.default_rng([seed, 0x9])
    x = made.interactions
    order = np.argsort(made.community, kind="stable")
    start = np.searchsorted(made.community[order], np.arange(made.community.max() + 2))
    history = np.full((number, width), -1, np.int64)
    candidates = np.empty((number, width), np.int64)
    for row, user in enumerate(rng.integers(0, x.num_users, number)):
        latest = x.sequence(int(user))[-width:]
        history[row, : len(latest)] = latest[::-1]
        home = made.community[latest[0]]
        inside = rng.integers(start[home], start[home + 1], width)
        candidates[row] = order[inside]
    return history, candidates


def counts(values: NDArray[np.int64]) -> dict[str, int]:
    """How many have each degree."""
    degree, number = np.unique(values, return_counts=True)
    return {str(d): int(n) for d, n in zip(degree, number, strict=True)}


def measured(folder: str) -> dict[str, Any]:
    """The counts of degrees of the real data."""
    from lkgrag.config.loading import load_config
    from lkgrag.kg import build_kg
    from lkgrag.run.stages import load_dataset

    config = load_config({"preset": "amazon-beauty", "data.root": folder})
    x = load_dataset(config).interactions
    data = build_kg(x, np.diff(x.indptr), config.kg)
    relations: dict[str, Any] = {}
    for edge_type in data.edge_types:
        source, name, target = edge_type
        if source != "item" or target == "user" or name not in _names(data):
            continue
        row, column = data[edge_type].edge_index.numpy()
        sizes = data["item"].num_nodes, data[target].num_nodes
        relations[name if target == "item" else target] = {
            "source": counts(np.bincount(row, minlength=sizes[0])),
            "target": counts(np.bincount(column, minlength=sizes[1])),
        }
    return {
        "user": counts(np.diff(x.indptr)),
        "item": counts(np.bincount(x.item, minlength=x.num_items)),
        "relations": relations,
    }


def _names(data: Any) -> set[str]:
    """Relations of the tables, not of behaviour or inverses."""
    return {
        e[1]
        for e in data.edge_types
        if not e[1].startswith("rev_") and e[1] not in ("followed_by", "co_rated", "rated")
    }


if __name__ == "__main__":
    write_json(FILE, measured(sys.argv[1]))
