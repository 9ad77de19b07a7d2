"""Edges of a source, checked: what a custom source gives is tried before it enters a graph."""

from __future__ import annotations

from contextlib import nullcontext
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.errors import ConfigError
from lkgrag.kg.base import Edges
from lkgrag.kg.large.counters import count_edges, is_by_queries
from lkgrag.kg.sources.resolver import class_name
from lkgrag.utils.failures import guard_custom_code
from lkgrag.utils.plugins import is_custom

if TYPE_CHECKING:
    from lkgrag.config import EngineConfig, KGConfig
    from lkgrag.kg.base import RelationSource, Training


def make_edges(
    source: RelationSource,
    training: Training,
    config: KGConfig,
    engine: EngineConfig | None = None,
) -> Edges:
    """The edges of a source.

    Args:
        source: of this package, or a custom one, whose edges are checked.
        training: what it sees.
        config: options of the graph.
        engine: that counts the relations of this package; None for arrays in memory.

    Raises:
        ConfigError: a custom source fails, or its edges do not keep the contract; the message names
            its class.
    """
    if engine is not None and is_by_queries(source, training, engine):
        return count_edges(source, training, config, engine)
    custom = is_custom(type(source))
    label = f"relation '{source.name}' of {class_name(type(source))}"

    def tell(error: BaseException) -> str:
        cause = f"{type(error).__name__}: {error}"
        return f"{label}: edges() fails ({cause}); --debug shows where"

    with guard_custom_code(tell) if custom else nullcontext():
        edges = source.edges(training, config)
    if custom:
        fault = find_fault(source, edges, training, config)
        if fault is not None:
            raise ConfigError(f"{label}: {fault}")
    return edges


def find_fault(
    source: RelationSource, edges: Edges, training: Training, config: KGConfig
) -> str | None:
    """What edges have that the contract forbids, in words; None where they keep it.

    Args:
        source: that gave them.
        edges: what it gave.
        training: what it saw.
        config: options of the graph.
    """
    if not isinstance(edges, Edges):
        return f"edges() must return lkgrag.kg.Edges, got {type(edges).__name__}"
    (start, end), between = edges.index, source.owner == "item"
    sizes = {"source": training.num_items if between else training.num_users}
    sizes["target"] = training.num_items
    for row, (name, size) in zip(edges.index, sizes.items(), strict=True):
        if len(row) and (row.min() < 0 or row.max() >= size):
            return f"each {name} must lie in [0, {size}), got {row.min()} to {row.max()}"
    if edges.count is not None and (edges.count < 1).any():
        return f"each count must be at least 1, got {edges.count.min()}"
    if edges.weight is not None and not ((edges.weight > 0) & (edges.weight <= 1)).all():
        return "each weight must lie in (0, 1]"
    if config.temporal and source.made_of == "interactions" and edges.time is None:
        return "kg.temporal=true needs the time of each edge; give Edges its `time`"
    if not between:
        return None
    if edges.weight is None:
        return "edges between items need a weight in (0, 1]"
    if (start == end).any():
        return f"item {start[start == end][0]} is joined with itself"
    return _fault_of_pairs(edges, training.num_items, source.symmetric)


def _fault_of_pairs(edges: Edges, num_items: int, symmetric: bool) -> str | None:
    """Whether a pair comes twice, or a symmetric relation has an edge one way only."""
    start, end = edges.index
    order = np.argsort(start * num_items + end, kind="stable")
    key = (start * num_items + end)[order]
    twice = key[1:][key[1:] == key[:-1]]
    if len(twice):
        return f"the pair {twice[0] // num_items}, {twice[0] % num_items} comes twice"
    if not symmetric:
        return None
    back = np.argsort(end * num_items + start, kind="stable")
    if not np.array_equal(key, (end * num_items + start)[back]):
        return "a symmetric relation needs each edge in both directions"
    for name, values in edges.attributes.items():
        if not np.array_equal(values[order], values[back], equal_nan=True):
            return f"a symmetric relation needs the same {name} in both directions"
    return None
