"""Random graphs and queries on them, for tests of path searches."""

import numpy as np
import torch
from hypothesis import strategies as st
from torch_geometric.data import HeteroData

from lkgrag.data import Queries


def queries(history, candidates, time=None):
    history, candidates = np.asarray(history, np.int64), np.asarray(candidates, np.int64)
    b, h = history.shape
    return Queries(
        user=np.full(b, -1),
        history_items=history,
        history_rating=np.full((b, h), np.nan, np.float32),
        history_time=np.full((b, h), np.nan),
        history_age=np.where(history >= 0, (history >= 0).sum(1, keepdims=True) - 1, -1),
        time=np.full(b, np.nan) if time is None else np.asarray(time, float),
        candidate_items=candidates,
        prior=np.zeros(candidates.shape, np.float32),
        target=np.full(b, -1),
    )


@st.composite
def graphs(draw):
    rng = np.random.default_rng(draw(st.integers(0, 10**6)))
    sizes = {"item": 6, "a": 3, "b": 4, "user": 2}
    pairs = [
        ("item", "next", "item"),
        ("item", "rev_next", "item"),
        ("item", "co_rated", "item"),
        ("item", "has_a", "a"),
        ("a", "rev_has_a", "item"),
        ("item", "has_b", "b"),
        ("b", "rev_has_b", "item"),
        ("item", "odd_b", "b"),
        ("a", "part_of", "b"),
        ("user", "rated", "item"),
        ("item", "rev_rated", "user"),
    ]
    chosen = draw(st.sets(st.sampled_from(pairs), min_size=1))
    data = HeteroData()
    data.temporal = draw(st.booleans())
    for name, size in sizes.items():
        data[name].num_nodes = size
    for edge_type in pairs:
        if edge_type not in chosen:
            continue
        n = int(rng.integers(0, 12))
        key = rng.choice(sizes[edge_type[0]] * sizes[edge_type[2]], min(n, 6), replace=False)
        index = np.stack([key // sizes[edge_type[2]], key % sizes[edge_type[2]]])
        data[edge_type].edge_index = torch.from_numpy(index)
        if edge_type[0] == edge_type[2]:
            weight = rng.uniform(0.1, 1, len(key)).astype(np.float32)
            data[edge_type].weight = torch.from_numpy(weight)
            time = rng.choice([1.0, 2.0, 3.0, np.nan], len(key))
            data[edge_type].time = torch.from_numpy(time)
    return data
