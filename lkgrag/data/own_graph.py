"""A graph of one's own, as PyG's ``HeteroData``, whose items are those of the interactions."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lkgrag.data.cleaning.columns import ids, show
from lkgrag.errors import DataError, nearest
from lkgrag.utils.shapes import sizes

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType

log = logging.getLogger(__name__)

#: Prefix of the inverse of a relation, as PyG's ``ToUndirected`` writes it.
REVERSE = "rev_"
ITEM, USER = "item", "user"
#: Share of the items that a graph should know.
MOST = 0.9


@dataclass(frozen=True)
class OwnGraph:
    """Nodes and edges of a graph, with the items and users of the interactions.

    Attributes:
        names: of the nodes of each type but ``item`` and ``user``; None where they have none.
        counts: number of nodes of these types.
        edges: int64 ``[2, E]`` of each edge type. Nodes of type ``item`` and ``user`` are indices of the
            interactions; no type is the inverse of another one.
        weights: float32 ``[E]`` in (0, 1], of edge types between items that have them.
        merged: one sentence for each edge type that is another one's inverse.
        left_out: by relation, how many edges lead to items or users outside the interactions.
    """

    names: dict[str, list[str] | None]
    counts: dict[str, int]
    edges: dict[EdgeType, NDArray[np.int64]]
    weights: dict[EdgeType, NDArray[np.float32]] = field(default_factory=dict)
    merged: list[str] = field(default_factory=list)
    left_out: dict[str, int] = field(default_factory=dict)

    __repr__ = sizes

    def digest(self) -> str:
        """The SHA-256 of all that a run uses, in hexadecimal."""
        sha = hashlib.sha256()
        words = [self.names, self.counts, self.merged, self.left_out, [list(t) for t in self.edges]]
        sha.update(json.dumps(words).encode())
        for edge_type, index in self.edges.items():
            sha.update(index.astype("<i8").tobytes())
            if edge_type in self.weights:
                sha.update(self.weights[edge_type].astype("<f4").tobytes())
        return sha.hexdigest()


def own_graph(
    data: HeteroData,
    known: dict[str, list[str]],
    types: dict[str, str],
    given_ids: dict[str, Any],
    names: dict[str, Sequence[str]],
) -> OwnGraph:
    """Check a graph, and map its items and users.

    Args:
        data: the graph.
        known: ids of the items (and users) of the interactions, by ``item`` and ``user``.
        types: node types of the graph that are items (and users), by ``item`` and ``user``.
        given_ids: the id of each node of these, likewise.
        names: names of the nodes of other types; by default ``data[type].name``.

    Raises:
        DataError: there is no such node type, ids do not match, or an edge leads to no node.
    """
    if not (hasattr(data, "edge_types") and hasattr(data, "node_types")):
        raise DataError(
            f"graph: a {type(data).__name__} is no HeteroData of PyG; give one with typed nodes"
        )
    node_types = [str(t) for t in data.node_types]
    # The index in the interactions of each node, -1 for none.
    mapped: dict[str, NDArray[np.int64]] = {}
    for ours, theirs in types.items():
        if theirs not in node_types:
            raise DataError(
                f"graph: no node type '{theirs}', which {ours}= names.{nearest(theirs, node_types)} There are: "
                f"{', '.join(node_types) or 'none'}"
            )
        mapped[theirs] = _map_nodes(data, theirs, ours, given_ids.get(ours), known[ours])
    ours_of = {theirs: ours for ours, theirs in types.items()}
    for node_type in names:
        if node_type not in node_types:
            raise DataError(
                f"graph: no node type '{node_type}', which names= has.{nearest(node_type, node_types)}"
            )
    counts = {t: _count(data, t, mapped) for t in node_types}
    raw = {tuple(map(str, t)): _edge_index(data, t, counts) for t in data.edge_types}
    kept, merged = _without_inverses(raw, ours_of)
    edges, weights, left_out = _mapped_edges(data, kept, mapped, ours_of)
    others = [t for t in node_types if t not in mapped]
    for node_type in (ITEM, USER):
        if node_type in others:
            raise DataError(
                f"graph: its node type '{node_type}' is not mapped; name it by {node_type}='{node_type}' with "
                f"{node_type}_ids=, or rename it"
            )
    return OwnGraph(
        {t: _names(data, t, names.get(t), counts[t]) for t in others},
        {t: counts[t] for t in others},
        edges,
        weights,
        merged,
        left_out,
    )


def _map_nodes(
    data: HeteroData, theirs: str, ours: str, given: Any, known: list[str]
) -> NDArray[np.int64]:
    """The index in the interactions of each node of a type, -1 for none."""
    source = f"graph: {ours}_ids"
    if given is None:
        store = data[theirs]
        given = next((store[k] for k in ("id", "ids", f"{theirs}_id") if k in store), None)
        if given is None:
            raise DataError(
                f"{source}: say which {ours} each node of type '{theirs}' is, by a list of ids in the order of "
                f"the nodes, or by data['{theirs}'].id"
            )
    values = given.tolist() if hasattr(given, "tolist") else list(given)
    column = pd.Series(values, dtype=None if values else object)
    texts = ids(column, "graph", f"{ours}_ids").tolist()
    number = data[theirs].num_nodes
    if number is not None and int(number) != len(texts):
        raise DataError(f"{source}: {len(texts)} ids for {int(number)} nodes of type '{theirs}'")
    if len(set(texts)) < len(texts):
        twice = next(t for t in texts if texts.count(t) > 1)
        raise DataError(f"{source}: {show(twice)} stands for two nodes; give each {ours} one node")
    index = pd.Index(known).get_indexer(pd.Index(texts, dtype=object)).astype(np.int64)
    matched = int((index >= 0).sum())
    if not matched:
        example = show(texts[0]) if texts else "none"
        raise DataError(
            f"{source}: none of them is among the {ours}s of the interactions: there as {show(known[0])}, here as "
            f"{example}"
        )
    if matched < MOST * len(known):
        log.warning(
            "graph: %d of %d %ss of the interactions have a node; the others have no edge of this graph",
            matched,
            len(known),
            ours,
        )
    return index


def _count(data: HeteroData, node_type: str, mapped: dict[str, NDArray[np.int64]]) -> int:
    """Number of nodes of a type, of the edges' ends where the graph does not say it."""
    if node_type in mapped:
        return len(mapped[node_type])
    store = data[node_type]
    if "num_nodes" in store or any(hasattr(v, "shape") or k == "name" for k, v in store.items()):
        return len(store["name"]) if "name" in store else int(store.num_nodes)
    ends = [0]
    for edge_type in data.edge_types:
        for place, end in ((0, edge_type[0]), (1, edge_type[2])):
            index = _array(data[edge_type].get("edge_index"))
            if end == node_type and index is not None and index.ndim == 2 and index.size:
                ends.append(int(index[place].max()) + 1)
    return max(ends)


def _array(value: Any) -> NDArray[Any] | None:
    if value is None:
        return None
    value = value.detach().cpu() if hasattr(value, "detach") else value
    return np.asarray(value)


def _edge_index(data: HeteroData, edge_type: EdgeType, counts: dict[str, int]) -> NDArray[np.int64]:
    """The edges of a type, checked.

    Raises:
        DataError: no ``edge_index`` of whole numbers ``[2, E]``, or one that is out of range.
    """
    words = f"graph: {' '.join(map(str, edge_type))}"
    index = _array(data[edge_type].get("edge_index"))
    if index is None or index.ndim != 2 or index.shape[0] != 2 or index.dtype.kind not in "iu":
        found = "none" if index is None else f"{index.dtype} {list(index.shape)}"
        raise DataError(f"{words}: edge_index must be whole numbers [2, E], got {found}")
    for place, end, side in ((0, edge_type[0], "source"), (1, edge_type[2], "target")):
        if end not in counts:
            raise DataError(f"{words}: there is no node type '{end}'")
        if index.size and not 0 <= index[place].min() <= index[place].max() < counts[end]:
            bad = int(
                index[place].max() if index[place].max() >= counts[end] else index[place].min()
            )
            raise DataError(
                f"{words}: edge_index names the {side} {bad}, but there are {counts[end]} nodes of type '{end}'"
            )
    return index.astype(np.int64)


def _fingerprint(index: NDArray[np.int64]) -> tuple[int, bytes]:
    """A hash of edges that does not depend on their order."""
    key = np.sort(index[0] * (int(index[1].max(initial=0)) + 1) + index[1])
    return index.shape[1], hashlib.sha256(key.tobytes()).digest()


def _without_inverses(
    raw: dict[EdgeType, NDArray[np.int64]], ours_of: dict[str, str]
) -> tuple[dict[EdgeType, NDArray[np.int64]], list[str]]:
    """Keep one of two edge types that are each other's inverse.

    Raises:
        DataError: a ``rev_`` is not the inverse of its relation.
    """
    kept: dict[EdgeType, NDArray[np.int64]] = {}
    merged = []
    # Those that lead away from the items first, and a relation before its `rev_`.
    order = sorted(
        raw, key=lambda t: (t[1].startswith(REVERSE), ours_of.get(t[0]) != ITEM, list(raw).index(t))
    )
    for edge_type in order:
        source, relation, target = edge_type
        back = (target, relation.removeprefix(REVERSE), source)
        flipped = raw[edge_type][::-1]
        if relation.startswith(REVERSE) and back in kept:
            if _fingerprint(kept[back]) != _fingerprint(flipped):
                raise DataError(
                    f"graph: {' '.join(edge_type)} is not the inverse of {' '.join(back)}; rename it, or leave it "
                    "out, as inverses are made"
                )
            continue
        same = [
            t
            for t in kept
            if (t[0], t[2]) == (target, source)
            and raw[edge_type].size
            and _fingerprint(kept[t]) == _fingerprint(flipped)
        ]
        if same and same[0] != edge_type:
            merged.append(f"{relation} is the inverse of {same[0][1]}")
            continue
        kept[edge_type] = raw[edge_type]
    # In the graph's own order.
    return {t: kept[t] for t in raw if t in kept}, merged


def _mapped_edges(
    data: HeteroData,
    kept: dict[EdgeType, NDArray[np.int64]],
    mapped: dict[str, NDArray[np.int64]],
    ours_of: dict[str, str],
) -> tuple[dict[EdgeType, NDArray[np.int64]], dict[EdgeType, NDArray[np.float32]], dict[str, int]]:
    edges: dict[EdgeType, NDArray[np.int64]] = {}
    weights: dict[EdgeType, NDArray[np.float32]] = {}
    left_out: dict[str, int] = {}
    touched = 0
    for edge_type, index in kept.items():
        source, relation, target = edge_type
        ends = [ours_of.get(source, source), ours_of.get(target, target)]
        if USER in ends and (ITEM in ends or ends == [USER, USER]):
            # Who chose what is counted on training interactions; here it may hold what is to be predicted.
            left_out[f"{relation} (the run's own `rated` takes its place)"] = index.shape[1]
            continue
        pair = np.stack(
            [
                mapped[t][i] if t in mapped else i
                for t, i in zip((source, target), index, strict=True)
            ]
        )
        keep = (pair >= 0).all(0)
        if ends == [ITEM, ITEM]:
            # No item is joined with itself.
            keep &= pair[0] != pair[1]
        touched += int(keep.sum()) if ITEM in ends else 0
        if not keep.all():
            left_out[relation] = left_out.get(relation, 0) + int((~keep).sum())
        edges[ends[0], relation, ends[1]] = pair[:, keep]
        weight = _array(data[edge_type].get("weight", data[edge_type].get("edge_weight")))
        if ends == [ITEM, ITEM] and weight is not None:
            weights[ITEM, relation, ITEM] = _weights(weight, edge_type, index.shape[1])[keep]
    if not touched:
        raise DataError(
            "graph: no edge joins an item of the interactions to anything; check item_ids and the edge types"
        )
    return edges, weights, left_out


def _weights(weight: NDArray[Any], edge_type: EdgeType, number: int) -> NDArray[np.float32]:
    """Weights of edges between items.

    Raises:
        DataError: there is not one in (0, 1] for each edge.
    """
    out = np.asarray(weight, np.float32).reshape(-1)
    if len(out) != number or not ((out > 0) & (out <= 1)).all():
        raise DataError(
            f"graph: {' '.join(edge_type)}: weight must be one number in (0, 1] for each of the {number} edges"
        )
    return out


def _names(
    data: HeteroData, node_type: str, given: Iterable[object] | None, number: int
) -> list[str] | None:
    """Names of the nodes of a type; None where there are none.

    Raises:
        DataError: there is not one for each node.
    """
    given = data[node_type].get("name") if given is None else given
    if given is None:
        return None
    names = [str(name) for name in given]
    if len(names) != number:
        raise DataError(f"graph: {len(names)} names for {number} nodes of type '{node_type}'")
    return names
