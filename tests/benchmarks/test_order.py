"""What the order of ids does to stored gains."""

import numpy as np
import pandas as pd
import pytest
from helpers.sequences import sequences
from helpers.small_run import write_shop

from benchmarks import common, order, quality_page, quality_results, run
from benchmarks.quality_table import summary
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
    said = {
        "seeds": [0],
        "budget": {},
        "data": {"shop": options | {"data.name": "shop"}},
        "rows": {"scorer": {"llm.name": "none"}},
        "looks": {},
        "quick": {},
    }
    monkeypatch.setattr(quality_results, "RESULTS", tmp_path)
    monkeypatch.setattr(order, "settings", lambda: said)
    monkeypatch.setattr(quality_results, "provenance", lambda command: {"command": command})
    quality_results.save(said, "shop", table, {}, "none")
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


def test_rows_of_a_sample_stand_with_what_their_shared_events_say():
    users = [f"u{n}" for n in range(8)]
    whole = pd.DataFrame({
        "split": "test", "user": users, "position": 3, "candidates": 20, "retrieved": True,
        "rank_retriever": 2, "rank_ranker": [1, 2] * 4, "row": "lkgrag", "seed": 0,
    })  # fmt: skip
    sample = whole[:4].assign(row="llamarec+fusion", rank_ranker=[2, 2, 2, 3])
    said = {"rows": {"lkgrag": {}, "llamarec+fusion": {}}}
    rows = summary(pd.concat([whole, sample], ignore_index=True), said)
    text = quality_page.samples({"rows": rows, "main": "lkgrag"})
    assert "| LlamaRec + fusion with the prior | 4 |" in text
    assert quality_page.samples({"rows": rows[:3], "main": "lkgrag"}) == ""
