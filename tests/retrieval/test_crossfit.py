import json
from dataclasses import replace

import numpy as np
import pytest
import torch

from lkgrag.config import DataConfig, KGConfig, RetrievalConfig
from lkgrag.data import make_split
from lkgrag.errors import ConfigError, LkgragError
from lkgrag.kg import build_kg
from lkgrag.retrieval import (
    CandidateLists,
    Fold,
    FusedRetriever,
    LRURecOptions,
    crossfitted_lists,
    fit_fusion,
    fit_lrurec,
    fit_stage_one,
    fit_systems,
)
from lkgrag.retrieval.candidates import candidate_lists
from lkgrag.retrieval.crossfit import user_folds
from lkgrag.retrieval.fusion.corners import CornerWeights
from lkgrag.retrieval.ranks import MISSED, Seen, histories_of, pessimistic_ranks
from lkgrag.testing import planted

CONFIG = RetrievalConfig(
    hidden=8, blocks=1, max_len=8, batch_size=32, epochs=3, lr=0.01, k=5, crossfit_window=2
)
SYSTEMS = ["lrurec", "popularity", "itemitem", "graph_itemitem", "ease", "text"]


@pytest.fixture(scope="module")
def data():
    x = planted(70, 24)
    return x, make_split(x, DataConfig())


def graph_of(x):
    return lambda end: build_kg(x, end, KGConfig(behaviour_min=1))


@pytest.fixture(scope="module")
def stage(data):
    x, split = data
    return fit_stage_one(x, split, graph_of(x), CONFIG, 0)


def tensors_of(retriever, folder):
    retriever.save(folder)
    return {p.relative_to(folder): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def crossed(x, split):
    """The fit behind the examples, without its weights."""
    fit_end, held = split.holdback(x, CONFIG.crossfit_window, CONFIG.crossfit_users, 0)
    training = x.first(fit_end)
    lrurec, _ = fit_lrurec(training, LRURecOptions.of(CONFIG), 0, epochs=2)
    return fit_systems(training, graph_of(x)(fit_end), CONFIG, 0, [lrurec]), fit_end, held


def changed(x, start, end):
    """The interactions with other items at positions ``start`` to ``end`` of each user."""
    item = x.item.copy()
    inside = (x.position >= start[x.user]) & (x.position < end[x.user])
    item[inside] = (item[inside] + 7) % x.num_items
    return replace(x, item=item)


def test_nothing_held_back_reaches_the_crossfitted_fit(data, tmp_path):
    x, split = data
    one, fit_end, _ = crossed(x, split)
    other = changed(x, fit_end, np.diff(x.indptr))
    assert (other.item != x.item).any()
    two, _, _ = crossed(other, make_split(other, DataConfig()))
    before, after = tensors_of(one, tmp_path / "a"), tensors_of(two, tmp_path / "b")
    assert before == after
    # The test can fail: one training item changes the files.
    three, _, _ = crossed(changed(x, fit_end - 1, fit_end), split)
    assert tensors_of(three, tmp_path / "c") != before


def test_nothing_of_the_test_reaches_any_fit(data, stage, tmp_path):
    x, _ = data
    other = changed(x, np.diff(x.indptr) - 1, np.diff(x.indptr))
    again = fit_stage_one(other, make_split(other, DataConfig()), graph_of(other), CONFIG, 0)
    assert tensors_of(again.retriever, tmp_path / "a") == (
        tensors_of(stage.retriever, tmp_path / "b")
    )
    np.testing.assert_array_equal(again.examples.items, stage.examples.items)
    np.testing.assert_array_equal(again.examples.scores, stage.examples.scores)
    np.testing.assert_array_equal(again.val.items, stage.val.items)


def test_validation_decides_nothing_but_when_to_stop(data, tmp_path):
    x, split = data
    last = np.diff(x.indptr)
    other = changed(x, split.train_end, last - 1)
    # One epoch: there is nothing to decide.
    config = replace(CONFIG, epochs=1)
    one = fit_stage_one(x, split, graph_of(x), config, 0)
    two = fit_stage_one(other, make_split(other, DataConfig()), graph_of(other), config, 0)
    assert tensors_of(one.retriever, tmp_path / "a") == tensors_of(two.retriever, tmp_path / "b")


def test_a_users_own_window_does_not_weigh_the_systems_of_its_lists(data):
    x, split = data
    base, _, held = crossed(x, split)
    lists = crossfitted_lists([Fold(base, held)], x, 5, 0)
    fold = np.random.default_rng([0, 0xF1]).integers(0, 2, x.num_users)
    target = held.target.copy()
    target[fold[held.user] == 0] = 0
    moved = crossfitted_lists([Fold(base, replace(held, target=target))], x, 5, 0)
    mine = fold[held.user] == 0
    np.testing.assert_array_equal(moved.scores[mine], lists.scores[mine])
    assert (moved.scores[~mine] != lists.scores[~mine]).any()


@pytest.mark.parametrize("folds", [2, 3])
def test_each_fold_misses_its_own_windows_only(data, folds, monkeypatch):
    """What proposes an example was fitted without it, and with the windows of all other folds."""
    x, split = data
    fit_end, held = split.holdback(x, CONFIG.crossfit_window, CONFIG.crossfit_users, 0)
    asked, used = [], []

    def lists(retriever, interactions, events, k):
        used.append((retriever.systems["popularity"].count, events))
        return candidate_lists(retriever, interactions, events, k)

    monkeypatch.setattr("lkgrag.retrieval.crossfit.candidate_lists", lists)

    def graph(end):
        asked.append(end)
        return graph_of(x)(end)

    one = fit_stage_one(x, split, graph, replace(CONFIG, crossfit_folds=folds, epochs=1), 0)
    assert len(asked) == 1 + folds
    out = [end < split.train_end for end in asked[1:]]
    can = fit_end < split.train_end
    np.testing.assert_array_equal(np.sum(out, 0), can.astype(int))
    for end, mine in zip(asked[1:], out, strict=True):
        np.testing.assert_array_equal(end, np.where(mine, fit_end, split.train_end))
    # Popularity tells which training interactions a list's systems have seen.
    expected = {
        tuple(np.bincount(x.item[x.position < end[x.user]], minlength=x.num_items)): mine
        for end, mine in zip(asked[1:], out, strict=True)
    }
    examples = [(count, e) for count, e in used if tuple(count) in expected]
    assert sum(len(e) for _, e in examples) == len(held)
    for count, events in examples:
        assert expected[tuple(count)][events.user].all()
    np.testing.assert_array_equal(one.fit_ends, fit_end[None])
    for name in ("user", "position", "target"):
        np.testing.assert_array_equal(getattr(one.examples.events, name), getattr(held, name))


def test_no_window_reaches_the_fold_that_proposes_it(data):
    """Other targets in one fold's windows change no list of that fold but by the pooled weights."""
    x, split = data
    _, held = split.holdback(x, CONFIG.crossfit_window, CONFIG.crossfit_users, 0)
    config = replace(CONFIG, crossfit_folds=2, systems=["itemitem"], epochs=1)
    mine = user_folds(x.num_users, 2, 0)[0]
    # The last of a window is no other list's history.
    start = np.where(mine, split.train_end - 1, split.train_end)
    other = changed(x, start, split.train_end)
    one = fit_stage_one(x, split, graph_of(x), config, 0)
    two = fit_stage_one(other, make_split(other, DataConfig()), graph_of(other), config, 0)
    same = mine[held.user]
    np.testing.assert_array_equal(one.examples.items[same], two.examples.items[same])
    assert (one.examples.items[~same] != two.examples.items[~same]).any()


def test_pools_of_folds_are_pooled(data):
    """Two folds of the same systems weigh as one fold with both their events."""
    x, split = data
    base, _, held = crossed(x, split)
    half = held.user % 2 == 0
    folds = [Fold(base, held[half]), Fold(base, held[~half])]
    one, two = fit_fusion([Fold(base, held)], x, 0), fit_fusion(folds, x, 0)
    assert two.fusion.middle == pytest.approx(one.fusion.middle, abs=1e-3)
    assert two.graph == pytest.approx(one.graph, abs=1e-3)


def test_no_fold_is_refused(data):
    x, split = data
    with pytest.raises(
        ConfigError, match=r"retrieval.crossfit_folds must be at least 1 with .*, got 0"
    ):
        fit_stage_one(x, split, graph_of(x), replace(CONFIG, crossfit_folds=0), 0)


def test_the_events_are_the_windows_in_order(data, stage):
    x, split = data
    fit_end, held = split.holdback(x, 2, 1.0, 0)
    np.testing.assert_array_equal(stage.fit_ends, fit_end[None])
    for name in ("user", "position", "target"):
        np.testing.assert_array_equal(getattr(stage.examples.events, name), getattr(held, name))
    assert len(stage.val) == len(split.val)
    assert len(stage.test) == len(split.test)


def test_lists_and_ranks_agree(data, stage):
    x, _ = data
    for lists in (stage.examples, stage.val, stage.test):
        others = set() if lists is stage.examples else {"without_text"}
        assert set(lists.ranks) == {*SYSTEMS, "retriever", *others}
        assert all((rank >= 1).all() for rank in lists.ranks.values())
        inside = lists.ranks["retriever"] <= 5
        np.testing.assert_array_equal(lists.retrieved, inside)
        for row, history in enumerate(histories_of(x, lists.events)):
            assert not set(history.tolist()) & set(lists.items[row].tolist())
    histories = histories_of(x, stage.test.events)
    scores = stage.retriever.score(histories)
    seen = Seen.of(histories)
    np.testing.assert_array_equal(
        stage.test.ranks["retriever"], pessimistic_ranks(scores, stage.test.events.target, seen)
    )
    items, values = stage.retriever.propose(histories, 5)
    np.testing.assert_array_equal(items, stage.test.items)
    np.testing.assert_array_equal(values, stage.test.scores)


def test_a_repeated_target_is_missed(data, stage):
    x, _ = data
    events = stage.test.events
    repeated = replace(events, target=np.array([x.sequence(u)[0] for u in events.user]))
    lists = candidate_lists(stage.retriever, x, repeated, 5)
    assert all((rank == MISSED).all() for rank in lists.ranks.values())
    assert not lists.retrieved.any()


def test_saved_retriever_scores_equally(data, stage, tmp_path):
    x, _ = data
    stage.retriever.save(tmp_path)
    loaded = FusedRetriever.load(tmp_path)
    past = [*histories_of(x, stage.test.events)[:9], np.zeros(0, np.int64), np.array([2])]
    np.testing.assert_array_equal(loaded.score(past), stage.retriever.score(past))
    one, two = loaded.propose(past, 6), stage.retriever.propose(past, 6)
    np.testing.assert_array_equal(one[0], two[0])


def test_saved_weights_by_count_score_equally(data, stage, tmp_path):
    x, _ = data
    past = [*histories_of(x, stage.test.events)[:9], np.zeros(0, np.int64), np.array([2])]
    rng = np.random.default_rng(0)
    corners = {name: rng.random((2, 2)) for name in stage.retriever.systems}
    weights = CornerWeights((2.0, 9.0), (1.5, 6.0), corners)
    retriever = FusedRetriever(stage.retriever.systems, weights)
    retriever.save(tmp_path)
    loaded = FusedRetriever.load(tmp_path)
    np.testing.assert_array_equal(loaded.score(past), retriever.score(past))
    assert loaded.weights == retriever.weights


def test_an_older_folder_has_constant_weights(data, stage, tmp_path):
    x, _ = data
    past = histories_of(x, stage.test.events)[:9]
    stage.retriever.save(tmp_path)
    meta = json.loads((tmp_path / "retriever.json").read_text())
    meta.pop("by_count", None)
    meta["weights"] = {"itemitem": 0.25, "popularity": 0.5}
    (tmp_path / "retriever.json").write_text(json.dumps(meta))
    loaded = FusedRetriever.load(tmp_path)
    features = loaded.features(past)
    expected = np.float32(0.25) * features["itemitem"] + np.float32(0.5) * features["popularity"]
    np.testing.assert_array_equal(loaded.score(past), expected)


def test_lists_survive_a_file(stage, tmp_path):
    path = tmp_path / "lists.parquet"
    stage.test.save(path)
    loaded = CandidateLists.load(path)
    np.testing.assert_array_equal(loaded.items, stage.test.items)
    np.testing.assert_array_equal(loaded.scores, stage.test.scores)
    assert loaded.items.dtype == np.int64
    assert loaded.scores.dtype == np.float32
    assert loaded.ranks.keys() == stage.test.ranks.keys()
    for name, rank in loaded.ranks.items():
        np.testing.assert_array_equal(rank, stage.test.ranks[name])
    np.testing.assert_array_equal(loaded.events.target, stage.test.events.target)
    with pytest.raises(LkgragError, match="no such file"):
        CandidateLists.load(tmp_path / "none.parquet")
    path.write_bytes(b"broken")
    with pytest.raises(LkgragError, match="broken Parquet file"):
        CandidateLists.load(path)


def test_lists_check_their_shapes(stage):
    lists = stage.test
    with pytest.raises(ValueError, match="one shape"):
        CandidateLists(lists.events, lists.items, lists.scores[:, :3])
    with pytest.raises(ValueError, match="rows"):
        CandidateLists(lists.events, lists.items[:3], lists.scores[:3])
    part = lists[lists.retrieved]
    assert part.retrieved.all()
    assert len(part.ranks["lrurec"]) == len(part)


def test_the_report_is_plain(stage):
    report = json.loads(json.dumps(stage.report))
    assert set(report["fusion"]) == set(SYSTEMS)
    assert all(weight >= 0 for weight in report["fusion"].values())
    assert any(weight > 0 for weight in report["graph"].values())
    assert 0 <= report["val"]["retriever"]["ndcg@10"] <= 1


def test_a_checkpointed_stage_one_equals_one_without(data, stage):
    x, split = data
    plain = fit_stage_one(x, split, graph_of(x), CONFIG, 0)
    np.testing.assert_array_equal(plain.test.scores, stage.test.scores)
    np.testing.assert_array_equal(plain.examples.scores, stage.examples.scores)
    assert torch.equal(
        plain.retriever.systems["lrurec"].model.bias, stage.retriever.systems["lrurec"].model.bias
    )


@pytest.mark.parametrize(("systems", "message"), [(["lrurek"], "'lrurec'"), ([], "is empty")])
def test_unknown_systems_are_refused_before_training(data, systems, message):
    x, split = data
    with pytest.raises(ConfigError, match=message):
        fit_stage_one(x, split, graph_of(x), replace(CONFIG, systems=systems), 0)


def test_a_part_of_the_systems_can_be_fused(data):
    x, split = data
    one = fit_stage_one(x, split, graph_of(x), replace(CONFIG, systems=["itemitem"]), 0)
    assert list(one.retriever.weights) == ["itemitem"]
    assert set(one.test.ranks) == {*SYSTEMS[:4], "retriever"}
    # The fused order is the single system's.
    np.testing.assert_array_equal(one.test.ranks["retriever"], one.test.ranks["itemitem"])


def test_without_crossfitting_only_the_examples_change(data, stage):
    x, split = data
    plain = fit_stage_one(x, split, graph_of(x), replace(CONFIG, crossfit="none"), 0)
    np.testing.assert_array_equal(plain.fit_ends, split.train_end[None])
    assert plain.retriever.weights == stage.retriever.weights
    for name in ("val", "test"):
        np.testing.assert_array_equal(getattr(plain, name).items, getattr(stage, name).items)
    np.testing.assert_array_equal(plain.examples.events.target, stage.examples.events.target)
    # A stage one that has seen the answers proposes them more often.
    assert plain.examples.retrieved.mean() > stage.examples.retrieved.mean()


def test_what_text_is_worth_is_measured_with_other_weights_on_the_same_lists(data):
    x, split = data
    systems = ["popularity", "itemitem", "text"]
    both, other = (
        fit_stage_one(x, split, graph_of(x), replace(CONFIG, epochs=1, systems=names), 0)
        for names in (systems, systems[:2])
    )
    np.testing.assert_array_equal(both.val.ranks["itemitem"], other.val.ranks["itemitem"])
    assert "without_text" not in other.val.ranks
    # Weights of the same two systems, but fitted on pools that text chose items for, too.
    agree = np.mean(both.val.ranks["without_text"] == other.val.ranks["retriever"])
    assert agree > 0.5
    assert (both.val.ranks["without_text"] != both.val.ranks["retriever"]).any()
