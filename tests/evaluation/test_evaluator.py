"""From scores to ranks: which events are scored, with which weights, and how equal scores rank.

Most tests put scores made by hand in place of the model's, so that every rank follows from them.
"""

import numpy as np
import pytest
import torch
from helpers.rankers import CANDIDATES, Planted

from lkgrag.config import EvaluationConfig
from lkgrag.evaluation import pessimistic_rank
from lkgrag.evaluation.evaluator import Evaluator
from lkgrag.evaluation.score_cache import ScoreCache
from lkgrag.prompt.order import CandidateOrder
from lkgrag.ranker.fusion_weights import TermLists, cross_fit_weights, fit_weights
from lkgrag.ranker.model import RankerModel
from lkgrag.ranker.scoring import LM, SCORER, Predictions
from lkgrag.retrieval.candidates import CandidateLists

SEED = 5


@pytest.fixture(scope="module")
def toy():
    return Planted(num_users=40)


@pytest.fixture(scope="module")
def model(toy):
    """With weights that no fit gives."""
    ranker = toy.ranker().eval()
    ranker.fusion.set(0.123, 0.456)
    return ranker


@pytest.fixture(scope="module")
def lists(toy):
    """Candidates of both splits; every third event misses its target."""
    return {"val": candidates_of(toy, toy.split.val), "test": candidates_of(toy, toy.split.test)}


def candidates_of(toy, events):
    rng = np.random.default_rng(SEED)
    items = np.empty((len(events), CANDIDATES), np.int64)
    for row, target in enumerate(events.target):
        others = np.setdiff1d(np.arange(toy.interactions.num_items), [target])
        items[row] = rng.permutation(others)[:CANDIDATES]
        if row % 3:
            items[row, rng.integers(CANDIDATES)] = target
    scores = rng.normal(size=items.shape).astype(np.float32)
    ranks = {"retriever": np.where(np.arange(len(events)) % 3, 2, 99)}
    return CandidateLists(events, items, scores, ranks)


def signals(queries):
    """Noise that follows from the query, to which the scorer adds something for the target."""
    terms = np.empty((3, len(queries), CANDIDATES))
    for row, items in enumerate(queries.candidate_items):
        rng = np.random.default_rng([SEED, queries.user[row], *items])
        terms[:, row] = rng.normal(size=(3, CANDIDATES))
    terms[SCORER, np.arange(len(queries)), queries.target] += 1.0
    return terms


@pytest.fixture
def by_hand(monkeypatch):
    """Puts scores made by hand in place of the model's; keeps which queries were scored by what."""

    class ByHand:
        terms = staticmethod(signals)

        def __init__(self):
            self.calls = []

        def __call__(self, model, graph, queries, *rest):
            self.calls.append((model.lm is not None, queries))
            terms = self.terms(queries)
            if model.lm is None:
                terms[LM] = 0.0
            return Predictions(
                terms=terms,
                mask=queries.candidate_items >= 0,
                tokens=np.full(len(queries), 10 * (model.lm is not None)),
                shares=np.zeros((len(queries), 0)),
            )

    scorer = ByHand()
    monkeypatch.setattr("lkgrag.evaluation.evaluator.score_queries", scorer)
    return scorer


def evaluator_of(toy, scores=None, **options):
    return Evaluator(
        toy.interactions,
        toy.graph,
        EvaluationConfig(**options),
        CandidateOrder("random", SEED),
        history=4,
        scores=scores,
    )


def users_of(result):
    return set(result.user.tolist())


def test_the_model_is_what_it_was(toy, model, lists):
    before = {name: value.clone() for name, value in model.state_dict().items()}
    evaluation = evaluator_of(toy, max_events=8, batch_size=4).evaluate(model, lists)
    after = model.state_dict()
    assert after.keys() == before.keys()
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert evaluation.fusion is not model.fusion
    assert evaluation.fusion.weights != model.fusion.weights
    assert evaluation.tokens > 10
    assert evaluation.prompts == sum(len(q) for q in evaluation.queries.values()) > 0


def test_only_events_with_their_target_are_scored_and_the_others_are_missed(
    toy, model, lists, by_hand
):
    evaluation = evaluator_of(toy).evaluate(model, lists)
    for split in ("val", "test"):
        result, retrieved = evaluation.result_of(split), lists[split].retrieved
        assert np.array_equal(result.retrieved, retrieved)
        assert 0 < retrieved.sum() < len(retrieved)
        assert len(evaluation.queries[split]) == retrieved.sum()
        assert (evaluation.queries[split].target >= 0).all()
        for system in ("lm", "scorer", "ranker"):
            assert (result.ranks[system][~retrieved] == 0).all()
            assert (result.ranks[system][retrieved] >= 1).all()


def test_the_weights_are_fitted_on_validation_and_rank_the_test(toy, model, lists, by_hand):
    evaluation = evaluator_of(toy).evaluate(model, lists)
    queries, scored = evaluation.queries["val"], evaluation.scored["val"]
    known = TermLists(scored.terms, scored.mask, queries.target, queries.user)
    weights = fit_weights(known, model.fusion.weights, SEED)
    assert evaluation.fusion.weights == pytest.approx(weights, rel=1e-5)
    # The scorer decides.
    assert weights[0] > 0.5
    queries, scored = evaluation.queries["test"], evaluation.scored["test"]
    fused = scored.fused(*evaluation.fusion.weights)
    expected = pessimistic_rank(fused, queries.target, scored.mask)
    ranks = evaluation.test.ranks["ranker"][evaluation.test.retrieved]
    assert np.array_equal(ranks, expected)
    before = pessimistic_rank(scored.fused(*model.fusion.weights), queries.target, scored.mask)
    assert not np.array_equal(ranks, before)


def test_no_list_of_validation_is_ranked_by_weights_that_it_helped_to_fit(
    toy, model, lists, by_hand
):
    # The scorer helps some users and misleads others, so that each fold has other weights.
    def contrary(queries):
        terms = signals(queries)
        rows = np.flatnonzero(queries.user % 2)
        terms[SCORER, rows, queries.target[rows]] -= 1.5
        return terms

    by_hand.terms = contrary
    evaluation = evaluator_of(toy).evaluate(model, lists)
    queries, scored = evaluation.queries["val"], evaluation.scored["val"]
    known = TermLists(scored.terms, scored.mask, queries.target, queries.user)
    weights = cross_fit_weights(known, model.fusion.weights, SEED)
    assert len(np.unique(weights, axis=0)) > 1

    def ranks_with(a, b):
        return pessimistic_rank(scored.fused(a, b), queries.target, scored.mask)

    ranks = evaluation.val.ranks["ranker"][evaluation.val.retrieved]
    assert np.array_equal(ranks, ranks_with(weights[:, 0], weights[:, 1]))
    assert not np.array_equal(ranks, ranks_with(*evaluation.fusion.weights))


def test_for_some_users_the_weights_of_the_model_are_taken(toy, model, lists, by_hand):
    users = np.array([3, 4, 11, 17])
    evaluation = evaluator_of(toy).evaluate(model, lists, users)
    assert evaluation.fusion.weights == model.fusion.weights
    for split in ("val", "test"):
        result, queries = evaluation.result_of(split), evaluation.queries[split]
        assert users_of(result) == set(users.tolist())
        scored = evaluation.scored[split]
        fused = scored.fused(*model.fusion.weights)
        expected = pessimistic_rank(fused, queries.target, scored.mask)
        assert np.array_equal(result.ranks["ranker"][result.retrieved], expected)
    # Nothing is fitted, so no further list is scored.
    assert [has_lm for has_lm, _ in by_hand.calls] == [True, True]


def test_without_a_list_to_fit_on_the_weights_are_the_start(toy, model, lists, by_hand):
    missed = np.flatnonzero(~lists["val"].retrieved)
    lists = {"val": lists["val"][missed], "test": lists["test"]}
    evaluation = evaluator_of(toy).evaluate(model, lists)
    assert evaluation.fusion.weights == pytest.approx(model.fusion.weights, rel=1e-5)
    started = evaluator_of(toy).evaluate(model, lists, start=(0.7, 0.9))
    assert started.fusion.weights == pytest.approx((0.7, 0.9), rel=1e-5)


def test_within_a_limit_the_events_of_whole_users_are_drawn(toy, model, lists, by_hand):
    evaluation = evaluator_of(toy, max_events=9, max_val_events=5).evaluate(model, lists)
    for split, most in (("val", 5), ("test", 9)):
        result = evaluation.result_of(split)
        assert 0 < result.retrieved.sum() <= most
        whole = np.isin(lists[split].events.user, list(users_of(result)))
        assert np.array_equal(result.target, lists[split].events.target[whole])


def test_lists_beyond_the_limit_weigh_scorer_and_prior_without_the_language_model(
    toy, model, lists, by_hand
):
    evaluation = evaluator_of(toy, max_val_events=5).evaluate(model, lists)
    ((_, unread),) = [call for call in by_hand.calls if not call[0]]
    read = evaluation.queries["val"]
    assert not set(read.user.tolist()) & set(unread.user.tolist())
    assert len(read) + len(unread) == lists["val"].retrieved.sum()
    assert evaluation.prompts == len(read) + len(evaluation.queries["test"])
    # They change the weights, but are no events of the result.
    alone = TermLists(
        evaluation.scored["val"].terms, evaluation.scored["val"].mask, read.target, read.user
    )
    assert evaluation.fusion.weights != pytest.approx(
        fit_weights(alone, model.fusion.weights, SEED), rel=1e-3
    )
    assert len(evaluation.val) == len(read) + (~evaluation.val.retrieved).sum()


def test_equal_scores_count_against_the_target(toy, model, lists, by_hand):
    by_hand.terms = lambda queries: np.zeros((3, *queries.candidate_items.shape))
    evaluation = evaluator_of(toy).evaluate(model, lists)
    result = evaluation.test
    for system in ("lm", "scorer", "ranker"):
        assert (result.ranks[system][result.retrieved] == CANDIDATES).all()


def test_systems_of_stage_one_keep_their_ranks(toy, model, lists, by_hand):
    result = evaluator_of(toy).evaluate(model, lists).test
    assert result.ranks["retriever"].tolist() == lists["test"].ranks["retriever"].tolist()
    assert result.depth == CANDIDATES


def test_without_a_language_model_the_ranker_is_scorer_and_prior(toy, model, lists, by_hand):
    plain = RankerModel(None, model.scorer, None, model.fusion)
    evaluation = evaluator_of(toy).evaluate(plain, lists)
    assert set(evaluation.test.ranks) == {"retriever", "scorer", "ranker"}
    assert evaluation.tokens == 0
    assert set(evaluation.losses("test")) == {"scorer", "prior"}
    assert (evaluation.scored["test"].terms[LM] == 0).all()


def test_scores_of_a_language_model_are_stored_and_read_again(toy, model, lists, by_hand, tmp_path):
    evaluator = evaluator_of(toy, ScoreCache(tmp_path, {}))
    first = evaluator.evaluate(model, lists)
    assert sorted(path.stem for path in tmp_path.iterdir()) == ["test", "val"]
    by_hand.calls.clear()
    again = evaluator.evaluate(model, lists)
    # Lists without the language model are scored anew.
    assert [has_lm for has_lm, _ in by_hand.calls] == [False]
    assert again.seconds == first.seconds
    for system, ranks in first.test.ranks.items():
        assert np.array_equal(ranks, again.test.ranks[system])


def test_scores_without_a_language_model_are_not_stored(toy, model, lists, by_hand, tmp_path):
    evaluator = evaluator_of(toy, ScoreCache(tmp_path, {}))
    evaluator.evaluate(model.without_lm(), lists)
    assert list(tmp_path.iterdir()) == []
