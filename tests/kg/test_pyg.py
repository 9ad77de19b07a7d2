"""The graph works with PyG as it is."""

import pytest
import torch
from torch_geometric import transforms
from torch_geometric.loader import NeighborLoader
from torch_geometric.loader.utils import filter_hetero_data
from torch_geometric.nn import HeteroConv, HGTConv, SAGEConv

from lkgrag.kg import Names
from lkgrag.testing.graph import toy_kg


def features(data):
    torch.manual_seed(0)
    return {t: torch.randn(data[t].num_nodes, 8) for t in data.node_types}


def test_valid():
    assert toy_kg().validate()


def test_hgt_conv():
    data = toy_kg()
    out = HGTConv(8, 16, data.metadata(), heads=2)(features(data), data.edge_index_dict)
    assert out["item"].shape == (10, 16)
    assert torch.isfinite(out["item"]).all()


def test_hetero_conv():
    data = toy_kg()
    conv = HeteroConv({t: SAGEConv((-1, -1), 4) for t in data.edge_types})
    assert conv(features(data), data.edge_index_dict)["director"].shape == (7, 4)


def test_to_undirected_and_copies_keep_names():
    data = toy_kg()
    for other in (transforms.ToUndirected()(toy_kg()), data.clone(), data.to("cpu")):
        assert other["item"].name == data["item"].name
        assert other.validate()
    homogeneous = data.to_homogeneous()
    assert homogeneous.num_nodes == sum(data[t].num_nodes for t in data.node_types)


def test_sampled_parts_skip_names():
    data = toy_kg()
    node = {t: torch.tensor([0, 1]) for t in data.node_types}
    empty = torch.zeros(0, dtype=torch.int64)
    none = dict.fromkeys(data.edge_types, empty)
    part = filter_hetero_data(data, node, none, none, none)
    assert part["item"].num_nodes == 2


def test_neighbor_loader():
    data = toy_kg()
    try:
        loader = NeighborLoader(data, num_neighbors=[4, 4], input_nodes="item", batch_size=5)
        batches = list(loader)
    except ImportError as error:
        pytest.skip(f"NeighborLoader needs pyg-lib or torch-sparse ({error})")
    assert len(batches) == 2
    names = [data["item"].name[i] for i in batches[0]["item"].n_id.tolist()]
    assert names[:2] == ["Alien (1979)", "Aliens (1986)"]


def test_names_are_like_a_list():
    names = Names(["a", "b"])
    assert names == ["a", "b"]
    assert names != ["a"]
    assert list(names) == names.tolist() == ["a", "b"]
    assert "b" in names
    assert names.index("b") == 1
    assert "2" in repr(names)
