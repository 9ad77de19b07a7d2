import pytest
import torch

from lkgrag.config import KGConfig
from lkgrag.errors import LkgragError
from lkgrag.kg import as_of, load_kg, save_kg
from lkgrag.testing.graph import toy_kg
from lkgrag.utils.files import write_safetensors


def assert_equal(a, b):
    assert a.node_types == b.node_types
    assert a.edge_types == b.edge_types
    for node in a.node_types:
        assert a[node].name == b[node].name
        assert a[node].num_nodes == b[node].num_nodes
        assert a[node].get("named") == b[node].get("named")
    for edge in a.edge_types:
        assert sorted(a[edge].keys()) == sorted(b[edge].keys())
        for name, value in a[edge].items():
            assert value.dtype == b[edge][name].dtype
            assert torch.equal(value.nan_to_num(-7), b[edge][name].nan_to_num(-7))
    for name in ("merged", "left_out", "temporal", "follow_window"):
        assert a[name] == b[name]


@pytest.mark.parametrize("temporal", [False, True])
def test_round_trip(tmp_path, temporal):
    data = toy_kg(KGConfig(behaviour_min=1, temporal=temporal))
    save_kg(data, tmp_path / "kg")
    assert_equal(load_kg(tmp_path / "kg"), data)
    assert sorted(p.name for p in (tmp_path / "kg").iterdir()) == [
        "edges.parquet",
        "nodes.parquet",
        "schema.json",
    ]


def test_vectors_of_nodes_round_trip(tmp_path):
    data = toy_kg()
    data["item"].x = torch.randn(data["item"].num_nodes, 5)
    save_kg(data, tmp_path)
    again = load_kg(tmp_path)
    assert torch.equal(again["item"].x, data["item"].x)
    assert_equal(again, data)
    assert "x" in as_of(again, 3.0)["item"]
    # A graph without vectors takes the place of one with them.
    save_kg(toy_kg(), tmp_path)
    assert not (tmp_path / "x.safetensors").exists()
    assert "x" not in load_kg(tmp_path)["item"]


@pytest.mark.parametrize("rows", [None, 3])
def test_vectors_that_are_not_whole_are_refused(tmp_path, rows):
    data = toy_kg()
    data["item"].x = torch.randn(data["item"].num_nodes, 5)
    save_kg(data, tmp_path)
    (tmp_path / "x.safetensors").unlink()
    if rows:
        write_safetensors(tmp_path / "x.safetensors", {"item": torch.zeros(rows, 5)})
    with pytest.raises(LkgragError, match=r"x.safetensors"):
        load_kg(tmp_path)


class OnDevice(torch.Tensor):
    """As a tensor on a GPU: NumPy takes it from the CPU only."""

    def numpy(self):
        raise TypeError("can't convert device type tensor to numpy")

    def cpu(self):
        return self.as_subclass(torch.Tensor)


def test_a_graph_on_another_device_is_saved(tmp_path):
    data, moved = toy_kg(), toy_kg()
    moved.apply(lambda x: x.as_subclass(OnDevice))
    save_kg(moved, tmp_path)
    assert_equal(load_kg(tmp_path), data)


def test_empty_relation_round_trip(tmp_path):
    data = toy_kg(KGConfig(behaviour_min=99))
    assert data["item", "co_rated", "item"].num_edges == 0
    save_kg(data, tmp_path)
    assert_equal(load_kg(tmp_path), data)


def test_broken_files_are_named(tmp_path):
    with pytest.raises(LkgragError, match=r"schema\.json"):
        load_kg(tmp_path)
    save_kg(toy_kg(), tmp_path)
    (tmp_path / "edges.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(LkgragError, match=r"edges\.parquet"):
        load_kg(tmp_path)
    (tmp_path / "schema.json").write_text('{"version": 0}')
    with pytest.raises(LkgragError, match="version"):
        load_kg(tmp_path)
