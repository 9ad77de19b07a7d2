"""``retrieval.crossfit=users``: each fold's stage one knows nothing of its users."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from lkgrag.config import DataConfig, KGConfig, RetrievalConfig
from lkgrag.data import Interactions, make_split
from lkgrag.data.splits import every_training_event
from lkgrag.data.splits.base import Events, Split
from lkgrag.errors import ConfigError
from lkgrag.kg import build_kg
from lkgrag.retrieval import Fits, Weights, fit_fusion, fit_stage_one
from lkgrag.retrieval.candidates import candidate_lists
from lkgrag.retrieval.crossfit import plan_crossfit, spread_over_users, whole_user_folds
from lkgrag.testing import planted

FOLDS = 3
CONFIG = RetrievalConfig(
    hidden=8,
    blocks=1,
    max_len=8,
    batch_size=32,
    epochs=1,
    lr=0.01,
    k=5,
    crossfit="users",
    crossfit_folds=FOLDS,
)


@pytest.fixture(scope="module")
def data():
    x = planted(60, 24)
    return x, make_split(x, DataConfig())


def graph_of(x):
    return lambda end: build_kg(x, end, KGConfig(behaviour_min=1))


def files_of(retriever, folder):
    retriever.save(folder)
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


class Recorded:
    """A stage one, with what each of its fits was given and gave."""

    def __init__(self, x, split, monkeypatch, config=CONFIG, seed=0):
        self.ends, self.graphs, self.lrurec, self.proposed = [], [], [], []
        uncached = Fits.uncached(x, config, seed)

        def graph(end):
            self.graphs.append((end, graph_of(x)(end)))
            return self.graphs[-1][1]

        def lrurec(end, *, val, epochs):
            self.ends.append(end)
            self.lrurec.append(uncached.lrurec(end, val=val, epochs=epochs))
            return self.lrurec[-1]

        def propose(retriever, interactions, events, k):
            self.proposed.append((retriever, events))
            return candidate_lists(retriever, interactions, events, k)

        monkeypatch.setattr("lkgrag.retrieval.crossfit.candidate_lists", propose)
        self.one = fit_stage_one(x, split, graph, config, seed, replace(uncached, lrurec=lrurec))

    def files(self, number, folder):
        """What proposes for a fold's users, but for its weights, which are of other users' events."""
        end = self.ends[1 + number]
        base = next(r for r, e in self.proposed if len(e) and not end[e.user].any())
        graph = {
            name: base.systems["graph_itemitem"].weights[name] * 0
            for name in base.systems["graph_itemitem"].weights
        }
        even = replace_weights(base, graph)
        return files_of(even, folder)


def replace_weights(base, graph):
    """The same systems, all with even weights."""
    return Weights(dict.fromkeys(base.weights, 1.0), graph).apply(base)


@pytest.fixture
def recorded(data, monkeypatch):
    return Recorded(*data, monkeypatch)


def changed(x, users):
    """The interactions with other items wherever one of some users chose, but for the order of ids."""
    item = x.item.copy()
    inside = users[x.user]
    item[inside] = (item[inside] + 7) % x.num_items
    return replace(x, item=item)


def test_a_fold_misses_all_interactions_of_its_users_and_no_other(data, recorded):
    x, split = data
    assert len(recorded.ends) == 1 + FOLDS
    np.testing.assert_array_equal(recorded.ends[0], split.train_end)
    out = [end == 0 for end in recorded.ends[1:]]
    np.testing.assert_array_equal(np.sum(out, 0), 1)
    assert {int(mine.sum()) for mine in out} == {x.num_users // FOLDS}
    for end, mine, stored in zip(recorded.ends[1:], out, recorded.one.fit_ends, strict=True):
        np.testing.assert_array_equal(end, np.where(mine, 0, split.train_end))
        np.testing.assert_array_equal(stored, end)
    np.testing.assert_array_equal(recorded.one.fold, np.argmax(out, 0))


def test_a_folds_graph_has_no_edge_of_its_users(data, recorded):
    x, _ = data
    for end, graph in recorded.graphs:
        raters = np.unique(graph["user", "rated", "item"].edge_index[0])
        np.testing.assert_array_equal(raters, np.flatnonzero(end))
        # Behaviour is counted as if the users had never been.
        others = x.first(end)
        alone = build_kg(others, np.diff(others.indptr), KGConfig(behaviour_min=1))
        for kind in (("item", "co_rated", "item"), ("item", "followed_by", "item")):
            assert graph[kind].edge_index.equal(alone[kind].edge_index)
            assert graph[kind].count.equal(alone[kind].count)


def test_nothing_of_a_user_reaches_what_proposes_its_lists(data, recorded, monkeypatch, tmp_path):
    x, _ = data
    mine = recorded.ends[1] == 0
    other = changed(x, mine)
    assert (other.item != x.item).sum() > 100
    again = Recorded(other, make_split(other, DataConfig()), monkeypatch)
    assert again.files(0, tmp_path / "a") == recorded.files(0, tmp_path / "b")
    # The test can fail: a single user of another fold, whom this fold sees, changes them.
    leak = changed(x, np.arange(x.num_users) == np.flatnonzero(~mine)[0])
    leaked = Recorded(leak, make_split(leak, DataConfig()), monkeypatch)
    assert leaked.files(0, tmp_path / "c") != recorded.files(0, tmp_path / "d")


def test_each_list_comes_from_the_fold_without_its_user(data, recorded):
    x, _ = data
    events = sum(len(e) for _, e in recorded.proposed)
    assert events == len(recorded.one.examples)
    for retriever, part in recorded.proposed:
        (fold,) = np.unique(recorded.one.fold[part.user])
        seen = x.position < recorded.one.fit_ends[fold][x.user]
        count = np.bincount(x.item[seen], minlength=x.num_items)
        np.testing.assert_array_equal(retriever.systems["popularity"].count, count)


def test_there_is_a_list_at_every_training_position_from_the_second_on(data, recorded):
    x, split = data
    found = recorded.one.examples.events
    wanted = every_training_event(x, split.train_end)
    for name in ("user", "position", "target"):
        np.testing.assert_array_equal(getattr(found, name), getattr(wanted, name))
    assert found.position.min() == 1
    assert (found.position < split.train_end[found.user]).all()
    assert len(found) == (split.train_end - 1).sum()


def test_validation_and_test_reach_no_example(data, recorded, monkeypatch):
    x, split = data
    item = x.item.copy()
    late = x.position >= split.train_end[x.user]
    item[late] = (item[late] + 7) % x.num_items
    other = replace(x, item=item)
    again = Recorded(other, make_split(other, DataConfig()), monkeypatch)
    np.testing.assert_array_equal(again.one.examples.items, recorded.one.examples.items)
    np.testing.assert_array_equal(again.one.examples.scores, recorded.one.examples.scores)
    assert again.one.retriever.weights == recorded.one.retriever.weights


def test_seeds_decide(data):
    x, split = data
    one, two, three = (plan_crossfit(x, split, CONFIG, seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(one.fold, two.fold)
    assert (one.fold != three.fold).any()


def test_few_lists_are_spread_over_the_users(data):
    x, split = data
    config = replace(CONFIG, crossfit_lists=20)
    plan = plan_crossfit(x, split, config, 0)
    assert len(plan.events) == 120
    assert np.bincount(plan.events.user, minlength=x.num_users).min() >= 1
    assert np.bincount(plan.events.user).max() <= 3


def test_the_weights_are_fitted_on_the_latest_positions(data, monkeypatch):
    """Their histories are as long as those that are served."""
    x, split = data
    monkeypatch.setattr("lkgrag.retrieval.crossfit.WEIGHT_EVENTS", 50)
    weighed, fit = [], fit_fusion

    def watched(folds, interactions, seed, **options):
        weighed.append(
            np.concatenate([[fold.events.user, fold.events.position] for fold in folds], 1)
        )
        return fit(folds, interactions, seed, **options)

    monkeypatch.setattr("lkgrag.retrieval.stage_one.fit_fusion", watched)
    monkeypatch.setattr("lkgrag.retrieval.crossfit.fit_fusion", watched)
    one = Recorded(x, split, monkeypatch).one
    assert weighed[0].shape[1] == 100
    assert sum(w.shape[1] for w in weighed[1:]) == 100
    for user, position in weighed:
        # Of 60 users, all give their last one and some the one before.
        assert (position >= split.train_end[user] - 2).all()
    assert len(one.examples) == (split.train_end - 1).sum()
    # The weights of a half's lists are those of the other half.
    assert not {*weighed[1][0].tolist()} & {*weighed[2][0].tolist()}


def test_those_with_many_events_give_up_some_first():
    user = np.repeat([0, 1, 2, 3], [1, 2, 10, 50])
    drawn = spread_over_users(user, 16, seed=0)
    assert np.bincount(user[drawn]).tolist()[:2] == [1, 2]
    assert sorted(np.bincount(user[drawn])[2:]) == [6, 7]
    assert (np.diff(drawn) > 0).all()
    np.testing.assert_array_equal(drawn, spread_over_users(user, 16, seed=0))
    assert not np.array_equal(drawn, spread_over_users(user, 16, seed=1))
    np.testing.assert_array_equal(spread_over_users(user, 63, seed=0), np.arange(63))
    assert len(spread_over_users(user, 1, seed=0)) == 1
    latest = spread_over_users(user, 16, 0, np.arange(63))
    np.testing.assert_array_equal(np.diff(latest[user[latest] == 3]), 1)
    assert latest[-1] == 62
    assert len(spread_over_users(user[:0], 5, seed=0)) == 0


@pytest.mark.parametrize(
    ("train_end", "folds", "sizes"),
    [
        ([4, 4, 4, 4, 4], 2, [2, 3]),
        ([4, 0, 4, 0, 1], 2, [1, 2]),
        ([4, 1, 1], 9, [1, 1, 1]),
        ([4, 0, 0], 3, []),
        ([0, 0], 3, []),
        ([], 3, []),
    ],
)
def test_every_fold_leaves_someone_to_fit_on(train_end, folds, sizes):
    train_end = np.array(train_end, np.int64)
    outs = whole_user_folds(train_end, folds, 0)
    assert sorted(int(out.sum()) for out in outs) == sizes
    for out in outs:
        assert (train_end[out] > 0).all()
        assert (train_end[~out] > 0).any()


def small(sequences):
    """Interactions of a few users, the last two of each for validation and test where there are three."""
    rows = [
        (f"u{user}", f"i{item}", 1.0, place)
        for user, items in enumerate(sequences)
        for place, item in enumerate(items)
    ]
    frame = pd.DataFrame(rows, columns=["user", "item", "rating", "time"])
    x = Interactions.from_frames(frame, config=DataConfig(min_user=1, min_item=1))
    count = np.diff(x.indptr)
    end = np.where(count > 2, count - 2, count)
    last = np.flatnonzero(count > 2)
    val, test = (Events.at(x, last, count[last] - n) for n in (2, 1))
    return x, Split(end, val, test)


@pytest.mark.parametrize(
    ("sequences", "lists"),
    [
        # Nobody is left to fit on without the only user.
        ([range(7)], 0),
        # Of those with one training interaction, or none, there is nothing to predict.
        ([range(7), [3], [4]], 4),
        ([[1], [2], range(3)], 0),
        ([range(7), range(3, 9)], 7),
    ],
)
def test_data_with_few_users(sequences, lists, monkeypatch):
    x, split = small(sequences)
    recorded = Recorded(x, split, monkeypatch)
    assert len(recorded.one.examples) == lists
    assert recorded.one.fit_ends.shape[1] == x.num_users
    assert np.isfinite([*recorded.one.retriever.weights.values()]).all()


def test_one_fold_would_leave_nobody(data):
    x, split = data
    with pytest.raises(ConfigError, match=r"at least 2 with retrieval.crossfit=users, got 1"):
        fit_stage_one(x, split, graph_of(x), replace(CONFIG, crossfit_folds=1), 0)
