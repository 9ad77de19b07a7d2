"""Splits: which interactions train, and which are predicted from what precedes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lkgrag.data.splits.base import Split, span
from lkgrag.errors import ConfigError, DataError

if TYPE_CHECKING:
    from lkgrag.config import DataConfig
    from lkgrag.data.interactions import Interactions


def make_split(interactions: Interactions, config: DataConfig) -> Split:
    """Split by ``data.split``.

    ``leave_one_out``: the last item of each user is test, the one before validation. ``rolling``:
    the last ``n = data.rolling`` are test events, each predicted from all before it, and the ``n``
    before those are validation; nothing is trained on them. Users too short keep at least two
    training interactions and have fewer events. ``time``: see :func:`lkgrag.data.splits.time.time_split`.

    Raises:
        DataError: no user has the three interactions that a split needs, or a time is unknown that
            ``time`` needs.
        ConfigError: a number or a point in time does not fit.
    """
    n = config.rolling if config.split != "leave_one_out" else 1
    if n < 1:
        raise ConfigError(f"data.rolling must be at least 1, got {n}")
    if config.split == "time":
        from lkgrag.data.splits.time import time_split

        return time_split(interactions, config)
    if config.val_from is not None or config.test_from is not None:
        raise ConfigError("data.val_from and data.test_from need data.split=time")
    count = np.diff(interactions.indptr)
    floor = np.where(count >= 4, 2, 1)
    room = np.maximum(count - floor, 0)
    test_n = np.where(room >= 2, np.minimum(n, room // 2), 0)
    val_n = np.where(room >= 2, np.minimum(n, room - test_n), 0)
    if not test_n.any():
        raise DataError(
            "no user has three interactions, which a split needs; lower data.min_user or add data"
        )
    train_end = count - test_n - val_n
    return Split(
        train_end=train_end,
        val=span(interactions, train_end, val_n),
        test=span(interactions, train_end + val_n, test_n),
    )
