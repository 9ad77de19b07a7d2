"""Meta-paths: the sequences of edge types that lead from an item to an item."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lkgrag.errors import ConfigError, nearest
from lkgrag.kg.naming import REVERSE, base_name
from lkgrag.kg.sources.resolver import is_symmetric

if TYPE_CHECKING:
    from collections.abc import Iterable

    from torch_geometric.typing import EdgeType

    from lkgrag.config import PathsConfig
    from lkgrag.paths.batch import MetaPath

ITEM, USER = "item", "user"
#: The longest meta-path for which instances can be found, in edges.
LONGEST = 4


def metapaths(edge_types: Iterable[EdgeType], config: PathsConfig) -> list[MetaPath]:
    """List all meta-paths from item to item with at most ``paths.max_length`` edges.

    Inner nodes are never users, so that no path contains the edge between the prompt's user and the target.
    They are items only with ``paths.through_items``. Shorter meta-paths come first; among equally long ones
    the order of ``edge_types`` decides. If a relation is in the graph twice, it is used once: the ``rev_`` of
    a symmetric relation, or a ``rev_rev_`` that ``ToUndirected`` made.

    Raises:
        ConfigError: ``paths.max_length`` is not between 1 and 4, or a relation is unknown.
    """
    if not 1 <= config.max_length <= LONGEST:
        raise ConfigError(f"paths.max_length must be 1 to {LONGEST}, got {config.max_length}")
    steps: dict[str, list[EdgeType]] = {}
    for edge_type in select_edge_types(drop_duplicates(edge_types), config):
        if USER not in (edge_type[0], edge_type[2]):
            steps.setdefault(edge_type[0], []).append(edge_type)
    complete: list[MetaPath] = []
    front: list[MetaPath] = [(e,) for e in steps.get(ITEM, [])]
    for length in range(1, config.max_length + 1):
        complete += [path for path in front if path[-1][2] == ITEM]
        if length < config.max_length:
            inner = [p for p in front if p[-1][2] != ITEM or config.through_items]
            front = [(*path, step) for path in inner for step in steps.get(path[-1][2], [])]
    return complete


def select_edge_types(edge_types: list[EdgeType], config: PathsConfig) -> list[EdgeType]:
    """Select the edge types that ``paths.relations`` and ``paths.exclude`` allow.

    Raises:
        ConfigError: a name is no relation of the graph.
    """
    names = sorted({base_name(e[1]) for e in edge_types})
    for option, relations in (("relations", config.relations), ("exclude", config.exclude)):
        for name in relations or []:
            if name not in names:
                raise ConfigError(
                    f"paths.{option}: no relation '{name}' in the graph.{nearest(name, names)} "
                    f"There are: {', '.join(names)}"
                )
    keep = set(names if config.relations is None else config.relations) - set(config.exclude)
    return [e for e in edge_types if base_name(e[1]) in keep]


def drop_duplicates(edge_types: Iterable[EdgeType]) -> list[EdgeType]:
    """Drop edge types that mean the same as another one, as the reverse of a symmetric relation does."""
    unique = list(dict.fromkeys(tuple(e) for e in edge_types))
    # Of several names with one meaning the shortest stays, wherever it is in the list.
    shortest = {_normalise(e): e for e in sorted(unique, key=lambda e: -len(e[1]))}
    return [e for e in unique if shortest[_normalise(e)] == e]


def _normalise(edge_type: EdgeType) -> EdgeType:
    """Rewrite an edge type so that all names of one meaning become equal."""
    source, relation, target = edge_type
    while relation.startswith(REVERSE * 2):
        relation = relation.removeprefix(REVERSE * 2)
    if source == target and is_symmetric(relation.removeprefix(REVERSE)):
        relation = relation.removeprefix(REVERSE)
    return (source, relation, target)
