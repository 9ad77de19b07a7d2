import math

import numpy as np
import pytest
import torch

from lkgrag.config import KGConfig, PathsConfig, ScorerConfig
from lkgrag.data import Queries
from lkgrag.paths import path_finder
from lkgrag.scorer import build_scorer
from lkgrag.testing import toy_kg
from lkgrag.testing.paths import toy_paths


def softmax(values):
    exps = [math.exp(v - max(values)) for v in values]
    return [e / sum(exps) for e in exps]


def test_the_published_arithmetic():
    """The loops of the published description, path by path."""
    data = toy_kg(KGConfig(behaviour=False))
    paths = toy_paths(data=data)
    scorer = build_scorer(ScorerConfig(name="published"), data, paths.metapaths).eval()
    salience = scorer(data, paths).salience
    for p in range(len(paths)):
        same = [
            q
            for q in range(len(paths))
            if paths.sample[q] == paths.sample[p] and paths.history[q] == paths.history[p]
        ]
        relations = [[e[1] for e in paths.metapaths[paths.metapath[q]]] for q in same]
        classes = scorer.relations
        occurs = [sum(r.count(name) for r in relations) for name in classes]
        idf = [math.log(len(same) / (n + 1)) + 1 for n in occurs]
        counts = [relations[same.index(p)].count(name) for name in classes]
        tf = softmax([n / max(1, sum(counts)) * i for n, i in zip(counts, idf, strict=True)])
        user = int(paths.user[paths.sample[p]])
        e = scorer.user.weight[user] if user >= 0 else scorer.user.weight.mean(0)
        preference = scorer.preference(scorer.norm(e)).softmax(0).tolist()
        expected = sum(x * y for x, y in zip(tf, preference, strict=True))
        assert float(salience[p].detach()) == pytest.approx(expected, rel=1e-4)


def test_paths_of_any_length_are_read_off_the_batch():
    data = toy_kg(KGConfig(behaviour=False, relations=["directed_by", "starring"]))
    finder = path_finder(data, PathsConfig(search="shortest"))
    history = [np.array([0, 5])]
    candidates = np.array([[3, 1, 8]])
    paths = finder(Queries.from_histories(history, candidates, np.zeros((1, 3), np.float32), 2))
    assert max(len(m) for m in paths.metapaths) > 2
    scorer = build_scorer(ScorerConfig(name="published"), data, finder.metapaths).eval()
    assert scorer.relations == ["directed_by", "starring"]
    assert torch.isfinite(scorer(data, paths).salience).all()
