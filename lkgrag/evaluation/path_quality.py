"""The quality of explanations by the paths that they show.

The measures are those of hopwise (Boratto et al. 2025, ``hopwise.evaluator.metrics``), which come from Balloccu,
Boratto, Fenu and Marras: "Post Processing Recommender Systems with Knowledge Graphs for Recency, Popularity, and
Diversity of Explanations" (SIGIR 2022: LIR, SEP, and the diversity of types) and "Reinforcement Recommendation
Reasoning through Knowledge Graphs for Explanation Path Quality" (Knowledge-Based Systems 2023: LID, SED, PTC).

A path leads from an item of the history, the *linking interaction*, to a recommended item; the node before that item
is the *shared entity*. Each recommended item is explained by one path.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lkgrag.evaluation.resampling import Users, mean_of, ratio_intervals

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData

    from lkgrag.kg import MetaPath

#: The measures, in the order of tables.
MEASURES = ("lir", "lid", "sep", "sed", "setd", "ptd", "ptc", "ppt", "ppc", "fidelity")


@dataclass(frozen=True)
class Explanations:
    """The paths that explain ``L`` lists: at most one for each item of a list.

    Attributes:
        metapaths: that ``metapath`` indexes.
        listed: int64 ``[P]``, the list of each path, in rising order.
        metapath: int64 ``[P]``.
        nodes: int64 ``[P, N]``, from the linking interaction to the recommended item, -1 padding on the right.
        recency: float64 ``[P]``, of the linking interaction, of :func:`linking_recency`.
        size: int64 ``[L]``, items of each list.
        user: int64 ``[L]``.
    """

    metapaths: Sequence[MetaPath]
    listed: NDArray[np.int64]
    metapath: NDArray[np.int64]
    nodes: NDArray[np.int64]
    recency: NDArray[np.float64]
    size: NDArray[np.int64]
    user: NDArray[np.int64]


def moving_average(values: NDArray[np.float64]) -> NDArray[np.float64]:
    """The exponentially weighted moving average of rising values, brought to [0, 1]; hopwise's ``normalized_ema``.

    Average ``n`` is that of values ``0..n`` with weights :math:`(1-a)^{n-m}` and :math:`a = 2/(N+1)`, the decay of
    pandas' ``ewm(span=N)``. Values that are all the same are replaced by their places. A single value gives 0.

    Args:
        values: float64 ``[N]``, in rising order.

    Returns:
        float64 ``[N]``.
    """
    if len(values) < 2:
        return np.zeros(len(values))
    rising = np.arange(len(values), dtype=float) if values[0] == values[-1] else values
    average = pd.Series(rising).ewm(span=len(rising)).mean().to_numpy()
    span = average.max() - average.min()
    return np.asarray((average - average.min()) / span if span > 0 else np.zeros(len(average)))


def linking_recency(times: NDArray[np.float64], items: NDArray[np.int64]) -> NDArray[np.float64]:
    """The recency (LIR) of each item of a history, by its latest choice: 0 for the oldest, 1 for the newest.

    Args:
        times: float64 ``[H]``, in time order; places are taken where any is unknown.
        items: int64 ``[H]``.

    Returns:
        float64 ``[H]``.
    """
    known = times if np.isfinite(times).all() else np.arange(len(times), dtype=np.float64)
    average = moving_average(known)
    latest = {item: place for place, item in enumerate(items.tolist())}
    return average[[latest[item] for item in items.tolist()]]


def entity_popularity(data: HeteroData) -> dict[str, NDArray[np.float64]]:
    """The popularity (SEP) of each node within its type: 0 for the one with the fewest relations, 1 for the most.

    A node's relations are the edges that lead to it, with those of the reverse relations. Nodes of one number are in
    the order of their indices.

    Args:
        data: the graph.

    Returns:
        By node type float64 ``[N]``; 0 for a node without a relation.
    """
    degree = {t: np.zeros(int(data[t].num_nodes), np.int64) for t in data.node_types}
    for edge_type in data.edge_types:
        target = data[edge_type].edge_index[1].cpu().numpy()
        degree[edge_type[2]] += np.bincount(target, minlength=len(degree[edge_type[2]]))
    out = {}
    for node_type, number in degree.items():
        order = np.argsort(number, kind="stable")
        order = order[number[order] > 0]
        out[node_type] = np.zeros(len(number))
        out[node_type][order] = moving_average(number[order].astype(np.float64))
    return out


def measure_paths(
    explanations: Explanations,
    popularity: dict[str, NDArray[np.float64]],
    resamples: int,
    seed: int,
) -> dict[str, dict[str, float]]:
    """How recent, popular and diverse the paths of explanations are, with intervals over users.

    Args:
        explanations: the paths.
        popularity: of :func:`entity_popularity`.
        resamples: of users, at most :data:`~lkgrag.evaluation.resampling.MOST`.
        seed: of the draws.

    Returns:
        ``{measure: {mean, low, high}}``. Means over paths: ``lir``, the recency of the linking interaction, and
        ``sep``, the popularity of the shared entity. Means over lists with a path, with ``n`` the list's paths:
        ``lid`` and ``sed``, the number of different linking interactions and of different shared entities over
        ``n``; ``setd``, the number of different types of shared entities over ``n``; ``ptd``, the number of
        different last relations over the smaller of ``n`` and the number that the graph's meta-paths have; ``ptc``,
        1 less the chance that two of the paths have one last relation, 0 for a single path, so more is *less*
        concentrated, as in hopwise; ``ppt`` and ``ppc``, the same two of whole meta-paths (hopwise's ``PPT`` divides
        by the largest number of hops instead). Over all lists: ``fidelity``, the share of the items that have a
        path. NaN without a path or a list.
    """
    paths = explanations
    last = [m[-1] for m in paths.metapaths]
    types = [m[-1][0] for m in paths.metapaths]
    relations = {name: n for n, name in enumerate(dict.fromkeys(edge[1] for edge in last))}
    kinds = {name: n for n, name in enumerate(dict.fromkeys(types))}
    relation = np.array([relations[edge[1]] for edge in last], np.int64)[paths.metapath]
    kind = np.array([kinds[t] for t in types], np.int64)[paths.metapath]
    hops = np.array([len(m) for m in paths.metapaths], np.int64)[paths.metapath]
    entity = paths.nodes[np.arange(len(hops)), hops - 1]
    names = list(kinds)
    sep = np.zeros(len(hops))
    for number, name in enumerate(names):
        sep[kind == number] = popularity[name][entity[kind == number]]
    number = len(paths.size)
    count = np.bincount(paths.listed, minlength=number).astype(np.float64)
    # An index alone does not tell nodes of two types apart.
    widest = int(entity.max(initial=-1)) + 1
    per_list = {
        "lid": _different(paths.listed, paths.nodes[:, 0], number) / np.maximum(count, 1),
        "sed": _different(paths.listed, kind * widest + entity, number) / np.maximum(count, 1),
        "setd": _different(paths.listed, kind, number) / np.maximum(count, 1),
        "ptd": _different(paths.listed, relation, number)
        / np.maximum(np.minimum(count, len(relations)), 1),
        "ptc": _unlike(paths.listed, relation, count),
        "ppt": _different(paths.listed, paths.metapath, number)
        / np.maximum(np.minimum(count, len(paths.metapaths)), 1),
        "ppc": _unlike(paths.listed, paths.metapath, count),
    }
    explained = (count > 0).astype(np.float64)
    columns: dict[str, NDArray[np.float64]] = {
        "paths": count.astype(np.float64),
        "lir": np.bincount(paths.listed, paths.recency, number).astype(np.float64),
        "sep": np.bincount(paths.listed, sep, number).astype(np.float64),
        "explained": explained,
        **{n: np.asarray(values * explained, np.float64) for n, values in per_list.items()},
        "lists": np.ones(number, np.float64),
        "fidelity": (count / np.maximum(paths.size, 1)).astype(np.float64),
    }
    formulas = {name: mean_of(name, "explained") for name in per_list}
    formulas |= {"lir": mean_of("lir", "paths"), "sep": mean_of("sep", "paths")}
    formulas["fidelity"] = mean_of("fidelity", "lists")
    ends = ratio_intervals(Users.of(paths.user, resamples, seed), columns, formulas)
    with np.errstate(divide="ignore", invalid="ignore"):
        sums = {name: np.array([values.sum()]) for name, values in columns.items()}
        means = {name: float(formula(sums)[0]) for name, formula in formulas.items()}
    return {
        name: {"mean": means[name], "low": ends[name][0], "high": ends[name][1]}
        for name in MEASURES
    }


def _different(
    listed: NDArray[np.int64], value: NDArray[np.int64], number: int
) -> NDArray[np.float64]:
    """How many different values the paths of each list have, float64 ``[L]``."""
    pairs = np.unique(np.stack([listed, value], 1), axis=0)
    return np.bincount(pairs[:, 0], minlength=number).astype(np.float64)


def _unlike(
    listed: NDArray[np.int64], value: NDArray[np.int64], count: NDArray[np.float64]
) -> NDArray[np.float64]:
    """1 less the chance that two paths of a list have one value, float64 ``[L]``; 0 for a single path."""
    pairs, times = np.unique(np.stack([listed, value], 1), axis=0, return_counts=True)
    alike = np.bincount(pairs[:, 0], times * (times - 1.0), len(count))
    all_pairs = count * (count - 1)
    return np.where(all_pairs > 0, 1 - alike / np.maximum(all_pairs, 1), 0.0)
