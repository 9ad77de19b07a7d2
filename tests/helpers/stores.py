"""Graphs with everything that a store must keep: hubs, loops, parallel edges, empty rows, one-way relations."""

import numpy as np
import torch
from hypothesis import strategies as st
from torch_geometric.data import HeteroData

from lkgrag.kg.store.rows import RowReads, Rows

SIZES = {"item": 7, "a": 3, "b": 4, "user": 2}
#: The relations that a graph may have; an inverse repeats its relation, or has edges of its own.
FORWARD = [
    ("item", "next", "item"),
    ("item", "co_rated", "item"),
    ("item", "has_a", "a"),
    ("item", "has_b", "b"),
    ("item", "odd_b", "b"),
    ("b", "of", "item"),
    ("a", "part_of", "b"),
    ("user", "rated", "item"),
]


def fill(data, rng, edge_type, is_temporal):
    """Give a relation random edges, among them repeated ones and loops, and perhaps a hub."""
    source, _, target = edge_type
    number = int(rng.integers(0, 25))
    index = np.stack([rng.integers(0, SIZES[n], number) for n in (source, target)])
    if rng.random() < 0.4:
        index[1, : number // 2] = 0
    store = data[edge_type]
    store.edge_index = torch.from_numpy(index)
    if source == target:
        store.weight = torch.from_numpy(rng.choice([0.25, 0.5, 0.9, 1.0], number).astype("f4"))
        if is_temporal and rng.random() < 0.7:
            store.time = torch.from_numpy(rng.choice([1.0, 2.0, 3.0, np.nan], number))


@st.composite
def messy_graphs(draw):
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    chosen = draw(st.sets(st.sampled_from(FORWARD), min_size=1))
    data = HeteroData()
    data.temporal = draw(st.booleans())
    for name, size in SIZES.items():
        data[name].num_nodes = size
    for edge_type in FORWARD:
        if edge_type not in chosen:
            continue
        fill(data, rng, edge_type, data.temporal)
        source, relation, target = edge_type
        back = (target, f"rev_{relation}", source)
        kind = rng.integers(0, 4)
        if kind == 0:
            fill(data, rng, back, data.temporal)
        elif kind < 3:
            data[back].edge_index = data[edge_type].edge_index.flip(0)
            for name in ("weight", "time"):
                if name in data[edge_type]:
                    data[back][name] = data[edge_type][name]
    return data


@st.composite
def asked(draw):
    """Histories, candidates and times of some prompts, with padding and repeated items."""
    shape = draw(st.integers(1, 5)), draw(st.integers(0, 5))
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    history = rng.integers(-1, SIZES["item"], shape)
    candidates = rng.integers(-1, SIZES["item"], (shape[0], draw(st.integers(0, 6))))
    return history, candidates, rng.choice([np.nan, 0.5, 2.0, 9.0], shape[0])


class MemoryStore(RowReads):
    """Rows of a graph in memory, and what was asked for."""

    def __init__(self, data):
        self.data = data
        self.edge_types = list(data.edge_types)
        self.asked = []

    def num_nodes(self, node_type):
        return int(self.data[node_type].num_nodes)

    def get_rows(self, edge_type, nodes, into):
        self.asked.append((edge_type, into, tuple(nodes.tolist())))
        store, is_one = self.data[edge_type], edge_type[0] == edge_type[2]
        near, far = (x.numpy() for x in (store.edge_index.flip(0) if into else store.edge_index))
        keep = np.isin(near, nodes)
        weight = store.weight.numpy()[keep] if is_one and "weight" in store else None
        time = store.time.numpy()[keep] if self.has_times(edge_type) else None
        if time is not None:
            time = np.where(np.isnan(time), -np.inf, time)
        return Rows.of(nodes, (near[keep], far[keep]), is_one, weight, time)

    def get_degrees(self, edge_type):
        pairs = np.unique(self.data[edge_type].edge_index.numpy(), axis=1)
        return np.bincount(pairs[1], minlength=self.num_nodes(edge_type[2])).astype(np.int32)

    def has_times(self, edge_type):
        return self.data.get("temporal", False) and "time" in self.data[edge_type]


def assert_same(a, b):
    assert a.metapaths == b.metapaths
    for name in ("sample", "candidate", "history", "metapath", "nodes", "weight"):
        assert torch.equal(getattr(a, name), getattr(b, name)), name
