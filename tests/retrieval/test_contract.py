"""Every built-in retriever keeps the contract that custom ones keep, and adding one takes a class and a line."""

import copy
import importlib.util
import inspect
import json
import sys
from pathlib import Path
from typing import ClassVar

import numpy as np
import pytest
import torch
from helpers.titled import titled

from lkgrag.config import DataConfig, KGConfig, RetrievalConfig
from lkgrag.config.loading import load_config
from lkgrag.data import make_split
from lkgrag.errors import ConfigError
from lkgrag.kg import build_kg
from lkgrag.retrieval import (
    SYSTEMS,
    BuiltInRetriever,
    EASERetriever,
    FusedRetriever,
    GraphRetriever,
    ItemItemRetriever,
    LRURecRetriever,
    PopularityRetriever,
    TextRetriever,
    fit_stage_one,
    fit_systems,
)
from lkgrag.retrieval.resolver import BUILT_INS, CONTRACT, resolve_system
from lkgrag.retrieval.systems import check_data, fused_systems
from lkgrag.run.pipeline import train
from lkgrag.testing import RetrieverTests, planted

SMALL = {"hidden": 8, "blocks": 1, "max_len": 8, "batch_size": 32, "epochs": 2, "k": 5}


class TestPopularity(RetrieverTests):
    retriever = PopularityRetriever


class TestItemItem(RetrieverTests):
    retriever = ItemItemRetriever
    kwargs: ClassVar = {"decay": 0.6}


class TestGraph(RetrieverTests):
    retriever = GraphRetriever


class TestEASE(RetrieverTests):
    retriever = EASERetriever


class TestText(RetrieverTests):
    retriever = TextRetriever


class TestLRURec(RetrieverTests):
    retriever = LRURecRetriever
    kwargs: ClassVar = SMALL


def suites():
    """The suites of this file, by the class that they test."""
    classes = inspect.getmembers(sys.modules[__name__], inspect.isclass)
    return {
        cls.retriever: cls
        for _, cls in classes
        if issubclass(cls, RetrieverTests) and cls is not RetrieverTests
    }


def test_every_built_in_has_its_suite_here():
    missing = [name for name, cls in SYSTEMS.items() if cls not in suites()]
    assert not missing, f"give {', '.join(missing)} a RetrieverTests in this file"


def test_the_suite_tests_the_built_in_itself():
    """Not as a custom retriever, whose name would be refused."""
    for cls, suite in suites().items():
        assert suite().built_in is cls
        assert suite().target == cls.name


@pytest.mark.parametrize("name", SYSTEMS)
def test_fit_takes_what_the_contract_gives_by_name(name):
    parameters = inspect.signature(SYSTEMS[name].fit).parameters
    assert tuple(parameters)[: len(CONTRACT)] == CONTRACT
    options = SYSTEMS[name].options_of(RetrievalConfig())
    assert set(parameters) == {*CONTRACT, *options}


@pytest.fixture(scope="module")
def training():
    x = planted(40, 24)
    end = make_split(x, DataConfig()).train_end
    return x.first(end), build_kg(x, end, KGConfig(behaviour_min=1))


@pytest.mark.parametrize("name", SYSTEMS)
def test_no_built_in_changes_what_it_is_given(training, name):
    """They share it, unlike custom ones, which get copies."""
    interactions, data = training
    before = copy.deepcopy((vars(interactions), data.to_dict()))
    cls, config = SYSTEMS[name], RetrievalConfig(**SMALL)
    cls.fit(
        interactions=interactions,
        data=data,
        device=torch.device("cpu"),
        seed=0,
        **cls.options_of(config),
    )
    for column in ("indptr", "item", "rating", "time"):
        np.testing.assert_array_equal(getattr(interactions, column), before[0][column])
    for store, values in data.to_dict().items():
        for key, value in values.items() if isinstance(values, dict) else ():
            if isinstance(value, torch.Tensor):
                assert torch.equal(value, before[1][store][key]), (store, key)


def test_systems_always_fitted_are_there_whatever_is_fused(training):
    config = RetrievalConfig(systems=["ease"], **SMALL)
    fused = fit_systems(*training, config, 0)
    always = ["lrurec", "popularity", "itemitem", "graph_itemitem"]
    assert list(fused.systems) == [*always, "ease"]
    assert fused.weights == {"ease": 1.0}
    without = fit_systems(*training, RetrievalConfig(systems=["lrurec"], **SMALL), 0)
    assert list(without.systems) == always


def test_a_system_that_is_fitted_already_is_not_fitted_again(training, monkeypatch):
    config = RetrievalConfig(systems=["popularity"], **SMALL)
    ready = LRURecRetriever.fit(*training, **LRURecRetriever.options_of(config))
    monkeypatch.setattr(LRURecRetriever, "fit", pytest.fail)
    assert fit_systems(*training, config, 0, [ready]).systems["lrurec"] is ready


@pytest.fixture
def next_item(monkeypatch):
    """The example of the docs as a built-in: its class, and its line in the registry."""
    path = Path(__file__).parents[2] / "docs" / "examples" / "next_item.py"
    spec = importlib.util.spec_from_file_location("next_item", path)
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "next_item", module)
    spec.loader.exec_module(module)
    cls = module.NextItemRetriever
    monkeypatch.setitem(SYSTEMS, cls.name, cls)
    return cls


def test_the_example_of_the_docs_passes_the_suite(next_item, tmp_path):
    suite = type("TestNextItem", (RetrieverTests,), {"retriever": next_item})()
    x = planted(60, 24)
    end = make_split(x, DataConfig()).train_end
    assert suite.built_in is next_item
    suite.test_options_are_accepted(x)
    fitted = suite.build(x, end)
    histories = [x.sequence(u)[: u % 7] for u in range(20)]
    suite.test_scores_differ_between_items(fitted, histories)
    suite.test_evidence_ranks_as_the_scores_do(fitted, histories)
    suite.test_strangers_are_scored(fitted)
    suite.test_histories_do_not_see_one_another(fitted, histories)
    suite.test_seed_decides(fitted, x, histories)
    suite.test_state_survives(fitted, histories, tmp_path)
    suite.test_little_to_learn_from(x)


def test_a_class_and_a_line_add_a_built_in(next_item, tmp_path):
    """Stage one fits, fuses, ranks, saves and loads it; nothing else names it."""
    x = planted(70, 24)
    split = make_split(x, DataConfig())
    config = RetrievalConfig(systems=["lrurec", "next_item"], crossfit_window=2, **SMALL)
    assert resolve_system("next_item") is next_item
    stage = fit_stage_one(
        x, split, lambda end: build_kg(x, end, KGConfig(behaviour_min=1)), config, 0
    )
    assert set(stage.report["fusion"]) == {"lrurec", "next_item"}
    assert "next_item" in stage.test.ranks
    stage.retriever.save(tmp_path)
    again = FusedRetriever.load(tmp_path)
    assert isinstance(again.systems["next_item"], next_item)
    past = [np.array([0, 3])]
    np.testing.assert_array_equal(again.score(past), stage.retriever.score(past))


@pytest.mark.slow
def test_a_new_built_in_is_in_the_tables_of_a_run(next_item, small_run, tmp_path):
    root, options = small_run
    train(
        load_config(
            {
                **options,
                "llm.name": "none",
                "retrieval.systems": "[popularity,next_item]",
                "cache.root": str(root / "cache-next-item"),
                "out": str(tmp_path / "out"),
            }
        )
    )
    metrics = json.loads((tmp_path / "out" / "metrics.json").read_text())
    systems = list(metrics)
    assert systems.index("lrurec") < systems.index("next_item") < systems.index("retriever")


def test_by_default_a_built_in_is_fused_up_to_its_size(next_item):
    default = RetrievalConfig()
    assert fused_systems(default, titled(5_000)) == [*(cls.name for cls in BUILT_INS), "next_item"]
    assert "next_item" not in fused_systems(default, titled(5_001))


class Namesake(PopularityRetriever):
    pass


def test_a_custom_retriever_cannot_have_a_built_ins_name(next_item, monkeypatch):
    for name in ("popularity", "next_item"):
        monkeypatch.setattr(Namesake, "name", name)
        with pytest.raises(ConfigError, match=f"'{name}' of Namesake belongs to a system"):
            resolve_system(f"{__name__}:Namesake")


def test_data_are_checked_for_the_fused_built_ins_only(monkeypatch):
    asked = []
    monkeypatch.setattr(
        BuiltInRetriever, "check_data", classmethod(lambda cls, x: asked.append((cls.name, x)))
    )
    data = titled(7)
    check_data(RetrievalConfig(systems=["itemitem", "lrurec"]), data)
    assert asked == [("itemitem", data), ("lrurec", data)]
