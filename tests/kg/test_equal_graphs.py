"""Graphs of small data are what they have always been: edges, attributes, names, and their order.

Cached graphs and trained scorers rest on them. A digest that differs means that ``STAGE_VERSION`` of the
run's cache must be raised.
"""

import hashlib

import numpy as np
import pandas as pd
import pytest

from lkgrag.config import DataConfig, KGConfig
from lkgrag.data import Interactions, make_split
from lkgrag.kg import build_kg
from lkgrag.testing import planted, toy_interactions


def repeated():
    """Items that a user has chosen twice, some times and ratings unknown, titles alike."""
    rng = np.random.default_rng(3)
    rows = [
        (f"u{user}", f"i{item}", rng.integers(1, 6), 10 * place + user)
        for user in range(20)
        for place, item in enumerate(rng.integers(0, 15, rng.integers(4, 12)))
    ]
    frame = pd.DataFrame(rows, columns=["user", "item", "rating", "time"]).astype({"rating": float})
    frame.loc[::7, "rating"] = np.nan
    frame.loc[::11, "time"] = np.nan
    words = ["Rose hand cream", "Olive hand cream", "Nail polish", "Rose soap", "Olive soap"]
    items = pd.DataFrame(
        {
            "item": [f"i{i}" for i in range(15)],
            "title": [f"{words[i % 5]}, no. {i // 5}" if i % 6 else None for i in range(15)],
            "brand": [[f"brand {i % 4}"] for i in range(15)],
            "also_bought": [[f"i{(i + 1) % 15}", "elsewhere"] for i in range(15)],
        }
    )
    triples = pd.DataFrame(
        [("i1", "similar_title", "i2"), ("i3", "made_of", "m.01"), ("i4", "made_of", "m.02")],
        columns=["head", "relation", "tail"],
    )
    config = DataConfig(min_user=1, min_item=1, duplicates="keep")
    return Interactions.from_frames(frame, items, triples, config=config)


DATA = {"toy": toy_interactions, "planted": lambda: planted(60, 24), "repeated": repeated}
CONFIGS = {
    "default": {},
    "loose": {"behaviour_min": 1, "follow_window": 2},
    "temporal": {"behaviour_min": 1, "temporal": True, "co_rated_top": 2},
    "plain": {"users": False, "combine": True, "similar_titles": 0},
    "no behaviour": {"behaviour": False, "similar_titles": 1},
    "less": {"exclude": ["co_rated", "rated"], "follow_window": 1, "behaviour_min": 1},
    "one": {"relations": ["followed_by"], "behaviour_min": 1},
}
DIGESTS = {
    ("toy", "default"): "c3d46cd1d40a5747",
    ("toy", "loose"): "bad7bd446f87c9c7",
    ("toy", "temporal"): "522a7346500ea2bd",
    ("toy", "plain"): "7072436d3c6c23f8",
    ("toy", "no behaviour"): "8de44ae055cf58dc",
    ("toy", "less"): "a5671c09d134836f",
    ("toy", "one"): "f1ca10e2e91a5e84",
    ("planted", "default"): "0421630a0a1afd42",
    ("planted", "loose"): "72ed4790193e86b9",
    ("planted", "temporal"): "c9810d237a3e583f",
    ("planted", "plain"): "3b1a9b7018a28f35",
    ("planted", "no behaviour"): "30b81a6845ffea7f",
    ("planted", "less"): "e2e3092cd78be305",
    ("planted", "one"): "0865f94658901b3b",
    ("repeated", "default"): "5d434d7b5e8b6d4c",
    ("repeated", "loose"): "47674be309687d86",
    ("repeated", "temporal"): "16c2a4bb85473c11",
    ("repeated", "plain"): "685341a210762e95",
    ("repeated", "no behaviour"): "f0d27c4258652683",
    ("repeated", "less"): "142bf582088fb975",
    ("repeated", "one"): "0bf001d50a6f23aa",
}


def digest(data):
    """A hash of all that a graph holds, in its order."""
    sha = hashlib.sha256()

    def add(*values):
        sha.update(repr(values).encode())

    add(data.merged, data.left_out, data.temporal, data.follow_window)
    for node in data.node_types:
        store = data[node]
        add(node, store.num_nodes, store.get("named"), store.name.tolist())
    for edge_type in data.edge_types:
        add(edge_type)
        for name, tensor in data[edge_type].items():
            values = tensor.numpy()
            add(name, values.dtype, values.shape)
            if edge_type[1] == "similar_title" and name == "weight":
                # Logarithms may differ in the last digit from machine to machine.
                values = np.round(values * 1000).astype(np.int64)
            sha.update(np.ascontiguousarray(values).tobytes())
    return sha.hexdigest()[:16]


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("name", DATA)
def test_the_graph_is_what_it_was(name, config):
    interactions = DATA[name]()
    train_end = make_split(interactions, DataConfig()).train_end
    data = build_kg(interactions, train_end, KGConfig(**CONFIGS[config]))
    assert digest(data) == DIGESTS[name, config]
