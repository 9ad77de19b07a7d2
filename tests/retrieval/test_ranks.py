import numpy as np
import pytest

from lkgrag.evaluation import pessimistic_rank
from lkgrag.retrieval import ranks as ranking
from lkgrag.retrieval import topk
from lkgrag.retrieval.ranks import MISSED, Seen, ndcg, pessimistic_ranks, recall, tie_order, top_k


def histories(*rows):
    return [np.array(r, np.int64) for r in rows]


def test_ties_count_against_the_target():
    scores = np.array([[3, 1, 2, 2, 2]], np.float32)
    nothing = Seen.of(histories([]))
    for target, rank in ((0, 1), (2, 4), (3, 4), (4, 4), (1, 5)):
        assert pessimistic_ranks(scores, np.array([target]), nothing).tolist() == [rank]


def test_masked_items_are_not_ahead_and_a_masked_target_is_missed():
    scores = np.array([[5, 4, 3, 2], [5, 4, 3, 2]], np.float32)
    seen = Seen.of(histories([0, 1], [2]))
    assert pessimistic_ranks(scores, np.array([2, 2]), seen).tolist() == [1, MISSED]
    free = Seen.of(histories([0, 1], [2]), mask=False)
    assert pessimistic_ranks(scores, np.array([2, 2]), free).tolist() == [3, 3]


def test_both_functions_have_one_definition():
    rng = np.random.default_rng(0)
    values = np.array([-np.inf, np.nan, np.inf, 0.0, 1.0, -1.0])
    scores = rng.choice(values, (400, 7)).astype(np.float32)
    target = rng.integers(0, 7, 400)
    ranks = pessimistic_ranks(scores, target, Seen.of(histories([])))
    assert ranks.tolist() == pessimistic_rank(scores, target).tolist()
    # By hand: whatever does not lie below the target, where NaN lies as low as minus infinity.
    low = np.nan_to_num(scores, nan=-np.inf, posinf=np.inf, neginf=-np.inf)
    expected = [sum(v >= row[t] for v in row) for row, t in zip(low, target, strict=True)]
    assert ranks.tolist() == expected
    seen = Seen.of([np.flatnonzero(np.arange(7) == (t + 1) % 7) for t in target])
    mask = np.arange(7)[None] != ((target + 1) % 7)[:, None]
    assert (
        pessimistic_ranks(scores, target, seen).tolist()
        == pessimistic_rank(scores, target, mask).tolist()
    )
    whole = np.array([[3, 1, 2]])
    assert pessimistic_ranks(whole, np.array([2]), Seen.of(histories([]))).tolist() == [2]


def test_ties_of_the_list_go_to_the_popular_then_to_the_smaller_index():
    scores = np.array([[1, 1, 1, 1, 9]], np.float32)
    popularity = np.array([2, 7, 7, 1, 0])
    items, values = top_k(scores, 4, Seen.of(histories([])), tie_order(popularity))
    assert items.tolist() == [[4, 1, 2, 0]]
    assert values.tolist() == [[9, 1, 1, 1]]


def test_lists_hold_no_seen_item_and_are_padded():
    scores = np.array([[1, 2, 3], [1, 2, 3]], np.float32)
    seen = Seen.of(histories([2], [0, 1, 2]))
    items, values = top_k(scores, 5, seen, tie_order(np.array([1, 1, 1])))
    assert items.tolist() == [[1, 0, -1, -1, -1], [-1] * 5]
    assert values[0, :2].tolist() == [2, 1]
    assert np.isneginf(values[0, 2:]).all()
    assert np.isneginf(values[1]).all()


@pytest.mark.parametrize("form", [topk.compiled_best, topk.vectorised_best])
def test_top_k_agrees_with_a_full_sort(form, monkeypatch):
    monkeypatch.setattr(ranking, "best_of_rows", form)
    rng = np.random.default_rng(0)
    scores = rng.integers(0, 6, (30, 40)).astype(np.float32)
    popularity = rng.integers(0, 4, 40)
    past = [rng.choice(40, rng.integers(0, 35), replace=False) for _ in range(30)]
    items, _ = top_k(scores, 10, Seen.of(past), tie_order(popularity))
    for row in range(30):
        left = sorted(
            set(range(40)) - set(past[row].tolist()),
            key=lambda i: (-scores[row, i], -popularity[i], i),
        )
        assert items[row][items[row] >= 0].tolist() == left[:10]


def test_metrics_by_hand():
    ranks = np.array([1, 3, 10, 11, MISSED])
    assert ndcg(ranks, 10) == pytest.approx((1 + 0.5 + 1 / np.log2(11)) / 5)
    assert recall(ranks, 10) == pytest.approx(3 / 5)
