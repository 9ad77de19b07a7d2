"""From tables to the heterogeneous graph."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch_geometric.data import HeteroData

from lkgrag.errors import ConfigError, nearest
from lkgrag.kg.names import Names
from lkgrag.kg.naming import RESERVED, REVERSE, qualified
from lkgrag.kg.sources import behaviour
from lkgrag.kg.sources.behaviour import Edges, Training
from lkgrag.kg.sources.columns import Links, column_links
from lkgrag.kg.sources.titles import similar_titles
from lkgrag.kg.sources.triples import triple_links
from lkgrag.kg.vocabulary import CO_RATED, FOLLOWED_BY, RATED, SIMILAR_TITLE
from lkgrag.utils.arrays import distinct

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.config import KGConfig
    from lkgrag.data.interactions import Interactions
    from lkgrag.kg.vocabulary import Relation

#: Relations that other sources may not take.
OWN = (FOLLOWED_BY.name, CO_RATED.name, SIMILAR_TITLE.name, RATED.name)


def build_kg(
    interactions: Interactions, train_end: NDArray[np.int64], config: KGConfig
) -> HeteroData:
    """Build the graph of a data set.

    Behaviour (``followed_by``, ``co_rated``) and ``rated`` edges come from interactions with
    ``position < train_end[user]`` alone, ``similar_title`` from the titles alone. Another
    ``train_end`` gives the same node types, edge types and node indices.

    Args:
        interactions: sequences, attributes and triples.
        train_end: int64 ``[num_users]``, number of training interactions of each user.
        config: which relations, and how behaviour is counted.

    Returns:
        Node types ``item``, ``user`` and one a relation to values, each with ``name``
        (:class:`~lkgrag.kg.names.Names`) and ``num_nodes``; value types have ``named``, False where
        the names are mere identifiers. Edge types ``(source, relation, target)`` with
        ``edge_index`` (int64 ``[2, E]``, sorted) and inverses ``rev_``; relations between items have
        ``weight`` (float32 in (0, 1]); behaviour has ``count``; ``rated`` has ``rating`` and
        ``time``; with ``kg.temporal`` behaviour has ``time`` (see :func:`lkgrag.kg.as_of`).
        ``data.merged`` lists relations that are others' inverses, ``data.left_out`` counts what
        could not be joined, ``data.temporal`` and ``data.follow_window`` are the settings.

    Raises:
        ConfigError: a name in ``kg.relations`` or ``kg.exclude`` is no relation of the data, or a
            number is out of range.
    """
    for option in ("follow_window", "co_rated_top", "behaviour_min"):
        if getattr(config, option) < 1:
            raise ConfigError(f"kg.{option} must be at least 1, got {getattr(config, option)}")
    if config.similar_titles < 0:
        raise ConfigError(f"kg.similar_titles must be at least 0, got {config.similar_titles}")
    training = Training.of(interactions, train_end)
    links, merged, left_out = _links(interactions, config)
    names = {link.relation.name for link in links}
    names |= set(OWN[:2]) if config.behaviour else set()
    names |= {RATED.name} if config.users else set()
    names |= {SIMILAR_TITLE.name} if config.similar_titles else set()
    keep = _chosen(names, config)
    data = HeteroData()
    _nodes(data["item"], interactions.titles)
    if config.users:
        _nodes(data["user"], interactions.user_ids)
    if config.users and keep(RATED.name):
        _add_rated(data, training)
    num_items = interactions.num_items
    # Fitted in a fixed order, so that edge types never depend on the data of a fold.
    if config.behaviour and keep(FOLLOWED_BY.name):
        edges = behaviour.followed_by(training, num_items, config)
        _add_behaviour(data, FOLLOWED_BY.name, edges, config.temporal, inverse=True)
    if config.behaviour and keep(CO_RATED.name):
        edges = behaviour.co_rated(training, num_items, config)
        _add_behaviour(data, CO_RATED.name, edges, config.temporal, inverse=False)
    if config.similar_titles and keep(SIMILAR_TITLE.name):
        edges = similar_titles(interactions.items["title"].tolist(), config.similar_titles)
        # Where no titles are known, or none alike, there is no such relation.
        if edges.index.shape[1]:
            _edges(
                data, ("item", SIMILAR_TITLE.name, "item"), edges.index, {"weight": edges.weight}
            )
    for group in _grouped(links):
        if keep(group[0].relation.name):
            _add_links(data, group)
    data.merged = merged
    data.left_out = left_out
    data.temporal = config.temporal
    data.follow_window = config.follow_window
    return data


def _links(
    interactions: Interactions, config: KGConfig
) -> tuple[list[Links], list[str], dict[str, int]]:
    """All links of tables and triples, with names that do not collide."""
    links, left_out = column_links(
        interactions.items, "item", interactions.item_ids, config.combine
    )
    if config.users:
        links += column_links(interactions.users, "user", [])[0]
    links = _rename(links, relations=set(OWN), nodes=set(RESERVED))
    relations = {link.relation.name for link in links} | set(OWN)
    nodes = {link.relation.node for link in links} | set(RESERVED)
    from_triples, report = triple_links(interactions.triples, interactions.links)
    links += _rename(from_triples, relations, nodes)
    left_out.update(report.outside)
    if report.unlinked:
        left_out["triples without an item"] = report.unlinked
    return links, report.merged, left_out


def _rename(links: list[Links], relations: set[str], nodes: set[str]) -> list[Links]:
    """Give links a longer name where theirs, or that of their node type, is taken."""
    out = []
    for link in links:
        relation = link.relation
        if _taken(relation, relations, nodes):
            longer = qualified(link.origin)
            relation = longer if relation.node != "item" else replace(longer, node="item")
        number = 2
        while _taken(relation, relations, nodes):
            base = qualified(link.origin)
            node = "item" if relation.node == "item" else f"{base.node}_{number}"
            relation = replace(base, name=f"{base.name}_{number}", node=node)
            number += 1
        out.append(replace(link, relation=relation))
    return out


def _taken(relation: Relation, relations: set[str], nodes: set[str]) -> bool:
    # Names with the prefix are those of inverses.
    if relation.name in relations or relation.name.startswith(REVERSE):
        return True
    return relation.node != "item" and relation.node in nodes


def _chosen(names: set[str], config: KGConfig) -> Callable[[str], bool]:
    """The filter of ``kg.relations`` and ``kg.exclude``."""
    for option, values in (("relations", config.relations), ("exclude", config.exclude)):
        for name in values or []:
            if name not in names:
                raise ConfigError(
                    f"kg.{option}: no relation '{name}'.{nearest(name, names)} "
                    f"There are: {', '.join(sorted(names))}"
                )

    def keep(name: str) -> bool:
        return (config.relations is None or name in config.relations) and name not in config.exclude

    return keep


def _grouped(links: list[Links]) -> list[list[Links]]:
    """Links of the same edge type together, in the order of first appearance."""
    groups: dict[tuple[str, str, str], list[Links]] = {}
    for link in links:
        key = (link.owner, link.relation.name, link.relation.node)
        groups.setdefault(key, []).append(link)
    return list(groups.values())


def _nodes(store: Any, names: list[str], named: bool | None = None) -> None:
    store.name = Names(names)
    store.num_nodes = len(names)
    if named is not None:
        store.named = named


def _add_links(data: HeteroData, group: list[Links]) -> None:
    """Add one edge type and its inverse, with a node type for its values."""
    owner, relation = group[0].owner, group[0].relation
    source = np.concatenate([link.source for link in group])
    target = np.concatenate([link.target for link in group])
    if relation.node != "item":
        target = _values(data, relation.node, target, all(link.named for link in group))
    width = data[relation.node].num_nodes
    pairs = distinct(source.astype(np.int64) * width + target.astype(np.int64))
    index = np.stack([pairs // width, pairs % width]) if width else np.zeros((2, 0), np.int64)
    extra: dict[str, NDArray] = {}
    if relation.node == "item":
        extra["weight"] = np.ones(index.shape[1], np.float32)
    _edges(data, (owner, relation.name, relation.node), index, extra)
    _edges(data, _reverse(owner, relation.name, relation.node), index[::-1], extra)


def _values(data: HeteroData, node: str, target: NDArray, named: bool) -> NDArray[np.int64]:
    """Index values by sorted name; a type that two relations share grows."""
    old = list(data[node].name) if node in data.node_types else []
    index = {name: i for i, name in enumerate(old)}
    for name in sorted(set(target.tolist()) - index.keys()):
        index[name] = len(index)
    _nodes(data[node], list(index), named)
    return np.array([index[v] for v in target.tolist()], np.int64)


def _reverse(source: str, relation: str, target: str) -> tuple[str, str, str]:
    return (target, REVERSE + relation, source)


def _edges(
    data: HeteroData,
    edge_type: tuple[str, str, str],
    index: NDArray[np.int64],
    extra: dict[str, NDArray],
) -> None:
    """Store edges sorted by source, then target."""
    # One key, which is often sorted already; then this takes a single pass.
    order = np.argsort(index[0] * (int(index[1].max(initial=0)) + 1) + index[1], kind="stable")
    store = data[edge_type]
    store.edge_index = torch.from_numpy(np.ascontiguousarray(index[:, order]))
    for name, values in extra.items():
        store[name] = torch.from_numpy(np.ascontiguousarray(values[order]))


def _add_behaviour(
    data: HeteroData, name: str, edges: Edges, temporal: bool, inverse: bool
) -> None:
    extra: dict[str, NDArray] = {"weight": edges.weight, "count": edges.count.astype(np.float32)}
    if temporal:
        extra["time"] = edges.time
    _edges(data, ("item", name, "item"), edges.index, extra)
    if inverse:
        _edges(data, _reverse("item", name, "item"), edges.index[::-1], extra)


def _add_rated(data: HeteroData, training: Training) -> None:
    index = np.stack([training.user, training.item])
    extra: dict[str, NDArray] = {"rating": training.rating, "time": training.time}
    _edges(data, ("user", RATED.name, "item"), index, extra)
    _edges(data, _reverse("user", RATED.name, "item"), index[::-1], extra)
