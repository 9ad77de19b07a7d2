"""Graph neural networks as scorers: odd graphs, options, kept vectors, new nodes, and each layer's arithmetic."""

import copy
import math
import pickle
import warnings
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch_geometric.data import HeteroData
from torch_geometric.nn import RGCNConv

from lkgrag.config import KGConfig, PathsConfig, ScorerConfig
from lkgrag.data import Queries
from lkgrag.errors import ConfigError
from lkgrag.paths import graph_paths, path_finder
from lkgrag.scorer import as_path_scores, build_scorer
from lkgrag.scorer.graph_nodes import standardised_columns
from lkgrag.scorer.graph_structure import find_messages, plan_layers
from lkgrag.scorer.kgat import KGATConv
from lkgrag.scorer.resolver import new_scorer
from lkgrag.testing import toy_kg, toy_paths
from lkgrag.training.pretraining import pretrain

NETWORKS = ["graphsage", "hgt", "kgat", "lightgcn", "rgcn"]
ALL = [*NETWORKS, "nbfnet"]


def build(name, data, paths, seed=0, **kwargs):
    torch.manual_seed(seed)
    return build_scorer(ScorerConfig(name=name, kwargs=kwargs), data, paths.metapaths).eval()


def with_vectors(data, width=6):
    data["item"].x = torch.randn(
        data["item"].num_nodes, width, generator=torch.Generator().manual_seed(1)
    )
    return data


def small_graph(items=1, edges=()):
    """Items alone, with one relation between them."""
    data = HeteroData()
    data["item"].num_nodes = items
    data["item"].name = [f"i{n}" for n in range(items)]
    index = torch.tensor(edges, dtype=torch.int64).view(-1, 2).T.contiguous()
    data["item", "near", "item"].edge_index = index
    data["item", "near", "item"].weight = torch.ones(index.shape[1])
    return data


def queries(histories, candidates):
    table = np.asarray(candidates)
    lists = [np.asarray(h, np.int64) for h in histories]
    return Queries.from_histories(lists, table, np.zeros(table.shape, np.float32), 4)


def scores_of(name, data, asked, **kwargs):
    """Scores, and a training step whose gradients must be finite."""
    paths = graph_paths(data, PathsConfig())(asked)
    scorer = build(name, data, paths, **kwargs)
    with torch.no_grad():
        scores = as_path_scores(scorer(data, paths), paths)
    assert scores.salience.isfinite().all()
    assert scores.candidate.isfinite().all()
    found = as_path_scores(scorer.train()(data, paths), paths)
    loss = found.candidate.sum() + found.salience.sum()
    if loss.requires_grad:
        loss.backward()
        assert all(p.grad is None or p.grad.isfinite().all() for p in scorer.parameters())
    return scores, paths


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize(
    "graph",
    [
        KGConfig(behaviour=False),
        KGConfig(relations=["has_genre"], behaviour=False),
        KGConfig(users=False) if hasattr(KGConfig(), "users") else KGConfig(similar_titles=0),
    ],
)
def test_graphs_with_few_relations(name, graph):
    data = toy_kg(graph)
    scores, paths = scores_of(name, data, queries([[0, 1], [5], []], [[4, 2], [6, 8], [0, 3]]))
    assert len(paths)
    assert scores.candidate.abs().max() > 0


@pytest.mark.parametrize("name", ALL)
def test_one_relation_no_edges_and_one_item(name):
    scores, paths = scores_of(
        name, small_graph(4, [(0, 1), (1, 2), (2, 3)]), queries([[0], [1]], [[1, 2], [2, 3]])
    )
    assert len(paths)
    for data, asked in (
        (small_graph(3), queries([[0], [1]], [[1, 2], [2, -1]])),
        (small_graph(1), queries([[0], []], [[0], [0]])),
    ):
        scores, paths = scores_of(name, data, asked)
        assert not len(paths)
        assert (scores.candidate == 0).all()
        assert build(name, data, paths) is not None


@pytest.mark.parametrize("name", ALL)
def test_padding_changes_nothing(name):
    data = toy_kg()
    histories, candidates = [[0, 1, 5], [6], []], [[4, 2], [8, -1], [3, 9]]
    finder = graph_paths(data, PathsConfig())
    short = finder(queries(histories, candidates))
    wide = queries(histories, [[*row, -1, -1] for row in candidates])
    empty = np.full((3, 2), -1)
    wide = replace(
        wide,
        history_items=np.concatenate([wide.history_items, empty], 1),
        history_rating=np.concatenate(
            [wide.history_rating, np.full((3, 2), np.nan, np.float32)], 1
        ),
        history_time=np.concatenate([wide.history_time, np.full((3, 2), np.nan)], 1),
        history_age=np.concatenate([wide.history_age, empty], 1),
    )
    padded = finder(wide)
    scorer = build(name, data, short)
    with torch.no_grad():
        a, b = scorer(data, short), scorer(data, padded)
    torch.testing.assert_close(a.candidate, b.candidate[:, :2], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(a.salience, b.salience, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", ALL)
def test_shortest_paths_are_read_off_the_batch(name):
    data = toy_kg(KGConfig(behaviour=False, relations=["directed_by", "starring"]))
    finder = path_finder(data, PathsConfig(search="shortest"))
    paths = finder(queries([[0, 5]], [[3, 1, 8]]))
    assert max(len(m) for m in paths.metapaths) > 2
    graph = graph_paths(data, PathsConfig(search="shortest"))
    closed = ScorerConfig(name=name)
    if name != "nbfnet":
        with pytest.raises(ConfigError, match=r"needs all meta-paths before the search"):
            new_scorer(closed, "shortest", graph, 0)
        closed = ScorerConfig(name=name, kwargs={"counts": False})
    scorer = new_scorer(closed, "shortest", graph, 0).eval()
    assert torch.isfinite(scorer(data, paths).salience).all()


@pytest.mark.parametrize("name", NETWORKS)
def test_other_weights_of_the_edges_give_other_vectors(name):
    data = toy_kg()
    paths = toy_paths(data=data)
    scorer = build(name, data, paths)
    with torch.no_grad():
        scorer(data, paths)
        for store in data.edge_stores:
            if "weight" in store:
                store.weight = store.weight.flip(0) * 3
        found = scorer(data, paths)
        fresh = copy.deepcopy(scorer)(data, paths)
    assert torch.equal(found.salience, fresh.salience)
    assert torch.equal(found.candidate, fresh.candidate)


@pytest.mark.parametrize("name", ALL)
def test_a_scorer_that_has_served_can_be_trained(name):
    data = toy_kg()
    paths = toy_paths(data=data)
    scorer = build(name, data, paths)
    with torch.inference_mode():
        scorer(data, paths)
    out = scorer.train()(data, paths)
    (out.salience.sum() + out.candidate.sum()).backward()
    assert any(p.grad is not None for p in scorer.parameters())


@pytest.mark.parametrize("name", ALL)
def test_training_lowers_the_loss(name):
    data = toy_kg()
    paths = toy_paths(num_prompts=24, data=data)
    scorer = build(name, data, paths)
    found = pretrain(scorer, data, paths, [0] * 24, ScorerConfig(pretrain_epochs=6), seed=1)
    assert found.curve[-1]["train"] < found.curve[1]["train"]
    assert not found.idle


@pytest.mark.parametrize(
    ("name", "kwargs", "message"),
    [
        ("graphsage", {"hiden": 8}, "GraphSAGE has no option 'hiden'. Did you mean 'hidden'?"),
        ("nbfnet", {"layers": 2}, "NBFNet has no option 'layers'. (it has hidden, dropout)"),
        ("rgcn", {"heads": 2}, "RGCN has no option 'heads'."),
        ("graphsage", {"num_features": {}}, "'num_features' is given by the program"),
        ("lightgcn", {"hidden": 0}, "hidden must be a whole number of at least 1, got 0"),
        ("kgat", {"hidden": 8.5}, "hidden must be a whole number of at least 1, got 8.5"),
        ("kgat", {"layers": True}, "layers must be a whole number of at least 1, got True"),
        ("hgt", {"layers": "two"}, "layers must be a whole number of at least 1, got 'two'"),
        ("hgt", {"heads": 0}, "heads must be a whole number of at least 1, got 0"),
        ("hgt", {"heads": 5}, "heads must divide hidden=32, got 5"),
        ("rgcn", {"bases": -1}, "bases must be a whole number of at least 1, got -1"),
        ("rgcn", {"dropout": 1}, "dropout must be a number in [0, 1), got 1"),
        ("nbfnet", {"dropout": math.nan}, "dropout must be a number in [0, 1), got nan"),
        ("graphsage", {"neighbours": 0}, "neighbours must be a whole number of at least 1, got 0"),
        ("graphsage", {"counts": "no"}, "counts must be true or false, got 'no'"),
        ("lightgcn", {"users": 1}, "users must be true or false, got 1"),
    ],
)
def test_wrong_options(name, kwargs, message):
    with pytest.raises(ConfigError, match=r"scorer\.") as caught:
        build_scorer(ScorerConfig(name=name, kwargs=kwargs), toy_kg(), toy_paths().metapaths)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", NETWORKS)
def test_vectors_are_kept_until_something_changes(name, monkeypatch):
    data = with_vectors(toy_kg())
    paths = toy_paths(data=data)
    scorer = build(name, data, paths, hidden=8)
    calls = []
    embed = type(scorer)._embed
    monkeypatch.setattr(type(scorer), "_embed", lambda s, d: calls.append(1) or embed(s, d))

    def score(scorer=scorer, data=data):
        before = len(calls)
        with torch.no_grad():
            out = scorer(data, paths)
        return len(calls) - before, out.candidate

    assert score()[0] == 1
    times, first = score()
    assert times == 0
    assert score(copy.deepcopy(scorer))[0] == 1
    # With gradients nothing is kept, and nothing that was kept is used.
    assert scorer(data, paths).candidate.requires_grad
    score()
    scorer.train()
    assert score()[0] == 1
    scorer.eval()
    score()
    table = next(p for p in scorer.inputs.parameters() if p.dim() == 2)
    with torch.no_grad():
        table.add_(1.0)
    times, second = score()
    assert times == 1
    assert not torch.equal(first, second)
    other = build(name, data, paths, seed=5, hidden=8)
    scorer.load_state_dict(other.state_dict())
    times, third = score()
    assert times == 1
    torch.testing.assert_close(third, score(other)[1])
    scorer.double().float()
    assert score()[0] == 1
    # The graph: other vectors, changed vectors, other edges.
    data["item"].x = data["item"].x.clone()
    assert score()[0] == 1
    data["item"].x[0] += 1
    times, fourth = score()
    assert times == 1
    torch.testing.assert_close(fourth, score(copy.deepcopy(scorer))[1])
    index = data["item", "followed_by", "item"].edge_index
    data["item", "followed_by", "item"].edge_index = index[:, :1].clone()
    data["item", "followed_by", "item"].weight = torch.ones(1)
    assert score()[0] == 1
    assert score()[0] == 0
    scorer.extend({t: int(data[t].num_nodes) for t in data.node_types})
    assert score()[0] == 1


@pytest.mark.parametrize("name", ALL)
def test_inference_mode_and_pickles(name):
    data = toy_kg()
    paths = toy_paths(data=data)
    scorer = build(name, data, paths)
    with torch.no_grad():
        first = scorer(data, paths)
    with torch.inference_mode():
        second = scorer(data, paths)
        loaded = pickle.loads(pickle.dumps(scorer))(data, paths)
    assert torch.equal(first.candidate, second.candidate)
    assert torch.equal(first.candidate, loaded.candidate)
    # What inference mode kept must not stand in the way of training.
    scorer.train()(data, paths).candidate.sum().backward()


def grown(data):
    """A copy of the graph with an eleventh film and a ninth user, who rated it."""
    more = copy.copy(data)
    for node_type in ("item", "user"):
        store = data[node_type]
        more[node_type].num_nodes = int(store.num_nodes) + 1
        more[node_type].name = [*store.name, "new"]
    if "x" in data["item"]:
        more["item"].x = torch.cat([data["item"].x, torch.full((1, 6), 2.0)])
    for edge_type in data.edge_types:
        if edge_type == ("item", "has_genre", "genre"):
            index = data[edge_type].edge_index
            more[edge_type].edge_index = torch.cat([index, torch.tensor([[10], [0]])], 1)
    return more


@pytest.mark.parametrize("name", ALL)
@pytest.mark.parametrize("vectors", [False, True])
def test_new_nodes(name, vectors):
    data = with_vectors(toy_kg()) if vectors else toy_kg()
    paths = toy_paths(data=data)
    scorer = build(name, data, paths)
    more = grown(data)
    numbers = {t: int(more[t].num_nodes) for t in more.node_types}
    before = {n: v.clone() for n, v in scorer.state_dict().items()}
    scorer.extend(numbers)
    fresh = build_scorer(ScorerConfig(name=name), more, paths.metapaths)
    assert {n: v.shape for n, v in fresh.state_dict().items()} == {
        n: v.shape for n, v in scorer.state_dict().items()
    }
    for key, value in scorer.state_dict().items():
        assert torch.equal(value[: len(before[key])] if value.dim() else value, before[key])
    asked = queries([[0, 3]], [[10, 4]])
    found = graph_paths(more, PathsConfig())(asked)
    with torch.no_grad():
        out = as_path_scores(scorer(more, found), found)
    assert out.candidate.isfinite().all()


def test_a_table_without_rows_grows():
    data = small_graph(2, [(0, 1)])
    data["maker"].num_nodes = 0
    data["item", "made_by", "maker"].edge_index = torch.zeros(2, 0, dtype=torch.int64)
    data["maker", "rev_made_by", "item"].edge_index = torch.zeros(2, 0, dtype=torch.int64)
    paths = graph_paths(data, PathsConfig())(queries([[0]], [[1]]))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        scorer = build("graphsage", data, paths)
    scorer.extend({"item": 2, "maker": 3})
    assert all(p.isfinite().all() for p in scorer.parameters())


def test_a_graph_without_the_vectors_of_training_is_refused():
    data = with_vectors(toy_kg())
    paths = toy_paths(data=data)
    scorer = build("graphsage", data, paths)
    assert "item" not in scorer.inputs.tables
    for x in (None, torch.ones(10, 3)):
        other = toy_kg()
        if x is not None:
            other["item"].x = x
        with pytest.raises(
            ConfigError, match=r"width 6 of 'item'.*set text\.encoder as in training"
        ):
            scorer(other, paths)


def test_standardised_columns():
    x = torch.tensor([[1.0, 2.0], [3.0, 2.0], [0.0, 0.0]])
    out = standardised_columns(x) * math.sqrt(2)
    torch.testing.assert_close(out, torch.tensor([[-1.0, 0.0], [1.0, 0.0], [0.0, 0.0]]))
    assert (standardised_columns(torch.zeros(2, 3)) == 0).all()


def test_the_heaviest_edges_pass_messages():
    data = small_graph(5, [(0, 4), (1, 4), (2, 4), (3, 4), (4, 0)])
    data["item", "near", "item"].weight = torch.tensor([0.2, 0.6, 0.4, 0.1, 0.5])
    found = find_messages(data, ("item", "near", "item"), 2)
    assert sorted(map(tuple, found.index.T.tolist())) == [(1, 4), (2, 4), (4, 0)]
    dense = found.adjacency.to_dense()
    torch.testing.assert_close(dense[4], torch.tensor([0.0, 0.6, 0.4, 0.0, 0.0]))
    torch.testing.assert_close(dense[0], torch.tensor([0.0, 0.0, 0.0, 0.0, 1.0]))
    assert (dense[1:4] == 0).all()


def test_of_equal_edges_the_latest_and_the_lowest_source_pass_messages():
    data = small_graph(4)
    data["user"].num_nodes = 3
    store = data["user", "rated", "item"]
    store.edge_index = torch.tensor([[0, 1, 2, 2, 1], [0, 0, 0, 1, 1]])
    store.time = torch.tensor([5.0, 9.0, 7.0, math.nan, math.nan])
    found = find_messages(data, ("user", "rated", "item"), 1)
    assert sorted(map(tuple, found.index.T.tolist())) == [(1, 0), (1, 1)]


def test_attributes_of_a_single_item_pass_no_messages():
    data = small_graph(3)
    data["actor"].num_nodes = 2
    data["item", "starring", "actor"].edge_index = torch.tensor([[0, 1, 2], [0, 0, 1]])
    found = find_messages(data, ("item", "starring", "actor"), 9)
    assert sorted(map(tuple, found.index.T.tolist())) == [(0, 0), (1, 0)]


def test_layers_compute_what_later_ones_need():
    edges = [("a", "r", "item"), ("b", "r", "a"), ("c", "r", "b"), ("item", "s", "item")]
    first, second = plan_layers(edges, ["item"], 2)
    assert second.edges == [edges[0], edges[3]]
    assert second.targets == ["item"]
    assert first.edges == [edges[0], edges[1], edges[3]]
    assert first.targets == ["item", "a"]
    assert first.types == ["item", "a", "b"]


def test_lightgcn_is_the_mean_of_smoothed_vectors():
    data = small_graph(3, [(0, 1), (1, 0), (1, 2), (2, 1)])
    paths = graph_paths(data, PathsConfig())(queries([[0]], [[1]]))
    scorer = build("lightgcn", data, paths, layers=2, hidden=4, counts=False)
    adjacency = torch.tensor([[0, 1, 0], [1, 0, 1], [0, 1, 0]], dtype=torch.float32)
    degree = adjacency.sum(1)
    smooth = adjacency / (degree[:, None] * degree).sqrt()
    x = scorer.inputs.tables["item"].weight
    mean = (x + smooth @ x + smooth @ smooth @ x) / 3
    torch.testing.assert_close(scorer.embed(data)["item"], scorer.norm(mean))


def test_rgcn_is_pygs_layer():
    data = toy_kg()
    paths = toy_paths(data=data)
    scorer = build("rgcn", data, paths, layers=1, hidden=8, neighbours=1000)
    plan, conv = scorer.plans[0], scorer.convs[0]
    messages = scorer.find_messages(data)
    # PyG's own pass over one graph of all nodes, with equal weights.
    for edge_type, found in messages.items():
        count = torch.bincount(found.index[1], minlength=found.adjacency.shape[0])
        values = (1.0 / count[count > 0]).repeat_interleave(count[count > 0])
        equal = torch.sparse_csr_tensor(
            found.adjacency.crow_indices(),
            found.adjacency.col_indices(),
            values,
            found.adjacency.shape,
        )
        messages[edge_type] = replace(found, adjacency=equal)
    x = scorer.inputs(data)
    start, total = {}, 0
    for node_type in plan.types:
        start[node_type], total = total, total + len(x[node_type])
    index = [messages[e].index + torch.tensor([[start[e[0]]], [start[e[2]]]]) for e in plan.edges]
    kind = [torch.full((i.shape[1],), number) for number, i in enumerate(index)]
    stacked = torch.cat([x[t] for t in plan.types])
    expected = RGCNConv.forward(conv, stacked, torch.cat(index, 1), torch.cat(kind))
    found = conv.convolve(x, plan, messages)
    for node_type in plan.targets:
        part = expected[start[node_type] :][: len(x[node_type])]
        torch.testing.assert_close(found[node_type], part, rtol=1e-4, atol=1e-5)


def test_kgat_attends_by_relation():
    torch.manual_seed(0)
    conv = KGATConv(2, 4)
    z = torch.randn(3, 4)
    index, kind = torch.tensor([[0, 1, 2], [2, 2, 2]]), torch.tensor([0, 1, 1])
    a = conv.attention
    logits = [
        (
            a.att[0, 0]
            * torch.nn.functional.leaky_relu(a.lin_l(z[j]) + a.lin_r(z[2]) + conv.relation[r], 0.2)
        ).sum()
        for j, r in zip(index[0], kind, strict=True)
    ]
    share = torch.stack(logits).softmax(0)
    heard = (share[:, None] * a.lin_l(z[index[0]])).sum(0)
    out = torch.nn.functional.leaky_relu(conv.sum(z[2] + heard))
    out = out + torch.nn.functional.leaky_relu(conv.product(z[2] * heard))
    torch.testing.assert_close(conv((z, z), index, kind)[2], out)


def test_nbfnet_sums_products_over_paths_as_bellman_ford_does():
    """Edge by edge, with sums where paths meet: the same as path by path."""
    data = toy_kg(
        KGConfig(behaviour=False, relations=["starring", "directed_by"], similar_titles=0)
    )
    paths = graph_paths(data, PathsConfig())(queries([[0, 2, 5]], [[3, 1, 8, 6]]))
    scorer = build("nbfnet", data, paths, hidden=3, dropout=0.0)
    with torch.no_grad():
        # What does not split by edges, as the path's weight, does not count here.
        scorer.boundary.weight.zero_()
        factor = scorer.factor.bias.view(-1, 3)
        scorer.factor.weight.zero_()
        energy = scorer._products(
            torch.zeros(1, 3),
            (k := scorer.kinds_of(paths.metapaths, torch.device("cpu"))).member
            * (k.edges + 1)[:, None],
            paths,
        )
    row = {e: n for n, e in enumerate(scorer.kinds_of._relations)}
    reached = {}
    for p in range(len(paths)):
        metapath = paths.metapaths[paths.metapath[p]]
        node = int(paths.nodes[p, 1])
        reached.setdefault((metapath[0], metapath[1], node), {})[int(paths.nodes[p, 0])] = 1.0
    for slot in paths.slot.unique().tolist():
        mine = torch.where(paths.slot == slot)[0]
        found = energy[mine].exp().sum(0)
        inner = {
            (paths.metapaths[paths.metapath[p]], int(paths.nodes[p, 1])) for p in mine.tolist()
        }
        # One message of each inner node: the sum of what it heard, times the last edge's factor.
        expected = sum(
            len(
                [
                    s
                    for s in reached[m[0], m[1], v]
                    if any(
                        int(paths.nodes[p, 0]) == s and int(paths.nodes[p, 1]) == v
                        for p in mine.tolist()
                    )
                ]
            )
            * factor[row[m[0]]].exp()
            * factor[row[m[1]]].exp()
            for m, v in inner
        )
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-5)
