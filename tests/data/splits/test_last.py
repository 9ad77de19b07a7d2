"""Splits by place in the sequence: leave one out, and rolling."""

import pandas as pd
import pytest

from lkgrag.config import DataConfig
from lkgrag.data import Interactions, make_split
from lkgrag.data.splits import SPLITS
from lkgrag.errors import ConfigError, DataError


def sequences(*lengths):
    rows = [(f"u{u}", f"i{n}", 1, n) for u, length in enumerate(lengths) for n in range(length)]
    frame = pd.DataFrame(rows, columns=["user", "item", "rating", "time"])
    return Interactions.from_frames(frame, config=DataConfig(min_user=1, min_item=1))


def test_leave_one_out():
    x = sequences(5, 2, 3)
    split = make_split(x, DataConfig())
    assert split.train_end.tolist() == [3, 2, 1]
    assert split.val.position.tolist() == [3, 1]
    assert split.test.position.tolist() == [4, 2]
    assert split.test.user.tolist() == [0, 2]
    assert [x.item_ids[i] for i in split.test.target] == ["i4", "i2"]
    assert (
        split.train_mask(x).tolist() == [True] * 3 + [False] * 2 + [True] * 2 + [True] + [False] * 2
    )


def test_rolling_predicts_each_of_the_last_items_and_trains_on_none():
    split = make_split(sequences(9, 4), DataConfig(split="rolling", rolling=2))
    assert split.test.position.tolist() == [7, 8, 3]
    assert split.val.position.tolist() == [5, 6, 2]
    assert split.train_end.tolist() == [5, 2]


def test_held_back_events_are_the_last_training_ones():
    x = sequences(12, 4)
    split = make_split(x, DataConfig())
    end, held = split.holdback(x, window=3, users=1.0, seed=0)
    assert split.train_end.tolist() == [10, 2]
    assert end.tolist() == [7, 1]
    assert held.position.tolist() == [7, 8, 9, 1]
    none, nothing = split.holdback(x, window=3, users=0.0, seed=0)
    assert none.tolist() == [10, 2]
    assert len(nothing) == 0


def test_every_word_of_the_option_is_a_split():
    x = sequences(9, 4)
    for word in SPLITS:
        assert len(make_split(x, DataConfig(split=word, time_unit="any")).test)
    with pytest.raises(
        ConfigError, match=r"data.split=roling: no such split. Did you mean 'rolling'"
    ):
        make_split(x, DataConfig(split="roling"))


def test_what_does_not_fit_is_refused():
    with pytest.raises(DataError, match="no user has three interactions"):
        make_split(sequences(2, 2), DataConfig())
    for word in ("rolling", "time"):
        with pytest.raises(ConfigError, match=r"data.rolling must be at least 1, got 0"):
            make_split(sequences(9), DataConfig(split=word, rolling=0))
    for option in ("val_from", "test_from"):
        with pytest.raises(ConfigError, match=r"need data.split=time"):
            make_split(sequences(9), DataConfig(**{option: "2015-03-31"}))
