"""What a run's results say in sentences."""

import pytest

from lkgrag.evaluation.summary import (
    coverage_sentence,
    formula,
    marginal_sentence,
    text_sentence,
    verdict,
)


def metrics(mean=0.0, p=0.5, ranker=0.12, lm=0.0, events=100):
    figures = {"all": {"ndcg@10": ranker}}
    difference = {"split": "test", "system": "ranker", "other": "retriever", "metric": "ndcg@10"}
    row = {"mean": mean, "low": -0.0011, "high": 0.0007, "p": p, "events": events}
    return {
        "llm": "tiny",
        "ranker": {"test": figures},
        "retriever": {"test": {"all": {"ndcg@10": 0.1}}},
        "differences": [{**difference, "population": "all", **row}],
        "marginal": [
            {
                "split": "test",
                "metric": "ndcg@10",
                "population": "retrieved",
                **row,
                "mean": -0.0002,
            }
        ],
        "fusion": {"lm": lm, "a": (1 - lm) / 2, "b": (1 - lm) / 2},
    }


def test_a_winner_is_named_only_beyond_chance():
    won = verdict(metrics(mean=0.02, p=0.0001))
    assert won == (
        "On test the ranker won: NDCG@10 of ranker .1200, fused retriever .1000 (+20.0 %, p < .001)."
    )
    assert "the fused retriever won" in verdict(metrics(mean=-0.02, p=0.01, ranker=0.08))
    assert "are level" in verdict(metrics(mean=0.02, p=0.3))
    assert verdict({"differences": []}) == ""


def test_the_figures_are_of_the_same_users():
    value = metrics(mean=0.03, p=0.01, ranker=0.15, events=40)
    value["cold_start"] = {"history": [{"events": 100}]}
    assert "ranker .1500, fused retriever .1200 (+25.0 %" in verdict(value)


def test_the_worth_of_the_language_model():
    line = marginal_sentence(metrics(p=0.71, events=371))
    assert line == (
        "language model over scorer + prior: NDCG@10 -.0002 [-.0011, +.0007], p = .710, on 371 lists; it has "
        "no weight in the ranking"
    )
    assert marginal_sentence(metrics(lm=0.3)).endswith("it has a weight of 30 % in the ranking")
    assert marginal_sentence({"marginal": []}) == ""
    same = metrics()
    same["marginal"][0] |= {"mean": 0.0, "low": 0.0, "high": 0.0, "p": 1.0}
    assert "NDCG@10 +.0000 (every positive weight makes validation worse), on" in marginal_sentence(
        same
    )


@pytest.mark.parametrize(
    ("fusion", "llm", "text"),
    [
        ({"lm": 0.0, "a": 0.4, "b": 0.6}, "tiny", ".40 scorer + .60 prior"),
        ({"lm": 0.5, "a": 0.5, "b": 0.0}, "tiny", ".50 lm + .50 scorer"),
        # Older versions: in units of the language model's weight, which they did not state.
        ({"a": 2.0, "b": 1.0}, "tiny", ".25 lm + .50 scorer + .25 prior"),
        ({"a": 1.0, "b": 1.0}, "none", ".50 scorer + .50 prior"),
        ({"lm": 0.004, "a": 0.0, "b": 0.996}, "tiny", ".004 lm + 1.00 prior"),
    ],
)
def test_the_weights_of_the_formula_sum_to_one(fusion, llm, text):
    assert formula({"fusion": fusion, "llm": llm}) == text


def test_the_part_of_the_users_that_was_read_is_named():
    value = metrics(lm=0.2)
    value["marginal"].append({**value["marginal"][0], "population": "all", "users": 40})
    value["data"] = {"counts": {"users": 100}}
    assert coverage_sentence(value) == (
        "lm and ranker: of 40 users drawn at random; every other system: of all 100."
    )
    value["data"]["counts"]["users"] = 40
    assert coverage_sentence(value) == ""


def test_the_worth_of_text():
    row = {"split": "test", "metric": "ndcg@10", "population": "all", "mean": 0.0101, "low": 0.0085}
    value = {"marginal_text": [{**row, "high": 0.0118, "p": 0.0001, "users": 22332}]}
    assert text_sentence(value) == (
        "text over the other retrievers: NDCG@10 +.0101 [+.0085, +.0118], p < .001, of 22,332 users"
    )
    assert text_sentence(value, "val") == text_sentence({}) == ""
