"""All links of the data's tables and triples, with names that do not collide."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from lkgrag.kg.base import REVERSE
from lkgrag.kg.naming import qualified
from lkgrag.kg.reserved import NODES
from lkgrag.kg.safe_names import safe_relation
from lkgrag.kg.sources.columns import Links, column_links
from lkgrag.kg.sources.triples import triple_links

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lkgrag.config import KGConfig
    from lkgrag.data.interactions import Interactions
    from lkgrag.kg.base import Relation


@dataclass(frozen=True)
class DataLinks:
    """The links of a data set.

    Attributes:
        links: of items and users to values, and between items.
        merged: one sentence for each relation that is another one in the other direction.
        left_out: by relation, how many values or triples could not be joined.
    """

    links: list[Links]
    merged: list[str]
    left_out: dict[str, int]

    @property
    def names(self) -> set[str]:
        """Names of the relations."""
        return {link.relation.name for link in self.links}

    @property
    def by_edge_type(self) -> list[list[Links]]:
        """Links of the same edge type together, in the order of first appearance."""
        groups: dict[tuple[str, str, str], list[Links]] = {}
        for link in self.links:
            key = (link.owner, link.relation.name, link.relation.node)
            groups.setdefault(key, []).append(link)
        return list(groups.values())


def data_links(interactions: Interactions, config: KGConfig, reserved: Iterable[str]) -> DataLinks:
    """Read the links off columns and triples.

    Args:
        interactions: with attributes and triples.
        config: whether users count (``users``), and whether values combine (``combine``).
        reserved: names of relations that the data may not take.
    """
    links, left_out = column_links(
        interactions.items, "item", interactions.item_ids, config.combine
    )
    if config.users:
        links += column_links(interactions.users, "user", [])[0]
    taken = set(reserved)
    links = _rename(links, relations=taken, nodes=set(NODES))
    relations = {link.relation.name for link in links} | taken
    nodes = {link.relation.node for link in links} | set(NODES)
    from_triples, report = triple_links(interactions.triples, interactions.links)
    links += _rename(from_triples, relations, nodes)
    left_out.update(report.outside)
    if report.unlinked:
        left_out["triples without an item"] = report.unlinked
    return DataLinks(links, report.merged, left_out)


def _rename(links: list[Links], relations: set[str], nodes: set[str]) -> list[Links]:
    """Give links safe names, and longer ones where theirs, or that of their node type, is taken."""
    out = []
    for link in links:
        relation = safe_relation(link.relation)
        longer = safe_relation(qualified(link.origin))
        if _is_taken(relation, relations, nodes):
            relation = longer if relation.node != "item" else replace(longer, node="item")
        number = 2
        while _is_taken(relation, relations, nodes):
            node = "item" if relation.node == "item" else f"{longer.node}_{number}"
            relation = replace(longer, name=f"{longer.name}_{number}", node=node)
            number += 1
        out.append(replace(link, relation=relation))
    return out


def _is_taken(relation: Relation, relations: set[str], nodes: set[str]) -> bool:
    # Names with the prefix are those of inverses.
    if relation.name in relations or relation.name.startswith(REVERSE):
        return True
    return relation.node != "item" and relation.node in nodes
