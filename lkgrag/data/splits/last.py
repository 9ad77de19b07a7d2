"""A split by place in each user's sequence: the last interactions are predicted."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lkgrag.data.splits.base import Spans, Split
from lkgrag.errors import DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.data.interactions import Interactions


def split_last(interactions: Interactions, n: int = 1) -> Split:
    """Test on the last ``n`` interactions of each user, and validate on the ``n`` before those.

    Each is predicted from all interactions before it. Nothing is trained on them. Users too short
    keep at least two training interactions and have fewer events.

    Args:
        interactions: the sequences.
        n: events of each user in each part, at least 1.

    Raises:
        DataError: no user has the three interactions that a split needs.
    """
    return last_spans(np.diff(interactions.indptr), n).split(interactions)


def last_spans(count: NDArray[np.int64], n: int = 1) -> Spans:
    """Where the parts of :func:`split_last` lie.

    Args:
        count: int64 ``[num_users]``, interactions of each user.
        n: events of each user in each part, at least 1.

    Raises:
        DataError: no user has the three interactions that a split needs.
    """
    floor = np.where(count >= 4, 2, 1)
    room = np.maximum(count - floor, 0)
    test_n = np.where(room >= 2, np.minimum(n, room // 2), 0)
    val_n = np.where(room >= 2, np.minimum(n, room - test_n), 0)
    if not test_n.any():
        raise DataError(
            "no user has three interactions, which a split needs; lower data.min_user or add data"
        )
    train_end = count - test_n - val_n
    return Spans(train_end, train_end, val_n, train_end + val_n, test_n)
