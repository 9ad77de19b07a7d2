"""The quality of the paths of explanations: by hand, and by a slow oracle that counts path by path."""

from collections import Counter

import numpy as np
import pandas as pd
import pytest
import torch
from torch_geometric.data import HeteroData

from lkgrag.evaluation.path_quality import (
    MEASURES,
    Explanations,
    entity_popularity,
    linking_recency,
    measure_paths,
    moving_average,
)

GENRE = (("item", "has_genre", "genre"), ("genre", "rev_has_genre", "item"))
ACTOR = (("item", "starring", "actor"), ("actor", "rev_starring", "item"))
NEXT = (("item", "followed_by", "item"),)
METAPATHS = [GENRE, ACTOR, NEXT]
POPULARITY = {
    "item": np.linspace(0, 1, 9),
    "genre": np.array([0.0, 0.5, 1.0]),
    "actor": np.array([0.0, 0.25, 1.0]),
}


def explanations(rows, size, user=None):
    """Rows of (list, meta-path, nodes, recency)."""
    nodes = np.full((len(rows), 3), -1)
    for n, row in enumerate(rows):
        nodes[n, : len(row[2])] = row[2]
    user = np.arange(len(size)) if user is None else user
    listed, kind = (np.array([row[n] for row in rows], np.int64) for n in (0, 1))
    recency = np.array([row[3] for row in rows], float)
    return Explanations(METAPATHS, listed, kind, nodes, recency, np.asarray(size), user)


def slow(rows, size):
    """Every measure, list by list, after hopwise's loops."""
    out = {name: [] for name in MEASURES}
    for number in range(len(size)):
        mine = [row for row in rows if row[0] == number]
        out["fidelity"].append(len(mine) / size[number])
        if not mine:
            continue
        n = len(mine)
        steps = [METAPATHS[row[1]] for row in mine]
        entities = [(m[-1][0], row[2][-2]) for m, row in zip(steps, mine, strict=True)]
        last = [m[-1][1] for m in steps]
        out["lir"] += [row[3] for row in mine]
        out["sep"] += [POPULARITY[kind][node] for kind, node in entities]
        out["lid"].append(len({row[2][0] for row in mine}) / n)
        out["sed"].append(len(set(entities)) / n)
        out["setd"].append(len({kind for kind, _ in entities}) / n)
        out["ptd"].append(len(set(last)) / min(n, 3))
        out["ppt"].append(len({row[1] for row in mine}) / min(n, 3))
        for name, values in (("ptc", last), ("ppc", [row[1] for row in mine])):
            alike = sum(c * (c - 1) for c in Counter(values).values())
            out[name].append(1 - alike / (n * (n - 1)) if n > 1 else 0.0)
    return {name: float(np.mean(values)) for name, values in out.items()}


def test_by_hand():
    rows = [
        (0, 0, [1, 2, 5], 1.0),
        (0, 0, [1, 2, 6], 1.0),
        (0, 1, [0, 2, 7], 0.0),
        (0, 2, [1, 8], 1.0),
    ]
    found = {
        n: v["mean"] for n, v in measure_paths(explanations(rows, [5]), POPULARITY, 10, 0).items()
    }
    assert found == pytest.approx(
        {
            "lir": 3 / 4,
            "lid": 2 / 4,
            # Genre 2 twice, actor 2, and the history item 1 itself.
            "sep": (1 + 1 + 1 + 1 / 8) / 4,
            "sed": 3 / 4,
            "setd": 3 / 4,
            "ptd": 3 / 3,
            "ptc": 1 - 2 / 12,
            "ppt": 3 / 3,
            "ppc": 1 - 2 / 12,
            "fidelity": 4 / 5,
        }
    )


@pytest.mark.parametrize("seed", range(8))
def test_same_as_a_slow_oracle(seed):
    rng = np.random.default_rng(seed)
    size, rows = rng.integers(1, 11, 20), []
    for number in range(20):
        for _ in range(rng.integers(0, size[number] + 1)):
            kind = int(rng.integers(0, 3))
            inner = [] if kind == 2 else [int(rng.integers(0, 3))]
            nodes = [int(rng.integers(0, 9)), *inner, int(rng.integers(0, 9))]
            rows.append((number, kind, nodes, float(rng.random())))
    found = measure_paths(explanations(rows, size, rng.integers(0, 8, 20)), POPULARITY, 300, 0)
    assert {n: v["mean"] for n, v in found.items()} == pytest.approx(slow(rows, size))
    assert tuple(found) == MEASURES
    assert all(v["low"] <= v["mean"] <= v["high"] for v in found.values())


def test_lists_without_a_path():
    found = measure_paths(explanations([], [5, 5]), POPULARITY, 10, 0)
    assert found["fidelity"]["mean"] == 0
    assert all(np.isnan(found[name]["mean"]) for name in MEASURES if name != "fidelity")


def test_the_moving_average_is_that_of_its_definition():
    values = np.array([1.0, 2, 2, 7, 30])
    alpha = 2 / 6
    plain = []
    for n in range(5):
        weights = (1 - alpha) ** np.arange(n, -1, -1)
        plain.append((weights * values[: n + 1]).sum() / weights.sum())
    plain = np.array(plain)
    expected = (plain - plain[0]) / (plain[-1] - plain[0])
    assert moving_average(values).tolist() == pytest.approx(expected.tolist())
    # Values that are all the same count by their places; a single one says nothing.
    assert moving_average(np.full(4, 3.0)).tolist() == moving_average(np.arange(4.0)).tolist()
    assert moving_average(np.array([5.0])).tolist() == [0]


def test_recency_is_that_of_the_latest_choice():
    found = linking_recency(np.array([10.0, 20, 30, 40]), np.array([7, 8, 7, 9]))
    average = pd.Series([10.0, 20, 30, 40]).ewm(span=4).mean()
    scaled = ((average - average.min()) / (average.max() - average.min())).tolist()
    assert found.tolist() == pytest.approx([scaled[2], scaled[1], scaled[2], 1])
    # Places, where a time is unknown.
    unknown = linking_recency(np.array([1.0, np.nan, 900]), np.array([1, 2, 3]))
    assert unknown.tolist() == pytest.approx(moving_average(np.arange(3.0)).tolist())


def test_the_popularity_of_entities_is_within_their_type():
    data = HeteroData()
    data["item"].num_nodes, data["genre"].num_nodes = 4, 3
    edges = torch.tensor([[0, 1, 2, 3], [1, 1, 1, 0]])
    data[GENRE[0]].edge_index, data[GENRE[1]].edge_index = edges, edges.flip(0)
    found = entity_popularity(data)
    # Genre 2 has no relation; of the others the one with three is the most popular.
    assert found["genre"].tolist() == [0, 1, 0]
    assert sorted(found["item"].tolist())[-1] == 1
