import numpy as np

from lkgrag.prompt.order import candidate_order
from lkgrag.training.batches import compose, draw_wordless, find_epochs, share


def test_every_example_once_an_epoch_in_another_order():
    batches = compose(np.zeros(10, int), 4, 2, seed=0)
    assert [len(b) for b in batches] == [4, 4, 2, 4, 4, 2]
    first, second = np.concatenate(batches[:3]), np.concatenate(batches[3:])
    assert sorted(first) == sorted(second) == list(range(10))
    assert not np.array_equal(first, second)
    again = compose(np.zeros(10, int), 4, 2, seed=0)
    assert all(np.array_equal(a, b) for a, b in zip(batches, again, strict=True))


def test_the_limit_counts_prompts_over_epochs():
    assert [len(b) for b in compose(np.zeros(10, int), 4, 9, seed=0, limit=13)] == [4, 4, 2, 3]
    assert [len(b) for b in compose(np.zeros(10, int), 4, 1, seed=0, limit=100)] == [4, 4, 2]


def test_a_batch_lies_in_one_fold():
    folds = np.array([0, 1, 1, 0, 2, 1, 1, 0, 1, 1])
    batches = compose(folds, 2, 3, seed=0)
    per_epoch = len(batches) // 3
    orders = []
    for epoch in range(3):
        mine = batches[epoch * per_epoch : (epoch + 1) * per_epoch]
        assert sorted(np.concatenate(mine)) == list(range(10))
        assert all(len(np.unique(folds[batch])) == 1 for batch in mine)
        orders.append([int(folds[batch[0]]) for batch in mine])
    # The folds take turns at random.
    assert orders[0] != orders[1]
    assert any(order != sorted(order) for order in orders)
    limited = compose(folds, 2, 3, seed=0, limit=5)
    assert sum(map(len, limited)) == 5


def test_one_folds_batches_do_not_depend_on_its_number():
    one, two = (compose(np.full(7, fold), 3, 2, seed=4) for fold in (0, 5))
    assert all(np.array_equal(a, b) for a, b in zip(one, two, strict=True))


def test_processes_share_a_batch_without_loss_and_in_equal_steps():
    batch = np.arange(10, 17)
    for world in (1, 2, 3, 8):
        parts = [share(batch, rank, world, micro=2) for rank in range(world)]
        assert len({len(p) for p in parts}) == 1
        assert sorted(np.concatenate([np.concatenate(p) for p in parts])) == sorted(batch)
        assert all(len(m) <= 2 for p in parts for m in p)


def test_orders_are_permutations_drawn_from_seed_epoch_and_example():
    ids = np.array([5, 9])
    one = candidate_order(ids, 20, "random", seed=0, epoch=0)
    assert (np.sort(one, 1) == np.arange(20)).all()
    assert not np.array_equal(one[0], one[1])
    assert np.array_equal(one[1:], candidate_order(ids[1:], 20, "random", seed=0, epoch=0))
    assert not np.array_equal(one, candidate_order(ids, 20, "random", seed=0, epoch=1))
    assert candidate_order(ids, 3, "retriever", 0, 0).tolist() == [[0, 1, 2]] * 2


def test_batches_of_tokens_hold_no_more_than_the_budget():
    rng = np.random.default_rng(0)
    tokens = rng.integers(10, 60, 50)
    tokens[7] = 400
    folds = np.arange(50) % 2
    batches = compose(folds, 200, 2, seed=0, tokens=tokens)
    sums = [int(tokens[batch].sum()) for batch in batches]
    assert all(n <= 200 or len(b) == 1 for n, b in zip(sums, batches, strict=True))
    assert max(sums) == 400
    # No batch could have taken the next example of its fold as well, but for the last ones.
    assert np.mean(sums) > 120
    assert all(len(np.unique(folds[batch])) == 1 for batch in batches)
    epochs = np.array(find_epochs(batches, 50))
    for epoch in (0, 1):
        mine = np.concatenate([b for b, e in zip(batches, epochs, strict=True) if e == epoch])
        assert sorted(mine) == list(range(50))
    assert len(np.concatenate(compose(folds, 200, 2, 0, 33, tokens))) == 33


def test_who_is_wordless_depends_on_seed_epoch_and_prompt_alone():
    ids = np.arange(400)
    drawn = draw_wordless(ids, 0.5, seed=3, epoch=1)
    assert 0.4 < drawn.mean() < 0.6
    np.testing.assert_array_equal(draw_wordless(ids[::-1], 0.5, 3, 1), drawn[::-1])
    assert (draw_wordless(ids, 0.5, 3, 2) != drawn).any()
    assert (draw_wordless(ids, 0.5, 4, 1) != drawn).any()
    assert not draw_wordless(ids, 0.0, 3, 1).any()
    assert draw_wordless(ids, 1.0, 3, 1).all()
    assert draw_wordless(ids[:0], 0.5, 3, 1).shape == (0,)
