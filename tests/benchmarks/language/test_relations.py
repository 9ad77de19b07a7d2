"""Relations left out of the training."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers.small_run import write_shop

from benchmarks.language.relations import (
    WAYS,
    embeddings_by_words,
    leave_one_out,
    mean_embeddings,
    relation_names,
    sign_test,
)
from benchmarks.language.setting import stages_of
from lkgrag.config.loading import load_config
from lkgrag.kg import phrase_metapath
from lkgrag.scorer.metapath_attention import MetapathAttention
from lkgrag.testing import toy_kg, toy_paths


@pytest.fixture(scope="module")
def toy():
    data = toy_kg()
    metapaths = toy_paths(data=data).metapaths
    nodes = {t: data[t].num_nodes for t in data.node_types}
    torch.manual_seed(0)
    return MetapathAttention(data.metadata(), nodes, metapaths[:-1]), metapaths


def test_both_directions_are_one_relation(toy):
    names = relation_names(toy[1])
    assert names.count("followed_by") == names.count("sequel") == 1
    assert not any(name.startswith("rev_") for name in names)


def test_embeddings_that_follow_from_words_are_found(toy):
    scorer, metapaths = toy
    rng = np.random.default_rng(0)
    vectors = {phrase_metapath(m): rng.normal(0, 1, 4).astype(np.float32) for m in metapaths}
    words = {edge: vectors[phrase_metapath(m)] for m in metapaths for edge in m}
    rule = rng.normal(0, 1, (4, scorer.dim))
    with torch.no_grad():
        truth = np.stack([words[e] @ rule for e in scorer.relations])
        scorer.relation.copy_(torch.from_numpy(truth))
    guess = embeddings_by_words(
        scorer, metapaths, lambda texts: np.stack([vectors[t] for t in texts])
    )
    mean = next(iter(mean_embeddings(scorer, metapaths).values())).numpy()
    assert set(guess) == set(metapaths[-1])
    for edge, row in guess.items():
        right = words[edge] @ rule
        # The direction is right; the length of a vector of words says nothing.
        assert np.corrcoef(row.numpy() - mean, right - mean)[0, 1] > 0.8


def test_words_that_say_nothing_give_the_mean(toy):
    scorer, metapaths = toy
    rng = np.random.default_rng(0)

    def encode(texts):
        return rng.normal(0, 1, (len(texts), 500)).astype(np.float32)

    mean = next(iter(mean_embeddings(scorer, metapaths).values()))
    spread = (scorer.relation - mean).norm(dim=1).mean()
    for row in embeddings_by_words(scorer, metapaths, encode).values():
        assert (row - mean).norm() < 0.3 * spread


def test_sign_test_leaves_ties_out():
    gaps = {str(n): {"gap": g} for n, g in enumerate([1, 1, 1, 1, 1, 1, -1, 0.0])}
    found = sign_test(gaps)
    assert (found["relations"], found["better"], found["worse"]) == (8, 6, 1)
    assert found["p"] == pytest.approx(2 * 8 / 2**7)


def test_every_relation_is_left_out_once_and_kept_ones_are_not_measured_again(tmp_path):
    write_shop(tmp_path)
    options = {"data.name": "shop", "data.root": str(tmp_path), "llm.name": "none"}
    options |= {"data.min_user": "1", "data.min_item": "1", "text.encoder": "none"}
    options |= {"retrieval.systems": "[popularity,itemitem]", "retrieval.epochs": "1"}
    options |= {"scorer.pretrain_epochs": "1", "cache.root": str(tmp_path / "cache")}
    stages = stages_of(load_config(options))
    stage_one = stages.retrieval()
    lists = [part[part.retrieved] for part in (stage_one.examples, stage_one.val)]
    examples, queries = (stages.queries(part) for part in lists)
    graphs = stages.kg(stage_one.fit_ends[0]), stages.kg(stages.dataset.split.train_end)
    kept = []

    def encode(texts):
        return np.random.default_rng(0).standard_normal((len(texts), 8)).astype(np.float32)

    def keep(name, row):
        kept.append(name)
        assert set(row["ndcg@10"]) == set(WAYS)
        assert all(0 <= value <= 1 for value in row["ndcg@10"].values())

    config = replace(stages.config)
    rows = leave_one_out(graphs, examples, queries, config, encode, keep, tmp_path)
    assert kept == list(rows)
    assert len(kept) > 2
    again = leave_one_out(graphs, examples, queries, config, encode, keep, tmp_path, rows)
    assert again == rows
    assert kept == list(rows)
