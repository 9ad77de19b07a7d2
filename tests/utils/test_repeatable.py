"""Trainings give the same bits again, with several threads."""

import numpy as np
import pandas as pd
import pytest
import torch

from lkgrag.data import Interactions
from lkgrag.retrieval.text.retriever import TextRetriever
from lkgrag.utils.repeatable import summed_in_order

CPU = torch.device("cpu")


@pytest.fixture
def two_threads():
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("two_threads")
def test_gradients_of_indexed_tensors_are_the_same_every_time():
    """Large enough that PyTorch shares the work: each place gets the sum of 4,000 rows."""
    torch.manual_seed(0)
    index, factor = torch.randint(0, 10, (40_000,)), torch.randn(40_000, 8)
    found = []
    for _ in range(20):
        table = torch.zeros(10, 8, requires_grad=True)
        with summed_in_order(CPU):
            (table[index] * factor).sum().backward()
        found.append(table.grad)
    assert all(torch.equal(grad, found[0]) for grad in found)


def test_the_flag_is_put_back():
    fill = torch.utils.deterministic.fill_uninitialized_memory
    with summed_in_order(CPU):
        assert torch.are_deterministic_algorithms_enabled()
        with summed_in_order(CPU):
            pass
        assert torch.are_deterministic_algorithms_enabled()
    assert not torch.are_deterministic_algorithms_enabled()
    with pytest.raises(ZeroDivisionError), summed_in_order(CPU):
        raise ZeroDivisionError
    assert not torch.are_deterministic_algorithms_enabled()
    assert torch.utils.deterministic.fill_uninitialized_memory == fill
    with summed_in_order(torch.device("meta")):
        assert not torch.are_deterministic_algorithms_enabled()


@pytest.mark.slow
@pytest.mark.usefixtures("two_threads")
def test_text_towers_are_the_same_every_time():
    rng = np.random.default_rng(0)
    users, items = np.repeat(np.arange(400), 12), rng.integers(0, 150, 4800)
    frame = pd.DataFrame({"user": users, "item": items, "time": np.arange(4800)})
    x = Interactions.from_frames(frame.drop_duplicates(["user", "item"]))
    texts = [f"thing {n % 7} of kind {n % 11}" for n in range(x.num_items)]
    one, two = (TextRetriever.learn(x, texts, None, CPU, 0).towers for _ in range(2))
    for name, value in one.state_dict().items():
        assert torch.equal(value, two.state_dict()[name]), name
