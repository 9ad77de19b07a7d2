"""The compiled check of a batch accepts what the plain one accepts, and nothing else."""

import numpy as np
import pytest

from lkgrag.paths.batch_check import are_indices_sound

ITEMS = np.array([[4, 5, -1], [6, 7, 8]])


def batch():
    """Three sound paths over two prompts with three history slots, two candidates and two meta-paths."""
    return {
        "sample": np.array([0, 0, 1]),
        "history": np.array([1, 0, 2]),
        "candidate": np.array([0, 1, 1]),
        "metapath": np.array([0, 1, 0]),
        "start": np.array([5, 4, 8]),
    }


def check(columns):
    *slots, start = columns.values()
    return are_indices_sound(tuple(slots), start, ITEMS, 2, 2)


def test_a_sound_batch():
    assert check(batch())
    assert check({name: column[:0] for name, column in batch().items()})


@pytest.mark.parametrize(
    ("column", "path", "value"),
    [
        ("sample", 2, 2),
        ("sample", 0, -1),
        ("sample", 0, 1),  # not sorted any more
        ("history", 0, 3),
        ("history", 0, -1),
        ("candidate", 1, 2),
        ("candidate", 1, -1),
        ("metapath", 2, 2),
        ("metapath", 2, -1),
        ("start", 0, 4),
    ],
)
def test_a_fault_anywhere(column, path, value):
    columns = batch()
    columns[column][path] = value
    assert not check(columns)
