"""Names from data that would collide with the graph's own: made safe here, and shown as they were given.

A ``HeteroData`` finds node types, relations and its own attributes by one and the same kind of name. So an attribute
column named ``merged`` or ``rated`` must not name a node type. A name that is taken gets a suffix, and
:func:`shown` takes it off again for words.
"""

from __future__ import annotations

import keyword
from dataclasses import replace
from typing import TYPE_CHECKING

from lkgrag.kg.base import REVERSE
from lkgrag.kg.reserved import NODES, is_attribute
from lkgrag.kg.sources.resolver import relation_sources

if TYPE_CHECKING:
    from lkgrag.kg.base import Relation

#: Suffixes of a node type and of a relation whose name is taken.
VALUE, LINK = "_value", "_link"
#: Before a relation of triples that has the name of one of ours.
KG = "kg_"


def is_ours(relation: str) -> bool:
    """Whether a relation source has this name, or an inverse could have it."""
    return relation in relation_sources() or relation.startswith(REVERSE)


def is_node_taken(name: str) -> bool:
    """Whether data may not give this name to a node type."""
    if name in NODES or is_attribute(name) or is_ours(name) or keyword.iskeyword(name):
        return True
    # `rated` becomes `rated_value`, so `rated_value` must become something else.
    stem = name.removesuffix(VALUE)
    return stem != name and stem not in NODES and is_node_taken(stem)


def is_relation_taken(name: str) -> bool:
    """Whether data may not give this name to a relation; names of ours are left to the builder, which renames."""
    if is_attribute(name) or name in NODES:
        return True
    stem = name.removesuffix(LINK)
    return stem != name and is_relation_taken(stem)


def safe_node(name: str) -> str:
    """The name itself, or with a suffix if it is taken: ``rated`` gives ``rated_value``."""
    return f"{name}{VALUE}" if is_node_taken(name) else name


def safe_relation(relation: Relation) -> Relation:
    """The same relation with names that are not taken; nodes that are items stay items."""
    node = relation.node if relation.node == "item" else safe_node(relation.node)
    name = f"{relation.name}{LINK}" if is_relation_taken(relation.name) else relation.name
    if (name, node) == (relation.name, relation.node):
        return relation
    return replace(relation, name=name, node=node)


def given(name: str) -> str:
    """The name as the data gave it, without what made it safe."""
    head = "has_" if name.startswith("has_") else ""
    word = name.removeprefix(head)
    stem = word.removeprefix(KG)
    if stem != word and is_ours(stem):
        return stem
    value, link = word.removesuffix(VALUE), name.removesuffix(LINK)
    # A relation to values keeps its name, but for those that would be called as the graph's first nodes.
    if value != word and (value in NODES if head else is_node_taken(value)):
        return head + value
    return link if link != name and is_relation_taken(link) else name


def shown(name: str) -> str:
    """The words of a name as the data gave it: ``rated_value`` is "rated"."""
    return given(name).replace("_", " ")
