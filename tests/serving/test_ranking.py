"""The steps of a ranking, and what a request's answer may not depend on."""

import subprocess
import sys

import numpy as np
import pytest
import torch

from lkgrag import Ranker
from lkgrag.errors import ConfigError
from lkgrag.retrieval import products
from lkgrag.retrieval.lrurec import scan
from lkgrag.scorer import pooling
from lkgrag.serving import choice
from lkgrag.serving.choice import choose_paths
from lkgrag.serving.ranking import (
    BATCH,
    BATCH_WITHOUT_LM,
    RankingBatch,
    check_k,
    rank,
    rank_in_batches,
)
from lkgrag.serving.requests import request_for, request_of_user


@pytest.fixture(scope="module")
def ranker(small_run):
    return Ranker.from_pretrained(small_run[0] / "out", "cpu", lm="always")


def requests_of(ranker, count):
    return [request_of_user(ranker.context, user) for user in ranker.users()[:count]]


def test_the_steps_give_the_ranking(ranker):
    requests = requests_of(ranker, 3)
    batch = RankingBatch(ranker.model, ranker.context, requests, k=4)
    queries = batch.build_queries()
    ranked = batch.find_paths(queries)
    output = batch.score(ranked)
    assert batch.explain(queries, ranked, output) == rank(
        ranker.model, ranker.context, requests, 4, explain=True
    )
    assert batch.explain(queries, ranked, output, with_paths=False) == rank(
        ranker.model, ranker.context, requests, 4, explain=False
    )
    # The queries know their users, and each candidate has a score.
    assert queries.user.tolist() == [request.index for request in requests]
    assert output.scores.shape == queries.candidate_items.shape
    assert np.array_equal(output.scores.isfinite().numpy(), queries.candidate_items >= 0)


def test_items_are_ranked_by_score_and_explained_by_salience(ranker):
    recommendations = rank(ranker.model, ranker.context, requests_of(ranker, 5), 6, explain=True)
    most = ranker.context.config.prompt.paths
    for recommendation in recommendations:
        assert [item.rank for item in recommendation.items] == [1, 2, 3, 4, 5, 6]
        scores = [item.score for item in recommendation.items]
        assert scores == sorted(scores, reverse=True)
        for item in recommendation.items:
            saliences = [path.salience for path in item.paths]
            assert len(saliences) <= most
            assert saliences == sorted(saliences, reverse=True)
            # One path of each kind.
            assert len({tuple(path.relations) for path in item.paths}) == len(item.paths)


def test_without_explanation_the_ranking_is_the_same(ranker):
    requests = requests_of(ranker, 2)
    plain, explained = (
        rank(ranker.model, ranker.context, requests, 3, explain) for explain in (False, True)
    )
    for one, other in zip(plain, explained, strict=True):
        assert [item.score for item in one.items] == [item.score for item in other.items]
        assert not any(item.paths for item in one.items)


def test_a_request_has_the_same_answer_in_any_batch(ranker):
    requests = requests_of(ranker, BATCH + 3)
    together = rank(ranker.model, ranker.context, requests, 3, explain=False)
    for request, expected in zip(requests, together, strict=True):
        (alone,) = rank(ranker.model, ranker.context, [request], 3, explain=False)
        assert [item.item for item in alone.items] == [item.item for item in expected.items]
        # Padding differs, which moves the last digits.
        scores = [item.score for item in expected.items]
        np.testing.assert_allclose([item.score for item in alone.items], scores, atol=1e-4)


def test_batches_hold_as_many_requests_as_a_pass_takes(ranker):
    requests = requests_of(ranker, BATCH + 3)
    batches = list(rank_in_batches(ranker.model, ranker.context, requests, 1, False))
    assert [len(batch) for batch in batches] == [BATCH, 3]
    assert rank(ranker.model, ranker.context, [], 1, False) == []


def test_named_candidates_are_ranked_by_the_retrievers_opinion_too(ranker):
    named = request_for(ranker.context, ["i3"], ["i7", "i9"], None)
    free = request_for(ranker.context, ["i3"], None, None)
    batch = RankingBatch(ranker.model, ranker.context, [named, free], k=2)
    queries = batch.build_queries()
    assert queries.candidate_items[0, 2:].tolist() == [-1] * (queries.candidate_items.shape[1] - 2)
    expected = ranker.context.retriever.score([named.history])[0][named.candidates]
    prior = queries.prior[0, :2]
    np.testing.assert_allclose(prior[0] - prior[1], expected[0] - expected[1], rtol=1e-4)
    (first, _) = rank(ranker.model, ranker.context, [named, free], 2, explain=False)
    assert {item.item for item in first.items} == {"i7", "i9"}


@pytest.mark.parametrize("k", [-1, 0, 41])
def test_a_number_of_items_that_no_ranking_can_have_is_refused(ranker, k):
    with pytest.raises(
        ConfigError, match=f"k={k}: there are 40 items; choose a number from 1 to 40"
    ):
        check_k(ranker.context, k)
    with pytest.raises(ConfigError, match=f"k={k}"):
        rank(ranker.model, ranker.context, requests_of(ranker, 1), k, explain=False)


def chosen_one_by_one(index, slot, metapath, salience, most):
    """The rule of :func:`choose_paths`, path by path."""
    best = {}
    for n in range(len(index)):
        bundle = (slot[n], metapath[n])
        if bundle not in best or salience[n] > salience[best[bundle]]:
            best[bundle] = n
    of_slot = {}
    for (place, _), n in best.items():
        of_slot.setdefault(place, []).append(n)
    return [
        index[n]
        for place in sorted(of_slot)
        for n in sorted(of_slot[place], key=lambda n: -salience[n])[:most]
    ]


@pytest.mark.parametrize("jit", [choice.JIT, False])
@pytest.mark.parametrize("most", [0, 1, 2, 9])
@pytest.mark.parametrize("size", [0, 1, 60])
def test_paths_are_chosen_by_bundle_and_salience(size, most, jit, monkeypatch):
    monkeypatch.setattr(choice, "JIT", jit)
    rng = np.random.default_rng(size)
    for _ in range(20):
        # Few saliences, so that many are equal; the paths of a prompt stand in any order.
        slot, metapath, salience = (rng.integers(0, n, size) for n in (5, 4, 3))
        index = rng.permutation(100)[:size]
        given = (index, slot, metapath, salience.astype(np.float32), most)
        assert choose_paths(*given).tolist() == chosen_one_by_one(*given)


def test_without_lm_more_requests_share_a_pass_and_answers_stay(run_without_lm):
    ranker = Ranker.from_pretrained(run_without_lm, "cpu")
    requests = requests_of(ranker, BATCH_WITHOUT_LM + 3)
    batches = list(rank_in_batches(ranker.model, ranker.context, requests, 5, True))
    assert [len(batch) for batch in batches] == [BATCH_WITHOUT_LM, 3]
    for request, together in zip(
        requests, [one for batch in batches for one in batch], strict=True
    ):
        (alone,) = rank(ranker.model, ranker.context, [request], 5, True)
        assert_same(alone, together)


def test_compiled_steps_give_the_rankings_of_plain_ones(run_without_lm, monkeypatch):
    """scipy and torch make the rankings, as in training; then the loops of serving."""
    ranker = Ranker.from_pretrained(run_without_lm, "cpu")
    requests = requests_of(ranker, 40)
    with monkeypatch.context() as patch:
        for module in (products, scan, pooling, choice):
            patch.setattr(module, "JIT", False)
        plain = rank(ranker.model, ranker.context, requests, 8, True)
    for one, other in zip(
        rank(ranker.model, ranker.context, requests, 8, True), plain, strict=True
    ):
        assert_same(one, other)


def assert_same(one, other):
    """The same ranks and words, and scores to 1e-5."""
    assert [item.item for item in one.items] == [item.item for item in other.items]
    assert one.history == other.history
    for mine, others in zip(one.items, other.items, strict=True):
        assert [path.words for path in mine.paths] == [path.words for path in others.paths]
        scores = [(x.score, x.lm, x.scorer, x.prior) for x in (mine, others)]
        np.testing.assert_allclose(*scores, atol=1e-5)
        saliences = [[path.salience for path in x.paths] for x in (mine, others)]
        np.testing.assert_allclose(*saliences, atol=1e-5)


def test_a_model_in_training_mode_ranks_as_in_evaluation(run_without_lm):
    ranker = Ranker.from_pretrained(run_without_lm, "cpu")
    request = requests_of(ranker, 1)
    before = rank(ranker.model, ranker.context, request, 5, True)
    ranker.model.scorer.train()
    assert rank(ranker.model, ranker.context, request, 5, True) == before
    assert not ranker.model.scorer.training


def test_a_ranker_that_has_served_can_be_trained(run_without_lm):
    ranker = Ranker.from_pretrained(run_without_lm, "cpu")
    batch = RankingBatch(ranker.model, ranker.context, requests_of(ranker, 2), 5)
    paths = batch.find_paths(batch.build_queries())
    batch.score(paths)
    scores = ranker.model(paths).scores
    scores[scores.isfinite()].sum().backward()
    assert any(p.grad is not None for p in ranker.model.scorer.parameters())
    assert torch.isfinite(ranker.model.scorer.base.grad).all()


def test_what_no_ranking_needs_is_not_imported(run_without_lm):
    code = (
        "import sys\n"
        "from lkgrag import Ranker\n"
        "assert not {'torch', 'numpy', 'pandas'} & set(sys.modules)\n"
        f"ranker = Ranker.from_pretrained({str(run_without_lm)!r}, 'cpu')\n"
        "assert ranker.recommend([]).items\n"
        "heavy = {'peft', 'accelerate', 'sklearn', 'matplotlib', 'scipy.optimize', 'datasets'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
