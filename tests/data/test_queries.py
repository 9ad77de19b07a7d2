import numpy as np
import pandas as pd
import pytest

from lkgrag.config import DataConfig
from lkgrag.data import Interactions, Queries, log_softmax, make_split


def test_queries_show_only_what_precedes_the_event():
    rows = [("u", f"i{n}", n, n) for n in range(6)]
    x = Interactions.from_frames(
        pd.DataFrame(rows, columns=["user", "item", "rating", "time"]),
        config=DataConfig(min_user=1, min_item=1),
    )
    split = make_split(x, DataConfig())
    candidates = np.array([[5, 0, -1]])
    q = Queries.from_events(x, split.test, candidates, np.array([[1.0, 1.0, 0.0]]), history=3)
    assert q.history_items.tolist() == [[2, 3, 4]]
    assert q.history_rating.tolist() == [[2, 3, 4]]
    assert q.history_age.tolist() == [[2, 1, 0]]
    assert q.target.tolist() == [0]
    assert q.time.tolist() == [5]
    assert np.exp(q.prior[0, :2]).tolist() == pytest.approx([0.5, 0.5])
    assert q.prior[0, 2] == -np.inf
    short = Queries.from_events(x, split.val, candidates, np.zeros((1, 3)), history=9)
    assert short.history_items.tolist() == [[0, 1, 2, 3, -1, -1, -1, -1, -1]]
    assert short.history_age.tolist() == [[3, 2, 1, 0, -1, -1, -1, -1, -1]]
    assert short.target.tolist() == [-1]


def test_raw_histories_keep_the_latest():
    q = Queries.from_histories(
        [np.array([1, 2, 3]), np.array([], int)], np.array([[4], [5]]), np.zeros((2, 1)), history=2
    )
    assert q.history_items.tolist() == [[2, 3], [-1, -1]]
    assert q.history_age.tolist() == [[1, 0], [-1, -1]]
    assert q.user.tolist() == [-1, -1]


def test_log_softmax_of_an_empty_row_is_minus_infinity():
    out = log_softmax(np.zeros((2, 2)), np.array([[True, True], [False, False]]))
    assert np.exp(out[0]).sum() == pytest.approx(1)
    assert np.isneginf(out[1]).all()
