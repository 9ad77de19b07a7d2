"""Titles of the stages say what happens in them."""

import warnings

import pytest
import torch

from lkgrag.config import KGConfig, LLMConfig, PathsConfig, ScorerConfig
from lkgrag.kg import build_kg
from lkgrag.paths import graph_paths
from lkgrag.run.display import StageDisplay
from lkgrag.run.learning import _ranker_title
from lkgrag.scorer.resolver import new_scorer
from lkgrag.testing.graph import toy_interactions


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"name": "none"}, "no language model"),
        ({"adapter": "lora"}, "LoRA, fusion"),
        ({"adapter": "full"}, "all its weights, fusion"),
        ({"adapter": "auto"}, "LoRA or all its weights"),
    ],
)
def test_the_title_of_the_ranker(options, words):
    title = _ranker_title(LLMConfig(**options))
    assert words in title
    assert ("LoRA" in title) == (options.get("adapter") in ("lora", "auto"))


@pytest.mark.parametrize("name", ["metapath_attention", "reference"])
def test_a_graph_without_paths_gives_no_warning_of_torch(name):
    x = toy_interactions()
    config = KGConfig(users=False, behaviour=False, similar_titles=0)
    names = {r for _, r, _ in build_kg(x, torch.full((8,), 3).numpy(), config).edge_types}
    config.exclude = sorted({n.removeprefix("rev_") for n in names})
    data = build_kg(x, torch.full((8,), 3).numpy(), config)
    assert not data.edge_types
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        graph = graph_paths(data, PathsConfig())
        scorer = new_scorer(ScorerConfig(name=name), "metapaths", graph, 0)
    assert scorer is not None


def test_what_the_graph_leaves_out_is_said(capsys):
    data = build_kg(toy_interactions(), torch.full((8,), 3).numpy(), KGConfig())
    data.left_out = {"also_bought": 1234, "triples without an item": 5}
    StageDisplay(is_main=True).show_graph(data)
    text = " ".join(capsys.readouterr().out.split())
    assert "also_bought 1,234, triples without an item 5" in text
