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
from lkgrag.ranker.fusion import TermWeights
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
    ranker.fusion.set(TermWeights(1.0, 0.123, 0.456))
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
    assert evaluation.prompts == sum(int(read.sum()) for read in evaluation.read.values()) > 0


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
    fitted = fit_weights(known, model.fusion.weights, SEED)
    assert evaluation.weights == fitted
    assert evaluation.fusion.weights == pytest.approx(fitted.chosen, rel=1e-5)
    # The scorer decides, and the language model is noise.
    assert fitted.chosen.scorer > 0.5
    assert fitted.chosen.lm == 0
    queries, scored = evaluation.queries["test"], evaluation.scored["test"]
    fused = scored.fused(evaluation.fusion.weights)
    expected = pessimistic_rank(fused, queries.target, scored.mask)
    ranks = evaluation.test.ranks["ranker"][evaluation.test.retrieved]
    assert np.array_equal(ranks, expected)
    before = pessimistic_rank(scored.fused(model.fusion.weights), queries.target, scored.mask)
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
    assert len(np.unique(weights.chosen, axis=0)) > 1

    def ranks_with(weights):
        return pessimistic_rank(scored.fused(weights), queries.target, scored.mask)

    ranks = evaluation.val.ranks["ranker"][evaluation.val.retrieved]
    assert np.array_equal(ranks, ranks_with(weights.chosen))
    assert not np.array_equal(ranks, ranks_with(evaluation.fusion.weights))
    without = evaluation.val.ranks["without_lm"][evaluation.val.retrieved]
    assert np.array_equal(without, ranks_with(weights.without_lm))


def test_for_some_users_the_weights_of_the_model_are_taken(toy, model, lists, by_hand):
    users = np.array([3, 4, 11, 17])
    evaluation = evaluator_of(toy).evaluate(model, lists, users)
    assert evaluation.fusion.weights == pytest.approx(model.fusion.weights)
    for split in ("val", "test"):
        result, queries = evaluation.result_of(split), evaluation.queries[split]
        assert users_of(result) == set(users.tolist())
        scored = evaluation.scored[split]
        fused = scored.fused(model.fusion.weights)
        expected = pessimistic_rank(fused, queries.target, scored.mask)
        assert np.array_equal(result.ranks["ranker"][result.retrieved], expected)
    # Nothing is fitted, so no further list is scored.
    assert [has_lm for has_lm, _ in by_hand.calls] == [True, True]


def test_without_a_list_to_fit_on_the_weights_are_the_start(toy, model, lists, by_hand):
    missed = np.flatnonzero(~lists["val"].retrieved)
    lists = {"val": lists["val"][missed], "test": lists["test"]}
    evaluation = evaluator_of(toy).evaluate(model, lists)
    same = model.fusion.weights.normalised()
    assert evaluation.fusion.weights == pytest.approx(same, rel=1e-5)
    started = evaluator_of(toy).evaluate(model, lists, start=TermWeights(0.4, 0.7, 0.9))
    assert started.fusion.weights == pytest.approx((0.2, 0.35, 0.45), rel=1e-5)


def test_within_a_limit_the_language_model_reads_whole_users_and_the_others_rank_all(
    toy, model, lists, by_hand
):
    evaluation = evaluator_of(toy, max_events=9, max_val_events=5).evaluate(model, lists)
    for split, most in (("val", 5), ("test", 9)):
        result, read = evaluation.result_of(split), evaluation.result_of(split).read
        assert np.array_equal(result.target, lists[split].events.target)
        assert 0 < (result.retrieved & read).sum() <= most
        assert not set(result.user[read].tolist()) & set(result.user[~read].tolist())
        assert np.array_equal(result.covered("lm"), read)
        for system in ("retriever", "scorer", "without_lm"):
            assert result.covered(system).all()
        rank = result.frame()["rank_lm"].to_numpy()
        assert np.array_equal(rank == -1, ~read)
        losses = evaluation.losses(split)
        assert np.array_equal(~np.isnan(losses["lm"]), read & result.retrieved)
        assert np.array_equal(~np.isnan(losses["scorer"]), result.retrieved)
        assert (
            evaluation.cross_entropies()[split]["lm"]["prompts"] == (read & result.retrieved).sum()
        )


def test_figures_of_a_language_model_are_of_the_lists_that_it_read(toy, model, lists, by_hand):
    limited = evaluator_of(toy, max_events=9).evaluate(model, lists).test
    whole = evaluator_of(toy, max_events=-1).evaluate(model, lists).test
    gains = whole.gains("lm", "ndcg@10")[limited.read]
    assert limited.figures([10])["lm"]["all"]["ndcg@10"] == pytest.approx(gains.mean())
    assert limited.compare("lm", "scorer").events == limited.read.sum()
    assert limited.compare("scorer", "retriever").events == len(limited)


def test_lists_beyond_the_limit_weigh_scorer_and_prior_without_the_language_model(
    toy, model, lists, by_hand
):
    evaluation = evaluator_of(toy, max_events=-1, max_val_events=5).evaluate(model, lists)
    ((_, unread),) = [call for call in by_hand.calls if not call[0]]
    read = evaluation.read["val"]
    queries, scored = evaluation.queries["val"], evaluation.scored["val"]
    assert not set(queries.user[read].tolist()) & set(unread.user.tolist())
    assert read.sum() + len(unread) == lists["val"].retrieved.sum()
    assert evaluation.prompts == read.sum() + len(evaluation.queries["test"])
    few = TermLists(scored.terms, scored.mask, queries.target, queries.user)[read]
    alone = fit_weights(few, model.fusion.weights, SEED)
    assert evaluation.weights.without_lm != pytest.approx(alone.without_lm, rel=1e-3)


def test_the_worth_of_a_language_model_is_that_of_its_weights_on_what_it_read(
    toy, model, lists, by_hand
):
    def telling(queries):
        terms = signals(queries)
        terms[LM, np.arange(len(queries)), queries.target] += 4.0
        return terms

    by_hand.terms = telling
    evaluation = evaluator_of(toy, max_events=12).evaluate(model, lists)
    rows = {(split, pop): d for split, _, pop, d in evaluation.measure_marginal(200, 0)}
    assert set(rows) == {(s, p) for s in ("val", "test") for p in ("all", "retrieved")}
    for split in ("val", "test"):
        result = evaluation.result_of(split)
        assert rows[split, "retrieved"].events == (result.read & result.retrieved).sum()
        assert rows[split, "retrieved"].mean > 0.1
    assert evaluation.fusion.weights.lm > 0
    # The ranker, too, ranks what the language model read.
    assert np.array_equal(evaluation.test.covered("ranker"), evaluation.test.read)
    assert evaluator_of(toy).evaluate(model.without_lm(), lists).measure_marginal(200, 0) == []


def test_a_language_model_without_weight_ranks_nothing(toy, model, lists, by_hand):
    evaluation = evaluator_of(toy, max_events=12).evaluate(model, lists)
    assert evaluation.fusion.weights.lm == 0
    result = evaluation.test
    assert result.covered("ranker").all()
    assert np.array_equal(result.ranks["ranker"], result.ranks["without_lm"])


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
    assert by_hand.calls == []
    assert again.seconds == first.seconds
    for system, ranks in first.test.ranks.items():
        assert np.array_equal(ranks, again.test.ranks[system])


def test_scores_without_a_language_model_are_not_stored(toy, model, lists, by_hand, tmp_path):
    evaluator = evaluator_of(toy, ScoreCache(tmp_path, {}))
    evaluator.evaluate(model.without_lm(), lists)
    assert list(tmp_path.iterdir()) == []
