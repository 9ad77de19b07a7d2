"""Whole runs with ``retrieval.crossfit=users``."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.small_run import small_options

import lkgrag.run.stages
from lkgrag.config.loading import load_config
from lkgrag.retrieval import TextRetriever
from lkgrag.run.cache import StageCache
from lkgrag.run.pipeline import train
from lkgrag.run.ranker_stages import training_queries
from lkgrag.run.stages import Stages, load_dataset, read_fits
from lkgrag.training.loop import Trainer
from lkgrag.utils.files import write_safetensors

USERS = {"retrieval.crossfit": "users", "retrieval.crossfit_folds": "3"}


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    return {**small_options(tmp_path_factory.mktemp("users")), **USERS}


def stages_of(config):
    cache = StageCache(Path(config.cache.root))
    return Stages(cache, config, load_dataset(config), torch.device("cpu"))


def test_a_run_that_was_killed_goes_on_where_it_was(options, monkeypatch, tmp_path):
    fit, fits = lkgrag.run.stages.fit_lrurec, []

    def killed(interactions, *rest, **kwargs):
        fits.append(len(interactions.item))
        if len(fits) == 3:
            raise KeyboardInterrupt
        return fit(interactions, *rest, **kwargs)

    monkeypatch.setattr(lkgrag.run.stages, "fit_lrurec", killed)
    first = load_config({**options, "cache.root": str(tmp_path / "one")})
    with pytest.raises(KeyboardInterrupt):
        stages_of(first).retrieval()
    again = stages_of(first).retrieval()
    # The full fit and that of the first fold are in the cache.
    assert len(fits) == 5
    assert fits[2] == fits[3]
    whole = stages_of(load_config({**options, "cache.root": str(tmp_path / "two")})).retrieval()
    np.testing.assert_array_equal(again.examples.scores, whole.examples.scores)
    np.testing.assert_array_equal(again.fit_ends, whole.fit_ends)
    # What was stored is what was computed.
    stored = stages_of(first).retrieval()
    for name in ("fit_ends", "fold"):
        np.testing.assert_array_equal(getattr(stored, name), getattr(again, name))
    assert len(fits) == 9


def test_towers_are_trained_once_for_runs_that_fuse_them_otherwise(options, monkeypatch, tmp_path):
    fit, fits = TextRetriever.fit, []

    def watched(*args, **kwargs):
        fits.append(args)
        return fit(*args, **kwargs)

    monkeypatch.setattr(TextRetriever, "fit", watched)
    root = {**options, "cache.root": str(tmp_path / "one"), "retrieval.decay": "0.6"}
    first = stages_of(load_config(root)).retrieval()
    # One in full, and one without each of the three folds.
    assert len(fits) == 4
    changed = {**root, "retrieval.decay": "0.9"}
    again = stages_of(load_config(changed)).retrieval()
    assert len(fits) == 4
    assert first.report["text_curve"] == again.report["text_curve"] != []
    fresh = {**changed, "cache.root": str(tmp_path / "two")}
    alone = stages_of(load_config(fresh)).retrieval()
    for name in ("examples", "val", "test"):
        ours, theirs = getattr(again, name), getattr(alone, name)
        np.testing.assert_array_equal(ours.scores, theirs.scores)
        np.testing.assert_array_equal(ours.items, theirs.items)


@pytest.mark.slow
def test_the_language_model_learns_from_batches_of_one_fold(options, monkeypatch):
    step, batches = Trainer._step, []

    def watched(self, model, optimizer, number):
        queries = self.queries[self.batches[number]]
        batches.append({*self.graphs.folds_of(queries).tolist()})
        return step(self, model, optimizer, number)

    monkeypatch.setattr(Trainer, "_step", watched)
    config = load_config(options)
    metrics = json.loads((train(config) / "metrics.json").read_text())
    assert all(len(folds) == 1 for folds in batches)
    # Three steps: which folds they draw is chance, but not one alone.
    assert len(set().union(*batches)) > 1
    assert 0 <= metrics["ranker"]["val"]["all"]["ndcg@10"] <= 1
    stages = stages_of(config)
    one = stages.retrieval()
    graphs = stages.example_paths(one).graphs
    for end, graph in zip(one.fit_ends, graphs, strict=True):
        raters = np.unique(graph.data["user", "rated", "item"].edge_index[0])
        np.testing.assert_array_equal(raters, np.flatnonzero(end))


@pytest.mark.parametrize("negatives", ["retriever", "uniform"])
def test_so_many_lists_are_learned_from(options, negatives):
    lists = {"retrieval.crossfit_lists": "30", "training.negatives": negatives}
    stages = stages_of(load_config({**options, **lists, "llm.name": "none"}))
    one = stages.retrieval()
    assert one.examples.retrieved.sum() > 30
    queries = training_queries(stages, one)
    assert len(queries) == 30
    assert np.bincount(queries.user).max() <= 2


def test_one_graph_of_older_versions_is_read(tmp_path):
    write_safetensors(tmp_path / "fit.safetensors", {"fit_end": torch.tensor([3, 1, 2])})
    ends, fold = read_fits(tmp_path / "fit.safetensors")
    assert ends.tolist() == [[3, 1, 2]]
    assert fold.tolist() == [0, 0, 0]
