"""The interactions that the engines are measured on have Beauty's degrees."""

import numpy as np
import pyarrow.parquet as pq

from benchmarks.engines.events import communities, write_events
from benchmarks.scale.synthetic import FILE
from lkgrag.utils.files import read_json


def test_made_interactions_have_the_degrees_of_the_real_data(tmp_path):
    path, said = tmp_path / "events.parquet", read_json(FILE)
    scale = communities(400_000)
    assert scale == 2
    number = write_events(scale, path, seed=1)
    table = pq.read_table(path)
    assert len(table) == number
    for kind in ("user", "item"):
        degree, users = np.unique(np.bincount(table[kind].to_numpy()), return_counts=True)
        want = {int(d): scale * n for d, n in said[kind].items()}
        assert dict(zip(degree.tolist(), users.tolist(), strict=True)) == want
