"""What the order of ids does to stored gains."""

import numpy as np
import pandas as pd
import pytest
from helpers.sequences import sequences
from helpers.small_run import write_shop

from benchmarks import common, order, run
from benchmarks.quality import page as quality_page
from benchmarks.quality import results as quality_results
from lkgrag.config.loading import load_config
from lkgrag.run.stages import load_dataset


def test_rising_ids_are_counted_within_users():
    # As numbers 9 < 10 < 11; as words it would be the other way round.
    x = sequences(["9", "10", "11"], ["11", "10", "9"], ["10", "9"], start=1_000)
    found = order.rising(x)
    assert found["pairs"] == pytest.approx(2 / 5)
    # Only users with three items say something of the last three.
    assert (found["last_two"], found["last_three"]) == (0.5, 0.5)
    assert not found["positions"]
    assert order.rising(sequences(["a", "b", "c"], ["c", "b", "a"], start=0))["positions"]


def test_gains_are_told_apart_by_the_order_of_ids(tmp_path, monkeypatch):
    write_shop(tmp_path)
    options = {"data.name": "shop", "data.root": str(tmp_path)}
    options |= {"data.min_user": "1", "data.min_item": "1"}
    loaded = load_dataset(load_config(options))
    x, test = loaded.interactions, loaded.split.test
    before = x.item[x.indptr[test.user] + test.position - 1]
    # Words, since not all ids are numbers.
    assert not x.item_ids[0].isdecimal()
    ids = np.array(x.item_ids)
    above = ids[test.target] > ids[before]
    table = pd.DataFrame(
        {
            "split": "test",
            "user": [x.user_ids[u] for u in test.user],
            "position": test.position,
            "candidates": 8,
            "retrieved": True,
            "rank_retriever": 2,
            # Where the id rises the scorer finds the item at once, elsewhere it is the retriever.
            "rank_ranker": np.where(above, 1, 2),
            "row": "scorer",
            "seed": 0,
        }
    )
    settings = {
        "seeds": [0],
        "budget": {},
        "data": {"shop": options | {"data.name": "shop"}},
        "rows": {"scorer": {"llm.name": "none"}},
        "looks": {},
        "quick": {},
    }
    monkeypatch.setattr(quality_results, "RESULTS", tmp_path)
    monkeypatch.setattr(order, "read_settings", lambda: settings)
    monkeypatch.setattr(quality_results, "provenance", lambda command: {"command": command})
    quality_results.save(settings, "shop", table, {}, "none")
    found = order.measure({"shop": str(tmp_path)})["shop"]
    assert found["main"] == "scorer"
    gain = 1 - 1 / np.log2(3)
    assert found["groups"]["above"]["mean"] == pytest.approx(gain)
    assert found["groups"]["above"]["events"] == above.sum()
    assert found["groups"]["below"]["mean"] == 0
    assert order.measure({}) == {}
    # The page tells it of files without times only.
    page = {"sets": {"shop": {**found, "rising": {**found["rising"], "positions": False}}}}
    monkeypatch.setattr(quality_page, "stored", lambda name: page)
    assert quality_page.order_of_ids("shop") == ""
    page["sets"]["shop"]["rising"]["positions"] = True
    assert f"{above.sum():,} events" in quality_page.order_of_ids("shop")


def test_data_sets_that_are_not_at_hand_keep_what_was_found(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    share = {"rising": {"pairs": 0.5}}
    monkeypatch.setattr(order, "measure", lambda roots: {"one": share, "two": share})
    assert run.main(["order"]) == 0
    monkeypatch.setattr(order, "measure", lambda roots: {"two": {"rising": {"pairs": 0.75}}})
    assert run.main(["order", "--quick"]) == 0
    assert run.main(["order"]) == 0
    found = common.stored("order")["sets"]
    assert (found["one"]["rising"]["pairs"], found["two"]["rising"]["pairs"]) == (0.5, 0.75)
    assert "two: ids rise in 75.0% of neighbours" in capsys.readouterr().out
