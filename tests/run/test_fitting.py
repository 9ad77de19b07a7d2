"""``lkgrag.fit``: from tables to a ranker."""

import copy
import os
import pickle
import tempfile
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

import lkgrag
from lkgrag import Interactions, Ranker
from lkgrag.config import DataConfig
from lkgrag.errors import ConfigError, DataError
from lkgrag.run import fitting
from lkgrag.run.fitting import collect_options, fit
from lkgrag.testing import planted

SMALL = {
    "data": {"min_user": 1, "min_item": 1},
    "retrieval.epochs": 2,
    "retrieval": {"k": 8, "hidden": 16},
    "scorer.pretrain_epochs": 1,
    "evaluation.explain": 0,
    "threads": 1,
}


def tables():
    x = planted(num_users=60, num_items=40, seed=3)
    events = {
        "user": [x.user_ids[u] for u in x.user],
        "item": [x.item_ids[i] for i in x.item],
        "rating": x.rating,
        "time": x.time,
    }
    items = {"item": x.item_ids, "title": x.titles, "maker": [m[0] for m in x.items["maker"]]}
    return pd.DataFrame(events), pd.DataFrame(items)


@pytest.fixture(scope="module")
def temporary(tmp_path_factory):
    """An empty folder for temporary files."""
    root = tmp_path_factory.mktemp("temporary")
    before, tempfile.tempdir = tempfile.tempdir, str(root)
    yield root
    tempfile.tempdir = before


@pytest.fixture(scope="module")
def fitted(temporary, tmp_path_factory):
    """A ranker of tables in memory, fitted in an empty folder."""
    here, empty = Path.cwd(), tmp_path_factory.mktemp("empty")
    os.chdir(empty)
    try:
        ranker = fit(*tables(), options=SMALL, seed=1)
    finally:
        os.chdir(here)
    assert list(empty.iterdir()) == []
    return ranker


@pytest.mark.slow
def test_nothing_is_left_and_the_ranker_needs_no_file(fitted, temporary, tmp_path):
    assert list(temporary.iterdir()) == []
    users = fitted.users()
    assert len(users) == 60
    found = fitted.recommend_users(users[:4], k=3)
    assert all(item.title.startswith("Thing") for item in found[0].items)
    for other in (copy.deepcopy(fitted), pickle.loads(pickle.dumps(fitted))):
        assert other.recommend_users(users[:4], k=3) == found
        assert other.metrics == fitted.metrics
    fitted.save_pretrained(tmp_path / "saved")
    saved = Ranker.from_pretrained(tmp_path / "saved")
    assert saved.recommend_users(users[:4], k=3) == found
    assert saved.metrics is None
    updated = copy.deepcopy(fitted).update({"user": ["new"], "item": ["i3"]})
    assert updated.users()[-1] == "new"


@pytest.mark.slow
def test_metrics_and_repr(fitted):
    assert 0 < fitted.metrics["ranker"]["test"]["all"]["ndcg@10"] <= 1
    assert fitted.metrics["seed"] == 1
    assert fitted.metrics["llm"] == "none"
    assert fitted.with_serving("never").metrics is fitted.metrics
    text = repr(fitted)
    assert text.startswith("Ranker(memory: 60 users, 40 items, scorer=MetapathAttention, llm=none")


@pytest.mark.slow
def test_it_is_the_command_with_the_quick_preset(fitted, tmp_path, capsys):
    """The same figures from the same tables in files, by ``lkgrag.train``."""
    events, items = tables()
    events.to_csv(tmp_path / "interactions.csv", index=False)
    items.to_csv(tmp_path / "items.csv", index=False)
    out = tmp_path / "run"
    more = {**SMALL, "cache.root": tmp_path / "cache"}
    found = fit(tmp_path / "interactions.csv", options=more, seed=1, out=out)
    assert found.metrics["ranker"] == fitted.metrics["ranker"]
    assert (out / "report.html").is_file()
    printed = capsys.readouterr().out
    assert str(out) in printed
    # The same call reads the finished run.
    again = fit(str(tmp_path / "interactions.csv"), options=more, seed=1, out=str(out))
    assert again.metrics == found.metrics
    assert "6. evaluation" not in capsys.readouterr().out
    for folder in (out, out / "ranker"):
        assert Ranker.from_pretrained(folder).metrics == found.metrics
    assert lkgrag.fit is fit


def caught(monkeypatch, *arguments, **keywords):
    """What a call would train on: the configuration and the interactions."""
    seen = []

    def stop(config, interactions=None, is_kept=True):
        seen.append((config, interactions, is_kept))
        raise KeyboardInterrupt

    monkeypatch.setattr(fitting, "train", stop)
    with pytest.raises(KeyboardInterrupt):
        fit(*arguments, **keywords)
    return seen[0]


FEW = {"data.min_user": 1, "data.min_item": 1}


def test_tables_of_any_kind_give_the_same_interactions(monkeypatch, tmp_path):
    events, items = tables()
    _, expected, _ = caught(monkeypatch, events, items, options=FEW)
    events.to_csv(tmp_path / "e.csv", index=False)
    events.to_parquet(tmp_path / "e.parquet")
    items.to_json(tmp_path / "i.jsonl", orient="records", lines=True)
    kinds = [
        (events.to_dict("list"), items.to_dict("list")),
        (tmp_path / "e.csv", items),
        (str(tmp_path / "e.parquet"), tmp_path / "i.jsonl"),
        (events, str(tmp_path / "i.jsonl")),
    ]
    try:
        import polars

        kinds.append((polars.from_pandas(events), polars.from_pandas(items).lazy()))
    except ImportError:
        pass
    for one, two in kinds:
        _, found, _ = caught(monkeypatch, one, two, options=FEW)
        assert found.user_ids == expected.user_ids
        assert found.titles == expected.titles
        assert np.array_equal(found.item, expected.item)
        assert np.array_equal(found.rating, expected.rating)
        assert np.array_equal(found.time, expected.time)
        assert found.items["maker"].tolist() == expected.items["maker"].tolist()


def test_triples_users_and_interactions_that_are_built(monkeypatch):
    events, items = tables()
    triples = {"head": ["i1", "i2"], "relation": ["by", "by"], "tail": ["p", "p"]}
    people = {"user": events["user"].unique(), "age": "old"}
    _, found, _ = caught(monkeypatch, events, items, triples, people, options=FEW)
    assert len(found.triples) == 2
    assert found.users["age"].tolist() == [["old"]] * 60
    built = Interactions.from_frames(events, items, config=DataConfig(min_user=1, min_item=1))
    config, found, is_kept = caught(monkeypatch, built, data__split="rolling")
    assert found is built
    assert config.data.split == "rolling"
    assert not is_kept


def test_a_path_alone_is_the_root_of_the_data(monkeypatch, tmp_path):
    config, found, _ = caught(monkeypatch, tmp_path)
    assert (config.data.root, found) == (str(tmp_path), None)
    config, _, is_kept = caught(monkeypatch, "~/x.csv", out="~/run")
    assert config.data.root == str(Path("~/x.csv").expanduser())
    assert config.out == str(Path("~/run").expanduser())
    assert is_kept


def test_the_defaults(monkeypatch, tmp_path):
    events, _ = tables()
    config, _, _ = caught(monkeypatch, events)
    assert (config.preset, config.llm.name) == ("quick", "none")
    assert not Path(config.out).exists()
    assert Path(config.cache.root).parent == Path(config.out).parent
    config, _, _ = caught(monkeypatch, events, preset=None)
    assert config.llm.name == "smollm2-135m"
    config, _, _ = caught(monkeypatch, events, llm__name="smollm2-135m", cache__root=tmp_path)
    assert (config.preset, config.llm.name) == ("quick", "smollm2-135m")
    assert config.cache.root == str(tmp_path)
    config, _, _ = caught(monkeypatch, events, preset="text-first")
    assert config.preset == "text-first"


def test_options_are_written_as_people_write_them():
    expected = {"retrieval.k": 50, "scorer.kwargs.dim": 8, "seed": 2}
    assert (
        collect_options(None, {"retrieval__k": 50, "scorer__kwargs__dim": 8, "seed": 2}) == expected
    )
    assert collect_options(expected, {}) == expected
    assert collect_options(None, expected) == expected
    nested = {"retrieval": {"k": 50}, "scorer": {"kwargs.dim": 8}}
    assert collect_options(nested, {"seed": 2, "retrieval.k": 50}) == expected
    assert collect_options(None, {}) == {}


def test_values_have_the_types_of_python(monkeypatch):
    events, _ = tables()
    options = {"evaluation.ks": [3, 5], "retrieval.k": np.int64(9), "scorer.kwargs": {"dim": 8}}
    config, _, _ = caught(monkeypatch, events, options=options, kg__temporal=True, seed="4")
    assert config.evaluation.ks == [3, 5]
    assert config.retrieval.k == 9
    assert config.scorer.kwargs == {"dim": 8}
    assert config.kg.temporal is True
    assert config.seed == 4


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"retrieval_k": 5}, r"unknown option 'retrieval_k'.*retrieval\.k"),
        ({"llm__nam": "none"}, r"unknown option 'llm\.nam'.*llm\.name"),
        ({"llm": "none"}, "'llm' is a section"),
        ({"options": {"seed": 1}, "seed": 2}, "option 'seed' is given twice: 1 and 2"),
        ({"options": {"retrieval": {"k": 1}}, "retrieval__k": 2}, "given twice"),
        ({"options": [("seed", 1)]}, "options: takes a mapping"),
        ({"options": {1: 2}}, "a key must be a text"),
        ({"seed": "x"}, "seed"),
        ({"retrieval__k": 1.5}, r"retrieval\.k"),
        ({"preset": "quik"}, "no such preset.*quick"),
        ({"data__root": "x"}, r"'data\.root': the data are given as interactions"),
        ({"data__reader": "table"}, r"'data\.reader'"),
        ({"out": 5}, "out: must be a path"),
        ({"out": ""}, "out: there is no path"),
        ({"items": ""}, "items: there is no path"),
        ({"data__columns": {"usr": "a"}}, "no meaning 'usr'"),
    ],
)
def test_wrong_options_are_one_line(keywords, message):
    with pytest.raises(ConfigError, match=message) as error:
        fit(tables()[0], **keywords)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ((None,), "interactions: there is no table"),
        ((5,), "interactions: a int is no table"),
        (({"user": ["a"]},), "item"),
        (({"user": [], "item": []},), "."),
        (("nowhere.csv",), r"nowhere.csv"),
        (("nowhere.csv", {"item": ["a"]}), "interactions=nowhere.csv: no such file"),
        (({"user": ["a"], "item": ["b"]}, "nowhere.csv"), "items=nowhere.csv: no such file"),
        (({"user": ["a"], "item": ["b"]}, "."), "items=.: must be a table in a file"),
        ((".", {"item": ["a"]}), "interactions=.: must be a table in a file.*given alone"),
    ],
)
def test_wrong_tables_are_one_line(arguments, message, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DataError, match=message) as error:
        fit(*arguments)
    assert "\n" not in str(error.value)
    assert list(tmp_path.iterdir()) == []


def test_interactions_that_are_built_take_nothing_beside_them():
    built = planted(num_users=20, num_items=10)
    with pytest.raises(DataError, match="items: are in the Interactions already"):
        fit(built, {"item": ["a"]})
    with pytest.raises(ConfigError, match=r"'data\.min_user': an Interactions is filtered"):
        fit(built, data__min_user=2)


def test_several_processes_need_a_folder(monkeypatch):
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(ConfigError, match="give out=<folder>"):
        fit(tables()[0])
