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
