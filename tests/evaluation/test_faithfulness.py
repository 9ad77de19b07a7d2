import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from lkgrag.config import PathsConfig
from lkgrag.data import Queries
from lkgrag.evaluation import deletion_test, exist, share_existing
from lkgrag.paths import PathFinder
from lkgrag.scorer.base import candidate_from_salience
from lkgrag.testing import toy_kg


@pytest.fixture(scope="module")
def data():
    return toy_kg()


@pytest.fixture(scope="module")
def paths(data):
    histories = [np.array([0, 1, 5]), np.array([3])]
    candidates = np.array([[2, 4, 6, 7], [8, 0, 9, -1]])
    queries = Queries.from_histories(histories, candidates, np.zeros((2, 4), np.float32), 4)
    return PathFinder(data, PathsConfig())(queries)


def test_found_paths_exist(data, paths):
    assert len(paths) > 10
    assert share_existing(data, paths) == 1.0
    assert math.isnan(share_existing(data, paths, torch.zeros(len(paths), dtype=torch.bool)))


def test_an_invented_path_is_caught(data, paths):
    middle = (paths.nodes[:, 2] >= 0).nonzero()[0]
    nodes = paths.nodes.clone()
    metapath = paths.metapaths[int(paths.metapath[middle])]
    size = data[metapath[0][2]].num_nodes
    known = data[metapath[0]].edge_index
    true = known[1, known[0] == nodes[middle, 0]].tolist()
    nodes[middle, 1] = next(n for n in range(size) if n not in true)
    good = exist(data, replace(paths, nodes=nodes))
    assert (~good).nonzero().flatten().tolist() == middle.tolist()
    worded = torch.cat([middle, (middle + 1)])
    assert share_existing(data, replace(paths, nodes=nodes), worded) == 0.5


def test_a_path_to_another_item_or_of_no_length_is_caught(data, paths):
    ends = paths.candidate_items.clone()
    ends[0] = ends[0].roll(1)
    good = exist(data, replace(paths, candidate_items=ends))
    assert good.tolist() == (paths.sample != 0).tolist()
    nodes = paths.nodes.clone()
    nodes[:, 1:] = -1
    assert not exist(data, replace(paths, nodes=nodes)).any()


def test_a_relation_that_the_graph_lost_is_caught(data, paths):
    poorer = data.clone()
    gone = paths.metapaths[int(paths.metapath[0])][0]
    del poorer[gone]
    used = torch.tensor([gone in m for m in paths.metapaths])[paths.metapath]
    assert exist(poorer, paths).tolist() == (~used).tolist()


def test_deleting_the_paths_that_decide_makes_the_first_item_fall(paths):
    def by_count(batch):
        counts = candidate_from_salience(torch.zeros(len(batch)), batch)
        return counts.masked_fill(~batch.candidate_mask, -math.inf)

    def every(batch):
        return torch.ones(len(batch), dtype=torch.bool)

    found = deletion_test(by_count, every, paths)
    assert (found.score > 0).all()
    assert (found.fall > 0).any()
    assert (found.control == 0).all()


def test_deleting_paths_that_do_not_decide_changes_nothing(paths):
    def by_prior(batch):
        return torch.arange(4.0).expand(2, 4).masked_fill(~batch.candidate_mask, -math.inf)

    found = deletion_test(by_prior, lambda b: torch.ones(len(b), dtype=torch.bool), paths)
    assert len(found.fall) > 0
    assert (found.fall == 0).all()


def test_the_paths_that_a_prompt_does_not_show_are_a_control_of_their_own(paths):
    """Scores by the shown paths alone: without as many hidden ones of the same item, nothing changes."""
    pair = paths.sample * paths.num_candidates + paths.candidate
    # The first path of each candidate is shown, all others are not.
    place = torch.tensor([int((pair[:i] == pair[i]).sum()) for i in range(len(pair))])
    shown = {tuple(node) for node in paths.nodes[place == 0].tolist()}

    def worded(batch):
        return torch.tensor([tuple(node) in shown for node in batch.nodes.tolist()])

    def by_shown(batch):
        counts = torch.zeros(batch.num_prompts, batch.num_candidates)
        mine = worded(batch)
        counts[batch.sample[mine], batch.candidate[mine]] = 1.0
        return counts.masked_fill(~batch.candidate_mask, -math.inf)

    found = deletion_test(by_shown, worded, paths)
    assert len(found.spare) > 0
    assert (found.spare == 0).all()
    # Where every path is shown there is none to hide.
    every = deletion_test(by_shown, lambda b: torch.ones(len(b), dtype=torch.bool), paths)
    assert len(every.spare) == 0
    assert math.isnan(every.summary()["spare"])
