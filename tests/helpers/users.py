"""Tables of random users."""

import numpy as np

from lkgrag.serving.users import UsersInMemory


def users_of(num, seed=0):
    """``num`` users ``u0``, ``u1``, ... with 1 to 5 items each; every seventh rating is unknown."""
    rng = np.random.default_rng(seed)
    indptr = np.concatenate([[0], np.cumsum(rng.integers(1, 6, num))])
    items = rng.integers(0, 40, indptr[-1])
    ratings = rng.integers(1, 6, indptr[-1]).astype(np.float32)
    ratings[::7] = np.nan
    return UsersInMemory([f"u{n}" for n in range(num)], indptr, items, ratings)
