"""An updated ranker: its counts equal a recount, what was learned stays, and old rankers stay whole."""

import copy
import json
import os
import pickle
import shutil
import signal
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.processes import run

from lkgrag import Interactions, Ranker
from lkgrag.config import KGConfig
from lkgrag.data.growth_tables import as_tables
from lkgrag.data.memory import content_digest
from lkgrag.errors import ConfigError, DataError, LkgragError, RunError
from lkgrag.kg import Training, build_kg, relation_sources
from lkgrag.retrieval import EASERetriever, GraphRetriever, ItemItemRetriever, PopularityRetriever
from lkgrag.retrieval.graph import relation_factors
from lkgrag.scorer import REGISTERED, PathScorer
from lkgrag.serving.saved_run import find_ranker
from lkgrag.serving.update_files import update_files
from lkgrag.serving.updating import extend_scorer
from lkgrag.utils.folders import exchange, replaced_folder, restore_folder
from lkgrag.utils.locks import locked

pytestmark = pytest.mark.slow


def new_data(known, seed=0):
    """New interactions of known and new users with known and new items, and the metadata of the new items."""
    rng = np.random.default_rng(seed)
    items = [*known.item_ids, "new a", "new b", "new c"]
    rows = []
    for user in [*known.user_ids[::3], "nobody", "someone"]:
        for step, item in enumerate(rng.choice(len(items), 4, replace=False).tolist()):
            rows.append((user, items[item], 4.0, 5e9 / 3 + step))
    rows += [("someone", "new a", 4.0, 5e9 / 3 + 9), ("nobody", "new b", 4.0, 5e9 / 3 + 9)]
    events = pd.DataFrame(rows, columns=["user", "item", "rating", "time"])
    metadata = pd.DataFrame(
        {
            "item": ["new a", "new b", "new c", "cold"],
            "title": ["Thing new", "Thing 3 again", None, "Thing cold"],
            "maker": [["Maker_3"], ["Maker_new"], [], ["Maker_3"]],
        }
    )
    return events, metadata


@pytest.fixture(scope="module")
def stale(run_without_lm):
    return Ranker.from_pretrained(run_without_lm)


@pytest.fixture(scope="module")
def updated(stale):
    events, items = new_data(stale.context.known.read())
    return copy.deepcopy(stale).update(events, items)


@pytest.fixture(scope="module")
def whole(stale, updated):
    """All data, read at once, and with the updated ranker's order of users and items."""
    known = as_tables(stale.context.known.read())
    events, items = new_data(stale.context.known.read())
    config = replace(stale.context.config.data, min_user=1, min_item=1)
    both = pd.concat([known.interactions, events], ignore_index=True)
    metadata = pd.concat([known.items, items], ignore_index=True)
    at_once = Interactions.from_tables(
        replace(known, interactions=both, items=metadata, links=None), config
    )
    grown = updated.context.known.read()
    assert set(grown.item_ids) == {*at_once.item_ids, "cold"}
    for user, name in enumerate(grown.user_ids):
        mine = [grown.item_ids[i] for i in grown.sequence(user)]
        theirs = at_once.sequence(at_once.user_ids.index(name))
        assert mine == [at_once.item_ids[i] for i in theirs]
    return grown


def equal(a, b):
    assert a.shape == b.shape
    assert (a != b).nnz == 0


def test_counts_of_every_system_equal_a_recount(updated, whole):
    systems = updated.context.retriever.systems
    data = build_kg(whole, np.diff(whole.indptr), updated.context.config.kg)
    popularity = PopularityRetriever.fit(whole)
    np.testing.assert_array_equal(systems["popularity"].count, popularity.count)
    decay = systems["itemitem"].decay
    equal(systems["itemitem"].weight, ItemItemRetriever.fit(whole, decay=decay).weight)
    np.testing.assert_array_equal(systems["ease"].weight, EASERetriever.fit(whole).weight)
    graph = GraphRetriever.fit(whole, data, decay=decay)
    mine = systems["graph_itemitem"]
    equal(mine.itemitem.weight, graph.itemitem.weight)
    assert mine.components == graph.components
    histories = [whole.sequence(u) for u in range(10)]
    features, recount = mine.features(histories), graph.features(histories)
    for name in mine.components:
        np.testing.assert_allclose(features[name], recount[name], rtol=1e-5, atol=1e-5)


def test_every_relation_equals_a_recount(stale, updated, whole):
    """Each behaviour relation is counted by plainer means, and all relations by a graph from the beginning."""
    config, data = updated.context.config.kg, updated.context.data
    training = Training.of(whole, np.diff(whole.indptr))
    sequences = [whole.sequence(u).tolist() for u in range(whole.num_users)]
    for name, source in relation_sources().items():
        if source.edge_type not in data.edge_types:
            continue
        edges, store = source.edges(training, config), data[source.edge_type]
        order = np.lexsort((edges.index[1], edges.index[0]))
        np.testing.assert_array_equal(store.edge_index.numpy(), edges.index[:, order])
        for attribute, values in edges.attributes.items():
            np.testing.assert_array_equal(store[attribute].numpy(), values[order])
        pairs = list(zip(*edges.index.tolist(), strict=True))
        counts = source.recount(sequences, pairs, config)
        if counts is not None and edges.count is not None:
            assert [counts[p] for p in pairs] == edges.count.tolist(), name
    fresh = build_kg(whole, np.diff(whole.indptr), config)
    assert data.edge_types == fresh.edge_types == stale.context.data.edge_types
    for edge_type in data.edge_types:
        assert named(data, edge_type) == named(fresh, edge_type)
    factors, again = relation_factors(data), relation_factors(fresh)
    assert list(factors) == list(again)


def named(data, edge_type):
    start, end = data[edge_type].edge_index.tolist()
    names = data[edge_type[0]].name, data[edge_type[2]].name
    return sorted((names[0][a], names[1][b]) for a, b in zip(start, end, strict=True))


def test_known_users_items_and_values_keep_their_places(stale, updated):
    before, after = stale.context, updated.context
    assert after.catalogue.ids[: len(before.catalogue)] == before.catalogue.ids
    assert list(after.users)[: len(before.users)] == list(before.users)
    for node_type in before.data.node_types:
        old = list(before.data[node_type].name)
        assert list(after.data[node_type].name)[: len(old)] == old
    assert after.catalogue.titles[-1] == "Thing cold"
    assert "Maker_new" in list(after.data["maker"].name)


def test_what_was_learned_stays(stale, updated):
    for name, value in stale.scorer.state_dict().items():
        torch.testing.assert_close(updated.scorer.state_dict()[name], value, rtol=0, atol=0)
    assert updated.fusion.weights == stale.fusion.weights
    before, after = stale.context.retriever, updated.context.retriever
    assert after.corners.to_dict() == before.corners.to_dict()
    assert after.systems["graph_itemitem"].weights == before.systems["graph_itemitem"].weights
    old, new = before.systems["lrurec"].model, after.systems["lrurec"].model
    known = old.num_items
    for name, value in old.state_dict().items():
        mine = new.state_dict()[name]
        if name in ("bias", "embedding.weight"):
            mine = mine[:known]
            value = value[:known]
        torch.testing.assert_close(mine, value, rtol=0, atol=0)
    assert not new.embedding.weight[-1].any()
    text = after.systems["text"]
    for name, value in before.systems["text"].towers.state_dict().items():
        torch.testing.assert_close(text.towers.state_dict()[name], value, rtol=0, atol=0)
    assert text.words.terms == before.systems["text"].words.terms
    requests = updated.context.requests
    assert requests.weights == stale.context.requests.weights
    assert requests.in_ranking == stale.context.requests.in_ranking


def test_a_new_item_has_the_mean_of_its_neighbours_in_lrurec(stale, updated):
    old = stale.context.retriever.systems["lrurec"].model.embedding.weight[:-1].detach().numpy()
    new = updated.context.retriever.systems["lrurec"].model.embedding.weight.detach().numpy()
    x = updated.context.known.read()
    item = x.item_ids.index("new a")
    around = [i for u in range(x.num_users) for i in x.sequence(u) if item in x.sequence(u)]
    near = old[[i for i in around if i < len(old)]]
    mean = old.mean(0)
    cosine = (new[item] - mean) @ (near.mean(0) - mean)
    cosine /= np.linalg.norm(new[item] - mean) * np.linalg.norm(near.mean(0) - mean)
    assert cosine > 0.7
    # An item that nobody has chosen has the mean of those of its maker and of like titles.
    cold = x.item_ids.index("cold")
    assert np.isfinite(new[cold]).all()
    assert not np.allclose(new[cold], mean)


def test_new_users_and_new_items_are_ranked_and_explained(updated):
    (found,) = updated.recommend_users(["someone"], k=10)
    assert found.history[-1] == ("new a", "Thing new")
    assert "new a" not in [item.item for item in found.items]
    for item in ("new a", "new b", "new c", "cold"):
        (one,) = updated.recommend(["i3"], candidates=[item], k=1).items
        assert np.isfinite(one.score)
    assert updated.recommend(["Thing new"], k=3).history == [("new a", "Thing new")]
    assert updated.recommend([], request="thing cold", weight=100, k=1).items[0].item == "cold"
    paths = updated.recommend(["i3"], candidates=["cold", "new b"], k=2).items
    assert any(item.paths for item in paths)
    where = {"maker": "Maker_new"}
    assert [i.item for i in updated.recommend([], k=1, where=where).items] == ["new b"]


def test_an_update_is_saved_loaded_and_updated_again(stale, updated, tmp_path):
    updated.save_pretrained(tmp_path / "ranker")
    loaded = Ranker.from_pretrained(tmp_path / "ranker")
    users = ["someone", "u3"]
    assert loaded.recommend_users(users, k=5) == updated.recommend_users(users, k=5)
    assert loaded.context.updates == updated.context.updates
    assert len(loaded.context.updates) == 1
    events, items = new_data(stale.context.known.read())
    again = copy.deepcopy(loaded).update(events, items)
    assert again.context.updates[-1]["known"] > 0
    assert again.context.updates[-1]["users"] == again.context.updates[-1]["items"] == 0
    assert content_digest(again.context.known.read()) == content_digest(
        updated.context.known.read()
    )
    assert again.recommend_users(users, k=5) == updated.recommend_users(users, k=5)


def test_what_is_known_may_be_given_as_interactions(stale, updated):
    found = copy.deepcopy(stale).update(updated.context.known.read())
    assert found.users() == updated.users()
    histories = [content_digest(r.context.known.read()) for r in (found, updated)]
    assert histories[0] == histories[1]


def test_a_failed_update_leaves_the_ranker_as_it_was(stale):
    ranker = copy.deepcopy(stale)
    before = ranker.recommend_users(["u1"], k=5)
    for wrong in (
        {"interactions": pd.DataFrame({"user": ["u1"]})},
        {"interactions": None},
        {"interactions": pd.DataFrame({"user": ["u1"], "item": ["i1"], "time": ["soon"]})},
        {"interactions": 3},
    ):
        with pytest.raises(DataError):
            ranker.update(**wrong)
    assert ranker.context is not None
    assert ranker.recommend_users(["u1"], k=5) == before
    with pytest.raises(RunError, match="older version, which kept no data"):
        Ranker(ranker.model, replace(ranker.context, known=None)).update(
            new_data(stale.context.known.read())[0]
        )


class Tabled(PathScorer):
    """A scorer with a row for each user, which does not know what to do with new ones."""

    def __init__(self, metadata, num_nodes, metapaths):
        super().__init__(metadata, num_nodes, metapaths)
        self.table = torch.nn.Embedding(num_nodes["user"], 2)

    def forward(self, data, paths):
        return paths.weight


class Extended(Tabled):
    def extend(self, num_nodes):
        super().extend(num_nodes)
        table = torch.nn.Embedding(num_nodes["user"], 2)
        table.weight.data[: len(self.table.weight)] = self.table.weight.data
        self.table = table


@pytest.mark.parametrize("name", sorted(REGISTERED))
def test_scorers_of_this_package_can_be_extended(stale, updated, name):
    config = replace(stale.context.config.scorer, name=name, kwargs={})
    context = replace(stale.context, config=replace(stale.context.config, scorer=config))
    from lkgrag.scorer.resolver import new_scorer

    old = new_scorer(config, "metapaths", context.graph, 1)
    new = extend_scorer(old, context, updated.context.graph)
    if name in ("published", "reference"):
        assert len(new.user.weight) == len(updated.context.users)
        torch.testing.assert_close(new.user.weight.mean(0), old.user.weight.mean(0))
    for key, value in old.state_dict().items():
        torch.testing.assert_close(
            new.state_dict()[key][: len(value)] if value.dim() else new.state_dict()[key], value
        )


def test_a_scorer_with_a_table_needs_to_extend_it(stale, updated):
    def of(cls):
        config = replace(stale.context.config.scorer, name=f"{__name__}:{cls.__name__}", kwargs={})
        context = replace(stale.context, config=replace(stale.context.config, scorer=config))
        graph = stale.context.graph
        nodes = {t: graph.data[t].num_nodes for t in graph.data.node_types}
        return cls(graph.data.metadata(), nodes, graph.metapaths), context

    with pytest.raises(
        ConfigError, match=r"Tabled: 'table\.weight' has the shape .* method extend"
    ):
        extend_scorer(*of(Tabled), updated.context.graph)
    found = extend_scorer(*of(Extended), updated.context.graph)
    assert len(found.table.weight) == len(updated.context.users)


def test_copies_and_pickles_rank_the_same(stale, run_without_lm, tmp_path):
    shutil.copytree(run_without_lm / "ranker", tmp_path / "ranker")
    ranker = Ranker.from_pretrained(tmp_path / "ranker")
    users, history = ["u1", "u2"], ["i3", "i4"]
    expected = ranker.recommend_users(users, k=5), ranker.recommend(history, k=5)
    dumped = pickle.dumps(ranker)
    copied = copy.deepcopy(ranker)
    # Nothing of them depends on the folder, which may be on another machine.
    shutil.rmtree(tmp_path / "ranker")
    read = pickle.loads(dumped)
    for other in (copied, read):
        assert (other.recommend_users(users, k=5), other.recommend(history, k=5)) == expected
    events, items = new_data(read.context.known.read())
    assert read.update(events, items).users()[-2:] == ["nobody", "someone"]
    assert ranker.users() == stale.users()


def test_a_ranker_with_a_language_model_is_copied_pickled_and_updated(small_run):
    _, options = small_run
    ranker = Ranker.from_pretrained(options["out"], lm="always")
    expected = ranker.recommend(["i3", "i4"], k=5)
    for other in (copy.deepcopy(ranker), pickle.loads(pickle.dumps(ranker))):
        assert other.recommend(["i3", "i4"], k=5) == expected
    events, items = new_data(ranker.context.known.read())
    other.update(events, items)
    tables, mine = ranker.prompter.tables(), other.prompter.tables()
    assert all(torch.equal(tables[name], mine[name]) for name in tables)
    (item,) = other.recommend(["i3"], candidates=["new a"], k=1).items
    assert np.isfinite(item.lm)
    assert ranker.recommend(["i3", "i4"], k=5) == expected


def write_new(root, known):
    """New files beside those of the run: the names of RecBole."""
    root.mkdir()
    events, items = new_data(known)
    events.columns = ["user_id:token", "item_id:token", "rating:float", "timestamp:float"]
    events.to_csv(root / "shop.inter", sep="\t", index=False)
    items["maker"] = [" ".join(row) for row in items["maker"]]
    items.columns = ["item_id:token", "title:token_seq", "maker:token_seq"]
    items.to_csv(root / "shop.item", sep="\t", index=False)


def test_the_command_updates_a_run_and_writes_elsewhere(stale, updated, small_run, tmp_path):
    """The files of a language model are copied, and none is loaded."""
    _, options = small_run
    shutil.copytree(options["out"], tmp_path / "run")
    write_new(
        tmp_path / "new", Ranker.from_pretrained(tmp_path / "run", lm="never").context.known.read()
    )
    args = [f"run={tmp_path / 'run'}", f"data.root={tmp_path / 'new'}"]
    done = run("lkgrag.update", *args, f"out={tmp_path / 'other'}")
    assert done.returncode == 0, done.stderr
    assert "2 new users" in done.stdout
    assert "(1 without an interaction)" in done.stdout
    assert not Ranker.from_pretrained(tmp_path / "run", lm="never").context.updates
    elsewhere = Ranker.from_pretrained(tmp_path / "other", lm="always")
    assert elsewhere.users()[-2:] == ["nobody", "someone"]
    done = run("lkgrag.update", *args, "unchosen=false")
    assert done.returncode == 0, done.stderr
    here = Ranker.from_pretrained(tmp_path / "run", lm="always")
    assert "cold" not in here.context.catalogue.ids
    assert sorted(p.name for p in (tmp_path / "run").iterdir() if "ranker" in p.name) == ["ranker"]
    ranked = run(
        "lkgrag.recommend", f"run={tmp_path / 'other'}", "users=someone", "k=3", "format=json"
    )
    assert json.loads(ranked.stdout)[0]["user"] == "someone"
    # A ranker alone is updated in its place, too.
    alone = shutil.move(tmp_path / "other" / "ranker", tmp_path / "alone")
    assert run("lkgrag.update", f"run={alone}", args[1]).returncode == 0
    assert len(Ranker.from_pretrained(alone, lm="never").context.updates) == 2
    refused = run("lkgrag.evaluate", f"run={tmp_path / 'run'}")
    assert refused.returncode == 2
    assert "was updated and has seen what tests it" in refused.stderr


@pytest.mark.parametrize(
    ("args", "message"),
    [
        ([], "option 'data.root' is missing"),
        (["data.root=gone"], "no such folder"),
        (["data.root=.", "data.split=time"], "unknown option 'data.split'"),
        (["data.root=.", "data.min_item=0"], "data.min_item"),
        (["data.root=.", "unchosen=perhaps"], "option 'unchosen'"),
    ],
)
def test_wrong_options_are_one_line(run_without_lm, args, message, tmp_path):
    done = run("lkgrag.update", f"run={run_without_lm}", *args)
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


#: Runs lkgrag.update and kills it before its n-th change of a name, or inside a write.
KILLER = """
import os, runpy, signal, sys
import lkgrag.utils.folders as folders
number, way, seen = int(sys.argv.pop(1)), sys.argv.pop(1), 0
rename = os.replace
def killed(source, target):
    global seen
    seen += 1
    if seen == number:
        if way == "write" and str(source).endswith(".tmp"):
            os.truncate(source, os.path.getsize(source) // 2)
        os.kill(os.getpid(), signal.SIGKILL)
    return rename(source, target)
os.replace = killed
if way == "swap":
    # A system that cannot exchange names: between the two renames there is no ranker.
    folders.exchange = lambda one, other: False
    seen = -10**6
    def one_by_one(source, target):
        rename(source, target)
        if str(target).endswith(".old"):
            os.kill(os.getpid(), signal.SIGKILL)
    os.replace = one_by_one
sys.argv[0] = "lkgrag.update"
runpy.run_module("lkgrag.update", run_name="__main__")
"""


@pytest.mark.parametrize(
    ("number", "way"), [(1, "write"), (5, "write"), (14, "write"), (0, "swap")]
)
def test_a_killed_update_leaves_the_old_ranker_whole(run_without_lm, stale, tmp_path, number, way):
    folder = tmp_path / "run"
    shutil.copytree(run_without_lm, folder)
    write_new(tmp_path / "new", stale.context.known.read())
    args = [f"run={folder}", f"data.root={tmp_path / 'new'}"]
    done = run(KILLER, number, way, *args)
    assert done.returncode == -signal.SIGKILL, done.stderr
    ranker = Ranker.from_pretrained(folder)
    assert ranker.context.updates == ()
    assert ranker.recommend_users(["u1"], k=5) == stale.recommend_users(["u1"], k=5)
    done = run("lkgrag.update", *args)
    assert done.returncode == 0, done.stderr
    assert Ranker.from_pretrained(folder).users()[-1] == "someone"
    left = [p for p in folder.rglob(".*") if p.name.endswith((".tmp", ".part", ".old"))]
    assert left == []


def test_of_an_update_that_fails_nothing_is_left(run_without_lm, stale, tmp_path):
    folder, new = tmp_path / "run", tmp_path / "new"
    shutil.copytree(run_without_lm, folder)
    write_new(new, stale.context.known.read())
    config = replace(stale.context.config.data, root=str(new), min_user=1, min_item=1)
    with locked(folder / ".ranker.lock", wait=False), pytest.raises(RunError, match="is in use"):
        update_files(folder / "ranker", config)
    (folder / ".ranker.lock").unlink()
    shutil.rmtree(folder / "ranker" / "data")
    (folder / "ranker" / "done.json").unlink()
    before = sorted(folder.rglob("*"))
    for out in (None, str(tmp_path / "out")):
        with pytest.raises(RunError, match="older version, which kept no data"):
            update_files(folder / "ranker", config, out)
    assert sorted(folder.rglob("*")) == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["new", "run"]
    (tmp_path / "file").write_text("x")
    (tmp_path / "full" / "ranker").mkdir(parents=True)
    (tmp_path / "full" / "ranker" / "mine").write_text("x")
    for out, message in (("file", "a file; name a folder"), ("full", "holds mine and no ranker")):
        with pytest.raises(RunError, match=message):
            update_files(folder / "ranker", config, str(tmp_path / out))


def test_a_folder_is_replaced_as_a_whole(tmp_path):
    folder = tmp_path / "folder"
    for text in ("one", "two"):
        with replaced_folder(folder) as part:
            (part / "file").write_text(text)
        assert (folder / "file").read_text() == text

    def fail():
        with replaced_folder(folder) as part:
            (part / "file").write_text("three")
            raise LkgragError("no")

    with pytest.raises(LkgragError):
        fail()
    assert (folder / "file").read_text() == "two"
    assert os.listdir(tmp_path) == ["folder"]
    other = tmp_path / "other"
    other.mkdir()
    if exchange(folder, other):
        assert (other / "file").read_text() == "two"
        exchange(folder, other)
    os.replace(folder, tmp_path / ".folder.old")
    restore_folder(folder)
    assert (folder / "file").read_text() == "two"
    assert find_ranker(folder) == folder


def test_a_relation_that_the_ranker_does_not_know_is_left_out_of_its_graph():
    from lkgrag.kg.growth import grow_kg
    from lkgrag.testing import planted

    x = planted(20, 10)
    plain = replace(x, items=x.items[["title"]])
    before = build_kg(plain, np.diff(x.indptr), KGConfig())
    data, told = grow_kg(before, x, KGConfig())
    assert data.metadata() == before.metadata()
    assert "has_maker" in told[0]
    with pytest.raises(DataError, match="turn the relation 'has_maker'"):
        grow_kg(build_kg(x, np.diff(x.indptr), KGConfig()), plain, KGConfig())
