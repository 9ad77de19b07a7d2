"""Whole runs with a graph that knows no future, a split in time, and without users as nodes."""

import numpy as np
import pytest
import torch
from helpers.small_run import small_options

from lkgrag import Ranker
from lkgrag.config.loading import load_config
from lkgrag.paths import path_finder
from lkgrag.run.cache import StageCache
from lkgrag.run.pipeline import train
from lkgrag.run.ranker_stages import training_queries
from lkgrag.run.stages import Stages, load_dataset
from lkgrag.utils.files import read_json


def carried_out(root, **changes):
    config = load_config({**small_options(root), "retrieval.epochs": "1", **changes})
    return config, train(config)


def edge_times(data):
    """Time of each edge of behaviour, by edge type and ends."""
    out = {}
    for edge_type in data.edge_types:
        if "time" in data[edge_type] and "user" not in edge_type:
            ends = data[edge_type].edge_index.T.tolist()
            out[edge_type] = dict(zip(map(tuple, ends), data[edge_type].time.tolist(), strict=True))
    return out


@pytest.mark.slow
@pytest.mark.parametrize("split", ["leave_one_out", "time"])
def test_no_path_is_younger_than_its_prediction(tmp_path, split):
    config, folder = carried_out(
        tmp_path, **{"kg.temporal": "true", "data.split": split, "kg.behaviour_min": "1"}
    )
    cache = StageCache(tmp_path / "cache", True)
    stages = Stages(cache, config, load_dataset(config), torch.device("cpu"))
    one = stages.retrieval()
    younger = 0
    for lists, end in ((one.test, stages.dataset.split.train_end), (None, one.fit_ends[0])):
        data = stages.kg(end)
        queries = training_queries(stages, one) if lists is None else stages.queries(lists)
        assert np.isfinite(queries.time).all()
        paths, times = path_finder(data, config.paths)(queries), edge_times(data)
        assert times
        used = 0
        for p in range(len(paths)):
            metapath = paths.metapaths[paths.metapath[p]]
            nodes, when = paths.nodes[p].tolist(), queries.time[paths.sample[p]]
            for place, edge_type in enumerate(metapath):
                if edge_type in times:
                    used += 1
                    assert times[edge_type][nodes[place], nodes[place + 1]] < when
        assert used
        younger += sum(t >= queries.time.min() for of in times.values() for t in of.values())
    if split == "leave_one_out":
        # There were edges to leave out; a split in time has none to begin with at the test.
        assert younger
    found = read_json(folder / "metrics.json")
    assert found["ranker"]["test"]["all"]["ndcg@10"] >= 0


@pytest.mark.slow
def test_without_users_as_nodes(tmp_path):
    _, folder = carried_out(tmp_path, **{"kg.users": "false"})
    ranker = Ranker.from_pretrained(folder)
    data = ranker.context.data
    assert "user" not in data.node_types
    assert not any("user" in (e[0], e[2]) for e in data.edge_types)
    # Users are served all the same: a history is all that is asked of them.
    assert ranker.recommend_users(ranker.users()[:2], k=2)[1].items


@pytest.mark.slow
def test_user_attributes_are_nodes(tmp_path):
    options = small_options(tmp_path)
    users = [f"u{n}" for n in range(60)]
    rows = "\n".join(f"{u}\t{['cook', 'clerk'][n % 2]}" for n, u in enumerate(users))
    (tmp_path / "shop.user").write_text(f"user_id:token\toccupation:token\n{rows}\n")
    folder = train(load_config({**options, "retrieval.epochs": "1"}))
    data = Ranker.from_pretrained(folder).context.data
    assert ("user", "has_occupation", "occupation") in data.edge_types
    assert sorted(data["occupation"].name) == ["clerk", "cook"]
