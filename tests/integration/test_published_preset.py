"""The presets of the published methods: a whole run each, and what reaches their preference module."""

import json

import numpy as np
import pytest
import torch
from helpers.small_run import small_options

from lkgrag import Ranker
from lkgrag.config.checks import is_scorer_trained
from lkgrag.config.loading import load_config
from lkgrag.errors import ConfigError
from lkgrag.paths import ExamplePaths, graph_paths
from lkgrag.prompt.resolver import resolve_verbaliser
from lkgrag.ranker.batch import RankerBatch
from lkgrag.run.cache import StageCache
from lkgrag.run.pipeline import train
from lkgrag.run.ranker_stages import build_ranker, training_queries
from lkgrag.run.stages import Stages, load_dataset
from lkgrag.scorer import build_scorer
from lkgrag.training.objective import losses, total_loss
from lkgrag.training.pretraining import Pretraining
from lkgrag.utils.files import read_json


def options_of(root, preset, **more):
    given = small_options(root)
    for key in ("scorer.pretrain_epochs", "training.probe"):
        given.pop(key)
    few = {"evaluation.max_events": "6", "evaluation.faithfulness": "2", "evaluation.explain": "1"}
    return {
        **given,
        **few,
        "preset": preset,
        "retrieval.epochs": "1",
        "retrieval.hidden": "16",
        **more,
    }


def parts(config, tmp_path):
    cache = StageCache(tmp_path / "cache", True)
    stages = Stages(cache, config, load_dataset(config), torch.device("cpu"))
    one = stages.retrieval()
    return stages, one, graph_paths(stages.kg(one.fit_ends[0]), config.paths)


def words_paths(config):
    return resolve_verbaliser(config.prompt.verbaliser).words_paths


def gradients(config, tmp_path):
    """The gradient of each scorer parameter after one backward pass of the training's loss."""
    stages, one, graph = parts(config, tmp_path)
    examples = training_queries(stages, one)
    scorer = build_scorer(config.scorer, graph.data, graph.metapaths)
    ranker = build_ranker(
        stages, graph.data, scorer, Pretraining(), ExamplePaths([graph]), examples
    )
    # Even where the preset freezes it: no loss would reach it.
    ranker.scorer.requires_grad_(True)
    ranker.train()
    queries = examples[slice(0, 8)]
    order = np.tile(np.arange(queries.candidate_items.shape[1]), (len(queries), 1))
    batch = RankerBatch.of(graph, queries, order, "cpu", config.training.fused_lm)
    target, weight = torch.as_tensor(queries.target), torch.ones(len(queries))
    mask = batch.paths.candidate_mask
    found = losses(ranker(batch), target, mask, weight, config.training.distill)
    total_loss(found, config.training).backward()
    reached = [p.grad is not None and bool(p.grad.abs().any()) for p in ranker.scorer.parameters()]
    adapter = [p.grad for n, p in ranker.named_parameters() if "lora_B" in n]
    assert any(g is not None and bool(g.abs().any()) for g in adapter)
    return reached


def test_no_gradient_reaches_the_published_preference(tmp_path):
    config = load_config(options_of(tmp_path, "reference"))
    assert not is_scorer_trained(words_paths(config), config.llm, config.training)
    assert not any(gradients(config, tmp_path))


def test_the_same_module_learns_in_the_default_setting(tmp_path):
    given = small_options(tmp_path)
    config = load_config({**given, "scorer.name": "published", "retrieval.epochs": "1"})
    assert is_scorer_trained(words_paths(config), config.llm, config.training)
    assert all(gradients(config, tmp_path))


def test_the_default_scorer_learns(tmp_path):
    config = load_config({**small_options(tmp_path), "retrieval.epochs": "1"})
    assert any(gradients(config, tmp_path))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("preset", "more", "words"),
    [
        ("reference", {}, "and the relations"),
        ("reference", {"scorer.name": "shortest"}, "and the relations"),
        ("llamarec", {}, "recommend an item"),
    ],
)
def test_each_mode_runs(tmp_path, preset, more, words):
    config = load_config(options_of(tmp_path, preset, **more))
    folder = train(config)
    metrics = read_json(folder / "metrics.json")
    assert [metrics["fusion"][term] for term in ("lm", "a", "b")] == [1.0, 0.0, 0.0]
    # Nothing but the language model ranks.
    assert metrics["ranker"]["test"] == metrics["lm"]["test"]
    assert "without_lm" not in metrics
    assert metrics["marginal"] == []
    with pytest.raises(ConfigError, match=r"serving\.lm=never: .* nothing else"):
        Ranker.from_pretrained(folder / "ranker", lm="never")
    assert metrics["tokens_per_prompt"] > 100
    ranker = Ranker.from_pretrained(folder / "ranker")
    made = ranker.recommend(history=["i1", "i2"], k=3)
    assert len(made.items) == 3
    assert json.dumps(made.to_dict())
    assert (folder / "report.html").stat().st_size > 10_000
    data = ranker.context.data
    queries = ranker.context.finder
    assert queries.metapaths == []
    assert ranker.model.prompter.tokenizer.decode(ranker.model.prompter._head).count(words) == 1
    assert not any("followed_by" in e[1] for e in data.edge_types)
    assert (metrics["faithfulness"]["share_existing"] in (1.0, None)) or preset == "llamarec"
