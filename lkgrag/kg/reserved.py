"""Names that a graph has of its own: node types of every graph, its attributes, and those of PyG.

The list of PyG's names is written out, so that a graph has the same names with every version of PyG.
"""

from __future__ import annotations

#: Node types of every graph.
NODES = ("item", "user")
#: Attributes that :func:`lkgrag.kg.build_kg` gives the graph itself.
GRAPH = ("merged", "left_out", "temporal", "follow_window", "custom")
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
