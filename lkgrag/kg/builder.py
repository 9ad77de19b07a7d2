"""From tables to the heterogeneous graph."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch_geometric.data import HeteroData

from lkgrag.data.cleaning.texts import normal
from lkgrag.errors import ConfigError, nearest
from lkgrag.kg.assembly import add_both_ways, add_edges, add_links, add_nodes
from lkgrag.kg.base import RelationSource, Training
from lkgrag.kg.sources.attributes import data_links
from lkgrag.kg.sources.making import make_edges
from lkgrag.kg.sources.own_graph import add_own_graph, named_graph
from lkgrag.kg.sources.resolver import class_name, custom_sources, relation_sources

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from lkgrag.config import EngineConfig, KGConfig
    from lkgrag.data.interactions import Interactions


def build_kg(
    interactions: Interactions,
    train_end: NDArray[np.int64],
    config: KGConfig,
    known: HeteroData | None = None,
    engine: EngineConfig | None = None,
) -> HeteroData:
    """Build the graph of a data set.

    Relation sources see nothing but interactions with ``position < train_end[user]`` and the titles.
    Another ``train_end`` gives the same node types, edge types and node indices.

    Args:
        interactions: sequences, attributes and triples.
        train_end: int64 ``[num_users]``, number of training interactions of each user.
        config: which relations, and how behaviour is counted.
        known: a graph of fewer data, as before an update. Its values keep their nodes, and new values follow.
        engine: that counts behaviour; None for arrays in memory. The graph does not depend on it.

    Returns:
        Node types ``item``, ``user`` and one for each relation to values, each with ``name``
        (:class:`~lkgrag.kg.Names`) and ``num_nodes``; value types have ``named``, False where
        the names are mere identifiers. Edge types ``(source, relation, target)`` with
        ``edge_index`` (int64 ``[2, E]``, sorted) and inverses ``rev_``; relations between items have
        ``weight`` (float32 in (0, 1]); behaviour has ``count``; ``rated`` has ``rating`` and
        ``time``; with ``kg.temporal`` behaviour has ``time`` (see :func:`lkgrag.kg.as_of`).
        ``data.merged`` lists relations that are others' inverses, ``data.left_out`` counts what
        could not be joined, ``data.temporal`` and ``data.follow_window`` are the settings. With
        custom relations ``data.custom`` has their classes by name.

    Raises:
        ConfigError: a name in ``kg.relations`` or ``kg.exclude`` is no relation of the data, a
            number is out of range, or a custom relation source does not keep its contract.
    """
    _check_numbers(config)
    training = Training.of(interactions, train_end)
    sources = relation_sources()
    enabled = [source for source in sources.values() if _is_enabled(source, config)]
    table = data_links(interactions, config, sources)
    data = HeteroData()
    own = interactions.graph
    if own is not None:
        nodes = {link.relation.node for link in table.links}
        own = named_graph(own, data, {*sources, *table.names}, nodes)
    own_names = {relation for _, relation, _ in own.edges} if own is not None else set()
    keep = _chosen({source.name for source in enabled} | table.names | own_names, config)
    add_nodes(data, "item", interactions.titles)
    if config.users:
        add_nodes(data, "user", interactions.user_ids)
    # In the order of the registry, so that edge types never depend on the data of a fold.
    for source in enabled:
        if keep(source.name):
            _add_relation(data, source, training, config, engine)
    for group in table.by_edge_type:
        if keep(group[0].relation.name):
            add_links(data, group, known)
    data.merged = table.merged
    data.left_out = table.left_out
    if own is not None:
        add_own_graph(data, own, keep, config.users)
        data.merged = [*table.merged, *own.merged]
        data.left_out = {**table.left_out, **own.left_out}
    data.temporal = config.temporal
    data.follow_window = config.follow_window
    custom = custom_sources()
    there = {relation for _, relation, _ in data.edge_types} & custom.keys()
    if there:
        data.custom = {name: class_name(type(custom[name])) for name in sorted(there)}
    return data


def _check_numbers(config: KGConfig) -> None:
    """Refuse numbers out of range, which a configuration made in Python may have."""
    least = {"follow_window": 1, "co_rated_top": 1, "behaviour_min": 1, "similar_titles": 0}
    for option, low in least.items():
        value = getattr(config, option)
        if value < low:
            raise ConfigError(f"kg.{option} must be at least {low}, got {value}")


def _is_enabled(source: RelationSource, config: KGConfig) -> bool:
    """Whether the options ask for a source; without users none can start from them."""
    return source.is_enabled(config) and (config.users or source.owner != "user")


def _chosen(names: set[str], config: KGConfig) -> Callable[[str], bool]:
    """The filter of ``kg.relations`` and ``kg.exclude``.

    Raises:
        ConfigError: one of them names no relation of ``names``.
    """
    for option, values in (("relations", config.relations), ("exclude", config.exclude)):
        for name in map(normal, values or []):
            if name not in names:
                raise ConfigError(
                    f"kg.{option}: no relation '{name}'.{nearest(name, names)} "
                    f"There are: {', '.join(sorted(names))}"
                )

    only = None if config.relations is None else set(map(normal, config.relations))
    without = set(map(normal, config.exclude))

    def keep(name: str) -> bool:
        return (only is None or name in only) and name not in without

    return keep


def _add_relation(
    data: HeteroData,
    source: RelationSource,
    training: Training,
    config: KGConfig,
    engine: EngineConfig | None,
) -> None:
    """Add the edges of a source, and those of its inverse where it has one."""
    edges = make_edges(source, training, config, engine)
    # A relation that is made of interactions is there in every fold. Others are the same in all folds:
    # without edges (as of items without titles) there is no such relation.
    if not len(edges) and source.made_of != "interactions":
        return
    add = add_edges if source.symmetric else add_both_ways
    add(data, source.edge_type, edges.index, edges.attributes)
