"""Small interactions of every kind for the engines: ties, repetitions, unknown times and ratings, odd ids."""

import pickle
from contextlib import ExitStack, contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
from hypothesis import strategies as st

from lkgrag.config import EngineConfig
from lkgrag.utils.duck import open_duck
from lkgrag.utils.steps import Alone

#: Whole numbers with and without zeros before them, digits of another script, letters, and two spellings of one.
USERS = ["7", "007", "10", "2", "-3", "1e3", "a", "B 7", "\u0663", "\u00c4", "A\u0308"]
ITEMS = [*map(str, range(9)), "x1", "x10", "x9", "00", "\u00e9"]

#: Interactions: user, item, rating, time. Few values, so that they meet.
rows = st.lists(
    st.tuples(
        st.sampled_from(USERS),
        st.sampled_from(ITEMS),
        st.none() | st.integers(1, 5),
        st.none() | st.integers(0, 12).map(lambda day: 1e9 + 86_400 * day),
    ),
    min_size=1,
    max_size=120,
)


def frame(values):
    """A table of such interactions."""
    columns = ["user", "item", "rating", "time"]
    return pd.DataFrame(values, columns=columns).astype({"rating": float, "time": float})


def many(seed, number=400):
    """A table of many interactions."""
    rng = np.random.default_rng(seed)
    time = 1e9 + 86_400.0 * rng.integers(0, 30, number)
    time[rng.random(number) < 0.1] = np.nan
    return pd.DataFrame(
        {
            "user": rng.choice(USERS, number),
            "item": rng.choice(ITEMS, number),
            "rating": rng.integers(1, 6, number).astype(float),
            "time": time,
        }
    )


@contextmanager
def small_duck(folder, arrays=None):
    """A database whose results and tables of groups take so few bytes that work is divided into many parts."""
    with open_duck(EngineConfig(memory="512MB"), beside=Path(folder)) as duck:
        if arrays is not None:
            duck.arrays = duck.memory = arrays
        yield duck


class Apart(Alone):
    """Parts as a cluster makes them: each from its pickled call, in a random order, by one of two databases."""

    is_spread = True

    def __init__(self, duck, others, rows=40, seed=0):
        super().__init__(duck)
        self.others, self.rows, self.rng = others, rows, np.random.default_rng(seed)

    def do(self, words, tasks):
        for n in self.rng.permutation(len(tasks)):
            if not tasks[n].out.exists():
                task = pickle.loads(pickle.dumps(tasks[n]))
                task.call(self.others[n % len(self.others)], *task.args)
                assert task.out.exists(), words
        return [task.out for task in tasks]

    def most_rows(self, total, size):
        return self.rows


@contextmanager
def many_hands(folder, rows=40, seed=0):
    """Three databases: of who divides the work, and of two that do it."""
    with ExitStack() as stack:
        ducks = [stack.enter_context(small_duck(folder)) for _ in range(3)]
        yield Apart(ducks[0], ducks[1:], rows, seed)
