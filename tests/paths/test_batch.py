import numpy as np
import torch

from lkgrag.config import PathsConfig
from lkgrag.data import Queries
from lkgrag.paths import GraphPaths, PathFinder
from lkgrag.testing import toy_kg


def test_prompts_of_a_batch_are_the_batch_of_the_prompts():
    histories = [np.array([0, 1, 5]), np.zeros(0, np.int64), np.array([3, 2])]
    candidates = np.array([[2, 4, 6, 7], [1, 2, 3, 4], [8, 0, 9, -1]])
    queries = Queries.from_histories(histories, candidates, np.zeros((3, 4), np.float32), 4)
    finder = PathFinder(toy_kg(), PathsConfig())
    index = np.array([2, 1, 0, 2])
    got = finder(queries).prompts(torch.from_numpy(index))
    wanted = finder(queries[index])
    assert len(got) == len(wanted) > 0
    for name, value in vars(wanted).items():
        if name != "metapaths":
            assert torch.equal(torch.nan_to_num(getattr(got, name)), torch.nan_to_num(value)), name
    assert len(finder(queries).prompts(torch.tensor([], dtype=torch.int64))) == 0


def test_what_is_on_a_device_already_is_not_moved():
    graph = GraphPaths(toy_kg(), PathFinder(toy_kg(), PathsConfig()))
    assert graph.to("cpu") is graph
    assert graph.to(torch.device("meta")).data.edge_stores[0].edge_index.device.type == "meta"
    empty = Queries.from_histories(
        [np.array([0])], np.array([[1]]), np.zeros((1, 1), np.float32), 2
    )
    paths = graph(empty)
    assert paths.to("cpu") is paths
