import numpy as np
import torch

from lkgrag.config import KGConfig, PathsConfig
from lkgrag.data import Queries
from lkgrag.kg import as_of, build_kg
from lkgrag.paths import PathFinder
from lkgrag.testing.graph import TOY_SEQUENCES, toy_interactions, toy_kg

NEXT, CO = ("item", "followed_by", "item"), ("item", "co_rated", "item")


def test_times_are_when_enough_users_made_the_edge():
    for need in (1, 2):
        data = toy_kg(KGConfig(behaviour_min=need, temporal=True, follow_window=1))
        for edge_type in (NEXT, CO):
            store = data[edge_type]
            assert store.num_edges
            for (a, b), time in zip(store.edge_index.T.tolist(), store.time.tolist(), strict=True):
                reached = []
                for user, sequence in enumerate(s[:3] for s in TOY_SEQUENCES):
                    if {a, b} <= set(sequence):
                        p, q = sequence.index(a), sequence.index(b)
                        if edge_type == CO or q == p + 1:
                            reached.append(100 * max(p, q) + user)
                assert time == sorted(reached)[need - 1]


def test_as_of_is_strict_and_keeps_the_schema():
    data = toy_kg(KGConfig(behaviour_min=1, temporal=True))
    time = float(data[NEXT].time.median())
    past = as_of(data, time)
    assert past.metadata() == data.metadata()
    assert 0 < past[NEXT].num_edges < data[NEXT].num_edges
    assert float(past[NEXT].time.max()) < time
    assert past[NEXT]["count"].shape == past[NEXT].time.shape
    genre = ("item", "has_genre", "genre")
    assert torch.equal(past[genre].edge_index, data[genre].edge_index)
    before = as_of(data, -1.0)
    assert before[NEXT].num_edges == 0


def test_unknown_times_always_stand():
    interactions = toy_interactions()
    interactions.time[:] = np.nan
    data = build_kg(interactions, np.full(8, 3), KGConfig(behaviour_min=1, temporal=True))
    assert torch.isnan(data[CO].time).all()
    past = as_of(data, 0.0)
    assert past[CO].num_edges == data[CO].num_edges


def test_paths_use_only_edges_before_the_prediction():
    data = toy_kg(KGConfig(behaviour_min=1, temporal=True))
    finder = PathFinder(data, PathsConfig(max_length=1))
    edge = 4
    (source, target), time = data[NEXT].edge_index[:, edge].tolist(), float(data[NEXT].time[edge])

    def found(when):
        query = Queries.from_histories(
            [np.array([source])], np.array([[target]]), np.zeros((1, 1), np.float32), 1
        )
        query.time[:] = when
        return [finder.metapaths[m] for m in finder(query).metapath.tolist()]

    assert (NEXT,) not in found(time)
    assert (NEXT,) in found(time + 1)
    assert (NEXT,) in found(np.nan)
