"""Item-item weights and popularity by queries: those of arrays, to the last bit."""

import tempfile
from pathlib import Path

import numpy as np
from helpers.large import many, small_duck
from hypothesis import given, settings
from hypothesis import strategies as st

from lkgrag.config import DataConfig
from lkgrag.data import Interactions
from lkgrag.kg.base import Training
from lkgrag.kg.large.histories import Histories
from lkgrag.retrieval.itemitem import ItemItemRetriever
from lkgrag.retrieval.large import count_interactions, read_itemitem, write_itemitem
from lkgrag.retrieval.popularity import PopularityRetriever


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 10**6), st.sampled_from([None, 2000]))
def test_weights_equal_those_of_arrays(seed, arrays):
    rng = np.random.default_rng(seed)
    config = DataConfig(min_user=1, min_item=1, duplicates=("last", "keep")[seed % 2])
    x = Interactions.from_frames(many(seed, int(rng.integers(1, 500))), config=config)
    training = Training.of(x, np.diff(x.indptr))
    with tempfile.TemporaryDirectory() as name, small_duck(name, arrays) as duck:
        histories = Histories.of(duck, training)
        got = read_itemitem(write_itemitem(duck, histories, Path(name, "itemitem")), x.num_items)
        popularity = count_interactions(histories)
    want = ItemItemRetriever.fit(x, decay=0.9).weight
    for part in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(got, part), getattr(want, part))
    np.testing.assert_array_equal(popularity, PopularityRetriever.fit(x).count)
