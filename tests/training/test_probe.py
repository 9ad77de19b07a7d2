import numpy as np
import pytest
import torch
from helpers.rankers import Planted

from lkgrag.paths import ExamplePaths
from lkgrag.training.probe import probe_head


@pytest.fixture(scope="module")
def toy():
    return Planted(num_users=160)


def agreement(toy, ranker, index):
    """Correlation of the language model's scores with the scorer's, within prompts."""
    batch, _ = toy.batch(index)
    with torch.no_grad():
        out = ranker.eval()(batch)
    lm, scorer = out.lm.flatten(), out.scorer.flatten()
    return float(torch.corrcoef(torch.stack([lm, scorer]))[0, 1])


def test_a_probed_head_agrees_with_the_scorer_on_prompts_it_has_not_seen(toy):
    train, new = np.arange(100), np.arange(100, 150)
    ranker = toy.ranker()
    before = agreement(toy, ranker, new)
    weights = {n: p.clone() for n, p in ranker.named_parameters() if "readout" not in n}
    found = probe_head(ranker, ExamplePaths([toy.graph]), toy.queries[train], 100, 16, seed=0)
    assert found > 0.3
    assert agreement(toy, ranker, new) > max(0.3, before + 0.1)
    assert all(torch.equal(p, weights[n]) for n, p in ranker.named_parameters() if n in weights)


def test_there_is_nothing_to_probe_without_a_head_or_with_too_few_prompts(toy):
    letters = Planted(num_users=20, llm={"readout": "letters"})
    ranker = letters.ranker()
    assert probe_head(ranker, ExamplePaths([letters.graph]), letters.queries, 16, 8, 0) is None
    assert probe_head(toy.ranker(), ExamplePaths([toy.graph]), toy.queries[:5], 16, 8, 0) is None
