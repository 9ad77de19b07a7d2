"""A ranker without histories: nobody is left in its files, and it ranks for raw histories as before."""

import copy
import json
import pickle
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
import yaml
from helpers.people import options, people
from safetensors.numpy import load_file

from lkgrag import Ranker
from lkgrag.config.loading import load_config
from lkgrag.errors import ConfigError, DataError, RunError
from lkgrag.kg.names import Names
from lkgrag.recommend import main as recommend
from lkgrag.retrieval import ItemItemRetriever
from lkgrag.run.pipeline import train
from lkgrag.scorer import PathScorer
from lkgrag.scorer.reference import ReferencePreference
from lkgrag.serving.withheld import _without_user_rows, forget_users
from lkgrag.utils.sums import find_damage, find_extra

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def crowd():
    return people()


@pytest.fixture(scope="module")
def run(crowd, tmp_path_factory):
    chosen = options(tmp_path_factory.mktemp("people"))
    return train(load_config(chosen), crowd[0])


@pytest.fixture(scope="module")
def whole(run):
    return Ranker.from_pretrained(run)


@pytest.fixture(scope="module")
def folder(whole, tmp_path_factory):
    out = tmp_path_factory.mktemp("shared") / "ranker"
    whole.save_pretrained(out, histories=False)
    return out


@pytest.fixture(scope="module")
def shared(folder):
    return Ranker.from_pretrained(folder)


def texts(value):
    """All texts within plain values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from texts(key)
            yield from texts(inner)
    elif isinstance(value, list | tuple | np.ndarray):
        for inner in value:
            yield from texts(inner)


def read_all(folder):
    """Each file of a folder with all that it says, and the arrays it holds."""
    for path in sorted(p for p in folder.rglob("*") if p.is_file()):
        if path.suffix == ".parquet":
            table = pd.read_parquet(path)
            yield path, list(texts(table.to_dict("list"))), {c: table[c].to_numpy() for c in table}
        elif path.suffix == ".safetensors":
            yield path, [], load_file(path)
        elif path.suffix == ".json":
            yield path, list(texts(json.loads(path.read_text()))), {}
        elif path.suffix == ".yaml":
            yield path, list(texts(yaml.safe_load(path.read_text()))), {}
        else:
            yield path, [path.read_text()], {}


def test_whole_folders_do_name_people(run, crowd):
    """The search below would find them."""
    found = {t for _, said, _ in read_all(run / "ranker") for t in said}
    assert crowd[1] <= found


def test_nobody_is_named_in_any_file(folder, crowd):
    for path, said, _ in read_all(folder):
        named = [t for t in said if any(secret in t for secret in crowd[1])]
        assert not named, (path, named[:3])


def test_no_array_holds_the_interactions(folder, crowd):
    x = crowd[0]
    times, number = set(x.time.tolist()), len(x.item)
    for path, _, arrays in read_all(folder):
        for name, values in arrays.items():
            if values.dtype.kind == "f":
                assert not times & set(values.ravel().tolist()), (path, name)
            if values.dtype.kind in "iu" and values.size == number:
                assert not np.array_equal(values.ravel(), x.item), (path, name)
    assert not (folder / "users.parquet").exists()
    assert sorted(p.name for p in (folder / "data").iterdir()) == ["data.json", "items.parquet"]


def test_the_graph_keeps_how_often_items_were_chosen_and_not_by_whom(whole, shared):
    before, after = whole.context.data, shared.context.data
    assert before.edge_types == after.edge_types
    assert before.node_types == after.node_types
    assert after["user"].num_nodes == 1
    rated = after["user", "rated", "item"]
    assert set(rated.edge_index[0].tolist()) == {0}
    assert rated.rating.isnan().all()
    assert rated.time.isnan().all()
    items = before["item"].num_nodes
    counts = [
        torch.bincount(data["user", "rated", "item"].edge_index[1], minlength=items)
        for data in (before, after)
    ]
    assert torch.equal(*counts)
    assert torch.equal(rated.edge_index[1], rated.edge_index[1].sort().values)
    assert set(after["town"].name) == {""}
    assert not [t for t in after.edge_types if "town" in t and after[t].num_edges]


def test_values_that_items_have_too_keep_their_names(whole):
    data = copy.deepcopy(whole.context.data)
    data["town"].name = Names([f"Town-{n}" for n in range(data["town"].num_nodes)])
    data["item", "made_in", "town"].edge_index = torch.tensor([[0], [3]])
    assert [n for n in forget_users(data)["town"].name if n] == ["Town-3"]


@pytest.mark.parametrize("history", [[0, 1, 2], [5], []])
def test_it_ranks_and_explains_raw_histories_as_before(whole, shared, crowd, history):
    chosen = [crowd[0].item_ids[i] for i in history]
    found = [r.recommend(chosen, k=8).to_dict() for r in (whole, shared)]
    assert found[0] == found[1]


def test_filters_and_requests_stay(whole, shared, crowd):
    maker = crowd[0].items["maker"][0][0]
    for options_ in ({"where": {"maker": maker}}, {"request": maker}):
        found = [r.recommend([], k=3, **options_).to_dict() for r in (whole, shared)]
        assert found[0] == found[1]


def test_items_that_were_dropped_are_still_told(whole, shared):
    assert shared.context.dropped.items == whole.context.dropped.items
    assert whole.context.dropped.users == {"person-once": 1}
    assert shared.context.dropped.users == {}


@pytest.mark.parametrize("users", [["person-001"], ["nobody"], []])
def test_users_are_refused_with_the_reason(shared, users):
    with pytest.raises(DataError, match=r"shared without its users' histories.*history="):
        shared.recommend_users(users)


def test_commands_for_users_are_refused_with_the_reason(run, folder, tmp_path, monkeypatch, capsys):
    place = tmp_path / "run"
    place.mkdir()
    (place / "ranker").symlink_to(folder)
    monkeypatch.chdir(tmp_path)
    for words in (["users=all"], ["users=all", "out=recs/"], ["users=person-001"]):
        for named in (place, folder):
            monkeypatch.setattr("sys.argv", ["recommend", f"run={named}", *words])
            assert recommend() == 2
            assert "shared without its users' histories" in capsys.readouterr().err
    assert not list(tmp_path.glob("recs/*.parquet"))


def test_the_command_ranks_with_a_saved_ranker(shared, folder, monkeypatch, capsys):
    history = shared.context.catalogue.ids[:2]
    words = [f"history=[{','.join(history)}]", "k=3", "format=json"]
    monkeypatch.setattr("sys.argv", ["recommend", f"run={folder}", *words])
    assert recommend() == 0
    (value,) = json.loads(capsys.readouterr().out)
    expected = shared.recommend(history, k=3)
    assert [item["item"] for item in value["items"]] == [item.item for item in expected.items]


def test_updates_are_refused_with_the_reason(shared):
    with pytest.raises(RunError, match="shared without its users' histories"):
        shared.update(pd.DataFrame({"user": ["a"], "item": ["b"], "time": [1.0]}))


def test_what_was_shared_is_shared_again_as_it_is(shared, folder, tmp_path):
    again = pickle.loads(pickle.dumps(shared))
    for ranker, name in ((shared, "one"), (again, "two"), (copy.deepcopy(shared), "three")):
        ranker.save_pretrained(tmp_path / name)
        names = [sorted(p.relative_to(f) for p in f.rglob("*")) for f in (folder, tmp_path / name)]
        assert names[0] == names[1]
        assert Ranker.from_pretrained(tmp_path / name).users() == []


def test_the_ranker_itself_stays_whole(whole, folder, crowd):
    assert len(whole.users()) == crowd[0].num_users
    assert whole.context.data["user"].num_nodes == crowd[0].num_users
    assert whole.recommend_users(["person-001"], k=2)[0].items


def test_files_have_sums_but_the_card_may_be_edited(folder, tmp_path, whole, caplog):
    whole.save_pretrained(tmp_path / "r", histories=False)
    (tmp_path / "r" / "README.md").write_text("mine")
    assert find_damage(tmp_path / "r") is None
    assert find_extra(tmp_path / "r") == ["README.md"]
    Ranker.from_pretrained(tmp_path / "r")
    assert "README" not in caplog.text


def test_no_folder_of_the_machine_is_named(folder, run):
    config = yaml.safe_load((folder / "config.yaml").read_text())
    assert (config["out"], config["data"]["root"]) == (None, None)
    for path, said, _ in read_all(folder):
        assert not [t for t in said if str(run.parent) in t], path


def test_a_table_of_users_becomes_their_mean(whole, shared):
    config = replace(
        whole.context.config, scorer=replace(whole.context.config.scorer, name="reference")
    )
    context = replace(whole.context, config=config)
    data = context.data
    number = {t: data[t].num_nodes for t in data.node_types}
    torch.manual_seed(3)
    scorer = ReferencePreference(data.metadata(), number, context.graph.metapaths)
    assert len(scorer.user.weight) == len(whole.users())
    found = _without_user_rows(scorer, context, shared.context.graph)
    assert torch.equal(found.user.weight, scorer.user.weight.mean(0, keepdim=True))
    assert torch.equal(found.preference.weight, scorer.preference.weight)


class Tied(PathScorer):
    """Its parameter depends on the number of users in a way that nothing can be taken out of."""

    def __init__(self, metadata, num_nodes, metapaths):
        super().__init__(metadata, num_nodes, metapaths)
        self.layer = torch.nn.Linear(num_nodes["user"] + 3, 2)

    def forward(self, data, paths):
        return paths.weight


def test_a_scorer_that_cannot_do_without_users_is_refused(whole, shared, monkeypatch):
    monkeypatch.setattr("lkgrag.serving.withheld.new_scorer", lambda *a: Tied([], {"user": 1}, []))
    with pytest.raises(
        ConfigError, match=r"Tied: 'layer.weight'.*graph without users.*histories=True"
    ):
        _without_user_rows(Tied([], {"user": 30}, []), whole.context, shared.context.graph)


class Neighbours(ItemItemRetriever):
    """May keep whole histories."""

    name = "neighbours"
    holds_histories = None


@pytest.mark.parametrize(("says", "words"), [(None, "may hold"), (True, "says that it holds")])
def test_a_custom_retriever_that_does_not_say_what_it_keeps_is_refused(
    whole, tmp_path, says, words, monkeypatch
):
    changed = copy.copy(whole)
    retriever = copy.copy(whole.context.retriever)
    system = copy.copy(retriever.systems["itemitem"])
    system.__class__ = Neighbours
    monkeypatch.setattr(Neighbours, "holds_histories", says)
    retriever.systems = {**retriever.systems, "neighbours": system}
    retriever.custom = {"neighbours": "shop.near:Neighbours"}
    changed.context = replace(whole.context, retriever=retriever)
    with pytest.raises(ConfigError, match=rf"shop.near:Neighbours.*{words} histories"):
        changed.save_pretrained(tmp_path / "r", histories=False)
    assert not (tmp_path / "r").exists()


def test_people_under_another_name_are_refused(whole, tmp_path):
    changed, data = copy.copy(whole), copy.deepcopy(whole.context.data)
    data["customer"].name = Names(whole.users())
    data["customer"].num_nodes = len(whole.users())
    data["item", "bought_by", "customer"].edge_index = torch.tensor([[0], [3]])
    graph = replace(whole.context.graph, data=data)
    changed.context = replace(whole.context, graph=graph)
    with pytest.raises(
        ConfigError, match=r"'customer' of the graph have the ids of 30 of 30 users"
    ):
        changed.save_pretrained(tmp_path / "r", histories=False)
