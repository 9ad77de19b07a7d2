"""The steps of a ranking, and what a request's answer may not depend on."""

import numpy as np
import pytest

from lkgrag import Ranker
from lkgrag.errors import ConfigError
from lkgrag.serving.ranking import BATCH, RankingBatch, check_k, rank, rank_in_batches
from lkgrag.serving.requests import request_for, request_of_user


@pytest.fixture(scope="module")
def ranker(small_run):
    return Ranker.from_pretrained(small_run[0] / "out", "cpu")


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
