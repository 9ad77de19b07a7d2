import numpy as np
import pytest
import torch

from lkgrag.config import DataConfig, KGConfig, PathsConfig, ScorerConfig
from lkgrag.data import Queries, make_split
from lkgrag.kg import build_kg
from lkgrag.paths import PathFinder
from lkgrag.scorer import PathScorer, build_scorer
from lkgrag.testing import planted
from lkgrag.training.out_of_fold import out_of_fold_scores
from lkgrag.training.pretraining import ExampleLists

CONFIG = ScorerConfig(pretrain_epochs=3, pretrain_lr=0.05)


class Memory(PathScorer):
    """Learns the place of the target, and remembers the candidates of each user that it has seen."""

    def __init__(self, metadata, num_nodes, metapaths):
        super().__init__(metadata, num_nodes, metapaths)
        self.table = torch.nn.Parameter(torch.zeros(num_nodes["user"], num_nodes["item"]))
        self.place = torch.nn.Parameter(torch.zeros(6))

    def forward(self, data, paths):
        memory = self.table[paths.user[:, None], paths.candidate_items.clamp(min=0)]
        return torch.zeros(len(paths)), memory + self.place


@pytest.fixture(scope="module")
def lists():
    """Two lists of each user, whose first halves lie in one part and whose others in another one."""
    x = planted(num_users=24)
    split = make_split(x, DataConfig())
    data = build_kg(x, split.train_end, KGConfig(behaviour=False))
    finder = PathFinder(data, PathsConfig(history=3))
    parts = []
    for events in (split.val, split.test):
        items = np.tile(np.arange(6), (len(events), 1))
        items[:, 2] = -1
        items[:, 4] = np.where(items[:, :4].max(1) == events.target, 4, events.target)
        items = np.concatenate([items[:, [0, 1, 3, 4, 5]], items[:, [2]]], 1)
        scores = np.where(items >= 0, 0.0, -np.inf).astype(np.float32)
        queries = Queries.from_events(x, events, items, scores, 3)
        parts.append(ExampleLists(data, finder(queries), np.full(len(events), 3)))
    return parts


def test_no_list_is_scored_by_a_scorer_that_was_trained_on_its_user(lists):
    data = lists[0].data
    nodes = {t: int(data[t].num_nodes) for t in data.node_types}
    made = []

    def make():
        made.append(Memory(data.metadata(), nodes, lists[0].paths.metapaths))
        return made[-1]

    steps = []
    found = out_of_fold_scores(make, lists, CONFIG, folds=3, progress=lambda *s: steps.append(s))
    assert steps == [(0, 3), (1, 3), (2, 3), (3, 3)]
    assert found.scorer.shape == found.prior.shape == (48, 6)
    assert found.scorer.dtype == found.a.dtype == np.float32
    assert np.isneginf(found.prior[:, -1]).all()
    user = np.concatenate([part.paths.user for part in lists])
    scored = np.zeros(len(user), int)
    for scorer in made:
        remembered = (scorer.table != 0).any(1).numpy()
        assert remembered.any()
        # Nothing but the place: these lists are in nobody's memory.
        alike = (found.scorer[:, :-1] == scorer.place[:-1].detach().numpy()).all(1)
        assert not remembered[user[alike]].any()
        scored += alike
    np.testing.assert_array_equal(scored, 1)
    np.testing.assert_array_equal(found.scorer[:, -1], 0.0)
    assert (found.a != 1).any()


def test_a_seed_decides_and_two_folds_are_needed(lists):
    data = lists[0].data

    def make():
        torch.manual_seed(1)
        return build_scorer(ScorerConfig(), data, lists[0].paths.metapaths)

    one, two = (out_of_fold_scores(make, lists, CONFIG, seed=5, folds=2) for _ in range(2))
    np.testing.assert_array_equal(one.scorer, two.scorer)
    assert (one.scorer != 0).any()
    np.testing.assert_array_equal(one.scorer[:, -1], 0.0)
    with pytest.raises(ValueError, match="two folds"):
        out_of_fold_scores(make, lists, CONFIG, folds=1)
    alone = [
        part._replace(paths=part.paths.prompts(torch.tensor([0])), target=part.target[:1])
        for part in lists[:1]
    ]
    with pytest.raises(ValueError, match="1 users"):
        out_of_fold_scores(make, alone, CONFIG)
