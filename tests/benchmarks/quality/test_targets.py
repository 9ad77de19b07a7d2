"""Targets, by hand."""

import numpy as np
import pandas as pd
import pytest
from helpers.rank_tables import SETTINGS, table_of

from benchmarks.quality import table as quality_table
from benchmarks.quality import targets as quality_targets


def test_targets_by_hand():
    table = table_of({"lkgrag": [1, 2, 1, 0], "llamarec+fusion": [2, 2, 3, 0]})
    gain = 1 / np.log2(3)
    # Losses of two users in two runs, .1 and .3 below chance, and .05 and .25; others' do not count.
    losses = pd.DataFrame(
        {
            "split": "val",
            "user": ["a", "b", "a", "b", "a", "b"],
            "position": 2,
            "candidates": 20,
            "retrieved": True,
            "nll_lm": np.log(20) - [0.1, 0.3, 0.05, 0.25, 0.0, 0.0],
            "row": ["lkgrag"] * 4 + ["llamarec+fusion"] * 2,
            "seed": [0, 0, 1, 1, 0, 0],
        }
    )
    table = pd.concat([table, losses], ignore_index=True)
    about = {"lkgrag/0": {"tied": False}, "lkgrag/1": {}, "llamarec+fusion/0": {}}
    rows = {r["name"]: r for r in quality_targets.targets("amazon-beauty", table, about, SETTINGS)}
    # The mean .15 over the standard error of two users, .2 / 2.
    assert rows["Q0_loss"]["value"] == pytest.approx(1.5)
    assert not rows["Q0_loss"]["met"]
    retriever = 3 * gain / 4
    assert rows["Q2_gain"]["value"] == pytest.approx(100 * ((2 + gain) / 4 / retriever - 1))
    # The better of the two is what counts.
    better = (2 * gain + 0.5) / 4
    assert rows["Q3_llamarec_gain"]["value"] == pytest.approx(100 * ((2 + gain) / 4 / better - 1))
    assert rows["Q4"]["value"] == pytest.approx((2 + gain) / 4)
    assert rows["Q4"]["met"]
    assert "shared" not in rows["Q3_llamarec_gain"]
    sample = table[~((table["row"] == "llamarec+fusion") & (table["user"] == "a"))]
    found = {
        r["name"]: r for r in quality_targets.targets("amazon-beauty", sample, about, SETTINGS)
    }
    assert found["Q3_llamarec_gain"]["shared"] == pytest.approx(100.0)
    for name in ("Q1_gain", "Q3_reference_gain", "Q3_reference_p"):
        assert rows[name]["value"] is None
        assert rows[name]["met"] is False
    assert "Q2_gain" not in {
        r["name"] for r in quality_targets.targets("ml-100k", table, about, SETTINGS)
    }
    # Without tied times one order is all there is, and that is settings.
    assert "one order" in rows["Q4"]["note"]
    # However sure, the p of a loss is not met.
    worse = table.assign(rank_ranker=25)
    worse = pd.concat([worse.assign(user=worse["user"] + str(n)) for n in range(40)])
    found = {r["name"]: r for r in quality_targets.targets("amazon-beauty", worse, about, SETTINGS)}
    assert found["Q2_p"]["value"] < 0.01
    assert not found["Q2_p"]["met"]
    # Where times are tied, one order of them says nothing of the lowest.
    about["lkgrag/0"]["tied"] = True
    settings = {"rows": {**SETTINGS["rows"], "lkgrag-ties1": {"alone": True}}}
    rows = {r["name"]: r for r in quality_targets.targets("amazon-beauty", table, about, settings)}
    assert rows["Q4"]["value"] is None
    assert "note" not in rows["Q4"]
    # With the other order, made with seed 0, the lower one of that seed; its events are compared with
    # nobody else's.
    other = table_of({"lkgrag-ties1": [2, 2, 2, 0]}, seeds=(0,)).assign(rank_retriever=[1, 1, 1, 0])
    both = pd.concat([table, other], ignore_index=True)
    rows = {r["name"]: r for r in quality_targets.targets("amazon-beauty", both, about, settings)}
    assert rows["Q4"]["value"] == pytest.approx(3 * gain / 4)
    line = next(x for x in quality_table.summary(both, settings) if x["row"] == "lkgrag-ties1")
    assert line["over"]["mean"] == pytest.approx(3 * (gain - 1) / 4)
    assert "minus" not in line


def test_ease_is_a_part_where_it_was_fused():
    table = table_of({"lkgrag": [1, 2, 1, 0], "scorer-ease": [1, 2, 1, 0]})
    for part in ("popularity", "itemitem", "graph_itemitem", "lrurec"):
        table[f"rank_{part}"] = 0
    about = {"lkgrag/0": {"tied": False}, "lkgrag/1": {}}

    def gain_over_the_best_part():
        rows = quality_targets.targets("amazon-beauty", table, about, SETTINGS)
        return next(r["value"] for r in rows if r["name"] == "Q1_gain")

    # A row beside it with EASE makes it no part of the main row's retriever.
    table.loc[table["row"] == "scorer-ease", "rank_ease"] = 1
    assert "ease" not in {line["row"] for line in quality_table.summary(table, SETTINGS)}
    assert np.isnan(gain_over_the_best_part())
    table["rank_ease"] = 1
    assert "ease" in {line["row"] for line in quality_table.summary(table, SETTINGS)}
    assert gain_over_the_best_part() == pytest.approx(100 * (0.75 / np.log2(3) - 1))
