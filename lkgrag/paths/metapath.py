"""Meta-paths: the kinds of paths that a graph's edge types allow between two items."""

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
#: Longest meta-path that instances are found for.
LONGEST = 4


def metapaths(edge_types: Iterable[EdgeType], config: PathsConfig) -> list[MetaPath]:
    """All meta-paths from item to item of at most ``paths.max_length`` edges.

    Inner nodes are never users, so that no path holds the edge between the prompt's user and the
    target, and items only with ``paths.through_items``. Shorter meta-paths come first; among equals
    the order of ``edge_types`` decides. A relation that stands in the graph twice (the ``rev_`` of a
    symmetric one, or ``rev_rev_`` as made by ``ToUndirected``) is used once.

    Raises:
        ConfigError: ``paths.max_length`` is not between 1 and 4, or a relation is unknown.
    """
    if not 1 <= config.max_length <= LONGEST:
        raise ConfigError(f"paths.max_length must be 1 to {LONGEST}, got {config.max_length}")
    steps: dict[str, list[EdgeType]] = {}
    for edge_type in chosen(distinct(edge_types), config):
        if USER not in (edge_type[0], edge_type[2]):
            steps.setdefault(edge_type[0], []).append(edge_type)
    found: list[MetaPath] = []
    front: list[MetaPath] = [(e,) for e in steps.get(ITEM, [])]
    for length in range(1, config.max_length + 1):
        found += [path for path in front if path[-1][2] == ITEM]
        if length < config.max_length:
            inner = [p for p in front if p[-1][2] != ITEM or config.through_items]
            front = [(*path, step) for path in inner for step in steps.get(path[-1][2], [])]
    return found


def chosen(edge_types: list[EdgeType], config: PathsConfig) -> list[EdgeType]:
    """The edge types that ``paths.relations`` and ``paths.exclude`` leave.

    Raises:
        ConfigError: a name is no relation of the graph.
    """
    names = sorted({base_name(e[1]) for e in edge_types})
    for option, given in (("relations", config.relations), ("exclude", config.exclude)):
        for name in given or []:
            if name not in names:
                raise ConfigError(
                    f"paths.{option}: no relation '{name}' in the graph.{nearest(name, names)} "
                    f"There are: {', '.join(names)}"
                )
    keep = set(names if config.relations is None else config.relations) - set(config.exclude)
    return [e for e in edge_types if base_name(e[1]) in keep]


def distinct(edge_types: Iterable[EdgeType]) -> list[EdgeType]:
    """The edge types without those that say the same as another one."""
    given = list(dict.fromkeys(tuple(e) for e in edge_types))
    # The plainest name of a meaning wins, wherever it stands.
    plain = {_meaning(e): e for e in sorted(given, key=lambda e: -len(e[1]))}
    return [e for e in given if plain[_meaning(e)] == e]


def _meaning(edge_type: EdgeType) -> EdgeType:
    source, relation, target = edge_type
    while relation.startswith(REVERSE * 2):
        relation = relation.removeprefix(REVERSE * 2)
    if source == target and is_symmetric(relation.removeprefix(REVERSE)):
        relation = relation.removeprefix(REVERSE)
    return (source, relation, target)
