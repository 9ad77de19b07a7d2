"""Names from data that would collide with the graph's own: made safe here, and shown as they were given.

A ``HeteroData`` finds node types, relations and its own attributes by one and the same kind of name. So an attribute
column named ``merged`` or ``rated`` must not name a node type. A name that is taken gets a suffix, and
:func:`shown` takes it off again for words. The list of PyG's names is written out, so that a graph has the same names
with every version of PyG.
"""

from __future__ import annotations

import keyword
from dataclasses import replace
from typing import TYPE_CHECKING

from lkgrag.kg.base import REVERSE
from lkgrag.kg.sources.resolver import relation_sources

if TYPE_CHECKING:
    from lkgrag.kg.base import Relation

#: Node types of every graph.
NODES = ("item", "user")
#: Attributes that :func:`lkgrag.kg.build_kg` gives the graph itself.
GRAPH = ("merged", "left_out", "temporal", "follow_window", "custom")
#: Suffixes of a node type and of a relation whose name is taken.
VALUE, LINK = "_value", "_link"
#: Before a relation of triples that has the name of one of ours.
KG = "kg_"

#: Attributes and methods of PyG's ``HeteroData`` and of its stores, and the usual keys of a graph's tensors. Only
#: ``size`` is left to the data: clothes have it, graphs have long had such nodes, and a method is never looked up
#: among the types.
_PYG = """
    adj adj_t apply apply_ batch can_infer_num_nodes clear clone coalesce collect concat connected_components
    contains_isolated_nodes contains_self_loops contiguous coo cpu csc csr cuda debug detach detach_ e_id edge_attr
    edge_attrs edge_index edge_items edge_label edge_label_index edge_stores edge_subgraph edge_type
    edge_type_subgraph edge_types edge_weight face feat from_dict generate_ids get get_all_edge_attrs
    get_all_tensor_attrs get_edge_index get_edge_store get_node_store get_tensor get_tensor_size
    has_isolated_nodes has_self_loops input_id input_type is_bipartite is_coalesced is_cuda is_directed is_edge_attr
    is_node_attr is_sorted is_sorted_by_time is_undirected items keys metadata multi_get_tensor n_id node_attrs
    node_items node_offsets node_stores node_type node_type_subgraph node_types norm num_edge_features num_edges
    num_features num_graphs num_node_features num_nodes num_sampled_edges num_sampled_nodes pin_memory pop popitem pos
    ptr put_edge_index put_tensor record_stream remove_edge_index remove_tensor rename requires_grad_ seed_time
    set_value_dict setdefault share_memory_ snapshot sort sort_by_time stores stores_as subgraph test_mask tf to
    to_dict to_homogeneous to_namedtuple train_mask up_to update update_tensor val_mask validate values view x y
    """
PYG = frozenset(_PYG.split())


def is_attribute(name: str) -> bool:
    """Whether a graph has an attribute of this name, or PyG may give it one."""
    # `data.x_dict` collects `x` of all types. Names with an underscore in front are PyG's private ones.
    base = name.removesuffix("_dict")
    return name in GRAPH or base in PYG or name in PYG or name.startswith("_")


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
