import numpy as np

from lkgrag.prompt.order import candidate_order
from lkgrag.training.batches import compose, share


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
