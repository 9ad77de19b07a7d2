"""The interactions that the engines are measured on have Beauty's degrees; the values of bulk rankings."""

import numpy as np
import pyarrow.parquet as pq

from benchmarks.common import judge
from benchmarks.engines import bulk, nodes
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


def test_values_and_table_of_bulk_rankings():
    row = {
        "workers": 1,
        "users_a_second": 200.0,
        "users_a_second_with_start": 90.0,
        "seconds_to_start": 8.0,
    }
    two = {**row, "workers": 2, "users_a_second": 380.0, "equal_shards": 8}
    found = {"shards": 8, "rows": [row, two], "killed": {**two, "equal_shards": 6}}
    values = bulk.values(found)
    assert values == {"C7": 1.9, "C8": 75.0}
    met = {t["name"]: t["met"] for t in judge("C", values, suite="engines")}
    assert met["C7"]
    assert not met["C8"]
    assert bulk.table(found).splitlines()[2:] == [
        "| 1 | 200 | 90 | 8 |  |",
        "| 2 | 380 | 90 | 8 | 8 of 8 |",
        "| 2, one killed |  | 90 | 8 | 6 of 8 |",
    ]
    assert bulk.values(None) == {}


def test_a_process_trains_for_the_clock_and_the_table_shows_it(tmp_path, monkeypatch):
    monkeypatch.setattr(nodes, "WARM", 50)
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    items = nodes._write_sequences(None, tmp_path)
    order = {"folder": str(tmp_path), "items": items, "sizes": [24], "seed": 0, "timed": 200}
    (found,) = nodes._work(order)
    assert found["labels_a_second"] > 0
    assert len(found["losses"]) >= nodes.TURNS
    row = {"batch": 24, "ratio": 0.5, "cpu_ratio": 1.5, "losses_apart": 1e-6, "load": 2.0}
    row |= {"labels_a_step": 150.0, "labels_a_second": {"1": 2000.0, "2": 1000.0}}
    assert nodes.table({"rows": [row]}).splitlines()[2] == (
        "| 24 | 150 | 2,000 | 1,000 | 0.50 | 1.50 | 1.0e-06 | 2.0 |"
    )
