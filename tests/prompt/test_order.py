import numpy as np
import pytest

from lkgrag.prompt.order import CandidateOrder, candidate_order

IDS = np.array([7, 11, 7])


@pytest.mark.parametrize("policy", ["random", "retriever", "published"])
@pytest.mark.parametrize("epoch", [-1, 0, 3])
def test_a_candidate_order_draws_what_the_function_draws(policy, epoch):
    order = CandidateOrder(policy, seed=5)(IDS, 6, epoch)
    assert order.dtype == np.int64
    assert np.array_equal(order, candidate_order(IDS, 6, policy, 5, epoch))


def test_the_order_of_evaluation_is_the_default():
    random, published = CandidateOrder("random", 0), CandidateOrder("published", 0)
    assert np.array_equal(random(IDS, 6), random(IDS, 6, epoch=-1))
    assert not np.array_equal(random(IDS, 6), random(IDS, 6, epoch=0))
    assert published(IDS, 6).tolist() == [list(range(6))] * 3
    assert published(IDS, 6, epoch=0).tolist() != [list(range(6))] * 3


def test_the_id_of_a_prompt_decides_its_order_and_its_neighbours_do_not():
    random = CandidateOrder("random", seed=1)
    order = random(IDS, 8)
    assert np.array_equal(order[0], order[2])
    assert not np.array_equal(order[0], order[1])
    assert np.array_equal(order[1:2], random(IDS[1:2], 8))
    assert not np.array_equal(order, CandidateOrder("random", seed=2)(IDS, 8))


def test_without_prompts_the_order_has_no_rows():
    assert CandidateOrder("random", 0)(np.zeros(0, np.int64), 4).shape == (0, 4)
