from dataclasses import replace

import pytest
import torch

from lkgrag.scorer.features import PerGraph, log_degrees, rating_deviation
from lkgrag.scorer.metapath_attention import MetapathAttention
from lkgrag.testing import toy_kg, toy_paths


@pytest.fixture(scope="module")
def data():
    return toy_kg()


@pytest.fixture
def paths(data):
    return toy_paths(data=data)


def build(data, paths, seed=0, **kwargs):
    return build_for(data, paths.metapaths, seed, **kwargs)


def build_for(data, metapaths, seed=0, **kwargs):
    torch.manual_seed(seed)
    num_nodes = {t: data[t].num_nodes for t in data.node_types}
    return MetapathAttention(data.metadata(), num_nodes, metapaths, **kwargs).eval()


@torch.no_grad()
def test_starts_as_a_ranking_by_weight_and_recency(data, paths):
    scorer = build(data, paths)
    salience = scorer(data, paths).salience
    stronger = replace(paths, weight=(2 * paths.weight))
    older = replace(paths, history_age=paths.history_age + 4)
    assert (scorer(data, stronger).salience - salience).mean() == pytest.approx(0.69, abs=0.25)
    # Half-lives of 2 and of 12 items.
    assert -1.6 < (scorer(data, older).salience - salience).mean() < -0.2
    edges = torch.tensor([len(m) for m in paths.metapaths])[paths.metapath]
    assert salience[edges == 1].mean() > salience[edges == 2].mean() + 1
    more = scorer(data, paths).candidate
    fewer = scorer(data, paths.select(paths.metapath > 0)).candidate
    assert more.sum() > fewer.sum()


def test_attention_to_one_metapath_alone_is_finite(data, paths):
    scorer = build(data, paths)
    with torch.no_grad():
        scorer.query.weight.mul_(1e4)
        scorer.key.weight.mul_(1e4)
    salience, candidate = scorer(data, paths)
    assert salience.isfinite().all()
    assert candidate.isfinite().all()
    (salience.sum() + candidate.sum()).backward()
    assert all(p.grad.isfinite().all() for p in scorer.parameters() if p.grad is not None)


def test_users_with_another_history_weigh_the_same_paths_otherwise(data, paths):
    scorer = build(data, paths)
    with torch.no_grad():
        scorer.taste.weight.mul_(30)
    b = int(paths.sample[0])
    slot = int(paths.history[paths.sample == b][0])
    others = paths.history_items.clone()
    rest = [h for h in range(others.shape[1]) if h != slot]
    others[b, rest] = (others[b, rest] + 3) % 10
    kept = (paths.sample == b) & (paths.history == slot)
    before = paths.select(kept)
    after = replace(before, history_items=others)
    change = scorer(data, after).salience - scorer(data, before).salience
    assert change.abs().max() > 1e-3


def test_salience_reads_the_rating(data, paths):
    scorer = build(data, paths)
    with torch.no_grad():
        scorer.base[:, 5] = 1.0
    flipped = replace(paths, history_rating=6 - paths.history_rating)
    salience, other = scorer(data, paths).salience, scorer(data, flipped).salience
    deviation, _ = rating_deviation(paths)
    sign = deviation[paths.sample, paths.history]
    assert ((salience - other)[sign > 0.5] > 0).all()
    assert ((salience - other)[sign < -0.5] < 0).all()


def test_new_items_and_graphs_need_no_new_parameters(data, paths):
    scorer = build(data, paths)
    assert not any(10 in p.shape[:1] for n, p in scorer.named_parameters() if "item" in n)
    poorer = data.clone()
    for edge_type in [("item", "co_rated", "item")]:
        poorer[edge_type].edge_index = poorer[edge_type].edge_index[:, :0]
    assert not torch.equal(scorer(poorer, paths).candidate, scorer(data, paths).candidate)


def test_dropout_is_for_training_only(data, paths):
    scorer = build(data, paths, dropout=0.5)
    assert torch.equal(scorer(data, paths).candidate, scorer(data, paths).candidate)
    scorer.train()
    assert not torch.equal(scorer(data, paths).candidate, scorer(data, paths).candidate)


def test_extreme_weights_stay_finite(data, paths):
    scorer = build(data, paths)
    with torch.no_grad():
        scorer.base[:, 0] = 60.0
    out = scorer(data, replace(paths, weight=torch.full_like(paths.weight, 1e-30)))
    assert out.salience.isfinite().all()
    with torch.no_grad():
        scorer.base[:, 7] = 500.0
    assert scorer(data, paths).candidate.isfinite().all()


def test_graph_is_read_once_and_again_when_it_changes(data):
    calls = []
    remembered = PerGraph(lambda d: calls.append(1) or len(calls))
    assert [remembered(data), remembered(data)] == [1, 1]
    other = data.clone()
    assert [remembered(other), remembered(data)] == [2, 1]
    store = other["item", "co_rated", "item"]
    store.edge_index.mul_(1)
    assert remembered(other) == 3
    store.edge_index = store.edge_index[:, :2]
    assert remembered(other) == 4
    store.weight.mul_(2)
    assert remembered(other) == 5
    store.weight = store.weight[:2]
    assert remembered(other) == 6


def test_degrees_by_hand(data):
    edge_type = ("item", "has_genre", "genre")
    out = log_degrees(data, [edge_type], 0).expm1().round().int()
    # Alien has two genres, Blade Runner one, Fargo none.
    assert out[0, [0, 2, 9]].tolist() == [2, 1, 0]
    into = log_degrees(data, [("genre", "rev_has_genre", "item")], 1)
    assert torch.equal(into.expm1().round().int(), out)


def test_ratings_are_compared_with_the_users_own(data, paths):
    nan = float("nan")
    rating = torch.full_like(paths.history_rating, nan)
    rating[0, :3] = torch.tensor([1.0, 5.0, 3.0])
    rating[1, :2] = 4.0
    deviation, known = rating_deviation(replace(paths, history_rating=rating))
    std = (8 / 3) ** 0.5
    assert deviation[0, :3].tolist() == pytest.approx([-2 / std, 2 / std, 0])
    assert known[:2].sum(1).tolist() == [3, 2]
    assert (deviation[1:] == 0).all()


def test_which_parameters_learn_on_which_route(data, paths):
    scorer = build(data, paths).train()
    parameters = dict(scorer.named_parameters())
    out = scorer(data, paths)
    luck = torch.randn(len(paths), generator=torch.Generator().manual_seed(0))
    routes = {"lm": (out.salience * luck).sum(), "fusion": out.candidate.square().sum()}
    learned = {}
    for route, loss in routes.items():
        grads = torch.autograd.grad(
            loss, [*parameters.values()], allow_unused=True, retain_graph=True
        )
        learned[route] = {
            n for n, g in zip(parameters, grads, strict=True) if g is not None and (g != 0).any()
        }
    assert learned["fusion"] == set(parameters)
    readout = {"value.weight", "mix.weight", "mix.bias", "out.weight", "skip.weight"}
    assert learned["lm"] == set(parameters) - readout


@torch.no_grad()
def test_unseen_relations_act_by_their_embeddings(data, paths):
    whole = build(data, paths)
    fewer = build_for(data, paths.metapaths[:-1], seed=1)
    unseen = [e for e in whole.relations if e not in fewer.relations]
    assert unseen
    rows = {e: whole.relation[n] for n, e in enumerate(whole.relations)}
    state = whole.state_dict() | {"relation": torch.stack([rows[e] for e in fewer.relations])}
    fewer.load_state_dict(state)
    grown = fewer.with_relations(whole.metapaths, {e: rows[e] for e in unseen})
    assert torch.equal(grown(data, paths).candidate, whole(data, paths).candidate)
    other = fewer.with_relations(whole.metapaths, {e: -rows[e] for e in unseen})
    assert not torch.equal(other(data, paths).candidate, whole(data, paths).candidate)
    # The order of the meta-paths is the new graph's.
    turned = fewer.with_relations(whole.metapaths[::-1], {e: rows[e] for e in unseen})
    metapath = len(paths.metapaths) - 1 - paths.metapath
    again = turned(data, replace(paths, metapaths=whole.metapaths[::-1], metapath=metapath))
    assert torch.allclose(again.candidate, whole(data, paths).candidate, atol=1e-5)


def test_unseen_relations_need_an_embedding_of_the_right_width(data, paths):
    fewer, whole = build_for(data, paths.metapaths[:-1]), build(data, paths)
    unseen = [e for e in whole.relations if e not in fewer.relations]
    for wrong in ({}, dict.fromkeys(unseen, torch.zeros(3))):
        with pytest.raises(ValueError, match=r"needs an embedding of shape \[16\]"):
            fewer.with_relations(whole.metapaths, wrong)


def test_what_is_known_besides_adds_to_energies(data, paths):
    """The salience of a path grows by as much, its candidate's score grows, and nothing else changes."""
    scorer = build(data, paths)
    extra = torch.zeros(len(paths))
    with torch.no_grad():
        before = scorer(data, paths)
        same = scorer.score(data, paths, extra)
        torch.testing.assert_close(same.salience, before.salience)
        torch.testing.assert_close(same.candidate, before.candidate)
        extra[3] = 2.0
        after = scorer.score(data, paths, extra)
    torch.testing.assert_close(after.salience, before.salience + extra)
    moved = (after.candidate - before.candidate).flatten()
    slot = int(paths.slot[3])
    assert moved[slot].abs() > 1e-3
    moved[slot] = 0
    assert moved.abs().max() < 1e-5
