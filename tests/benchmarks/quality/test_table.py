"""Rows and differences, by hand."""

import numpy as np
import pandas as pd
import pytest
from helpers.rank_tables import SETTINGS, table_of

from benchmarks.quality import page as quality_page
from benchmarks.quality import rows as quality_rows
from benchmarks.quality import table as quality_table
from benchmarks.quality.table import Line


def test_rows_and_differences_by_hand():
    table = table_of({"lkgrag": [1, 2, 1, 0], "llamarec+fusion": [2, 2, 3, 0]})
    lines = {line["row"]: line for line in quality_table.summary(table, SETTINGS)}
    assert list(lines) == ["random", "retriever", "lkgrag", "llamarec+fusion", "llamarec"]
    gain = 1 / np.log2(3)
    assert lines["lkgrag"]["mean"]["ndcg@10"] == pytest.approx((2 + gain) / 4)
    assert lines["lkgrag"]["retrieved"]["ndcg@10"] == pytest.approx((2 + gain) / 3)
    assert lines["lkgrag"]["candidates"] == 0.75
    assert lines["lkgrag"]["spread"]["ndcg@10"] == 0
    one = quality_table.summary(table[table["seed"] == 0], SETTINGS)
    assert all(np.isnan(line["spread"]["ndcg@10"]) for line in one)
    assert lines["lkgrag"]["mean"]["recall@1"] == 0.5
    assert lines["random"]["mean"]["recall@5"] == pytest.approx(0.75 * 5 / 20)
    # A rank past the 20 candidates is a miss, as everywhere.
    assert lines["retriever"]["mean"]["recall@20"] == 0.75
    assert lines["llamarec"]["mean"]["ndcg@10"] == pytest.approx(1 / 4)
    assert "minus" not in lines["lkgrag"]
    assert lines["lkgrag"]["over"]["mean"] == pytest.approx((2 - 2 * gain) / 4)
    assert lines["lkgrag"]["over"]["other"] == pytest.approx(3 * gain / 4)
    assert "over" not in lines["retriever"]
    found = lines["llamarec+fusion"]["minus"]
    assert found["mean"] == pytest.approx(((1 - gain) + 0 + (1 - 0.5) + 0) / 4)
    assert found["other"] == pytest.approx((2 * gain + 0.5) / 4)
    assert found["per_cent"] == pytest.approx(100 * (1.5 - gain) / (2 * gain + 0.5))
    assert found["events"] == 8
    assert found["low"] <= found["mean"] <= found["high"]
    # 80 % power at 5 %: 2.8 standard errors.
    assert found["detectable"] == pytest.approx(2.8016 * found["se"], rel=1e-3)


def test_seeds_of_one_user_are_drawn_together():
    """More seeds of the same users add no users."""
    ranks = {"lkgrag": [1, 2, 1, 0], "llamarec+fusion": [2, 2, 3, 0]}
    one, many = (
        quality_table.summary(table_of(ranks, range(n)), SETTINGS)[-2]["minus"] for n in (1, 10)
    )
    assert one["users"] == many["users"] == 3
    assert many["se"] == pytest.approx(one["se"])


def test_only_common_events_are_compared():
    table = table_of({"lkgrag": [1, 2, 1, 0], "llamarec+fusion": [2, 2, 3, 0]})
    lines = [Line("lkgrag", "lkgrag", "ranker"), Line("other", "llamarec+fusion", "ranker")]
    table = table[~((table["row"] == "llamarec+fusion") & (table["user"] == "a"))]
    assert quality_table.difference(table, *lines)["events"] == 4
    alone = table[table["row"] == "llamarec+fusion"]
    assert quality_table.difference(alone, *lines) is None


def test_a_row_of_a_sample_is_compared_on_all_events_by_way_of_the_retriever():
    table = table_of({"lkgrag": [1, 2, 1, 0], "llamarec+fusion": [2, 2, 3, 0]}, seeds=(0,))
    lines = [Line("lkgrag", "lkgrag", "ranker"), Line("other", "llamarec+fusion", "ranker")]
    whole = quality_table.difference(table, *lines, control=True)
    assert "shared" not in whole
    sample = table[~((table["row"] == "llamarec+fusion") & (table["user"] == "a"))]
    found = quality_table.difference(sample, *lines, control=True)
    gain = 1 / np.log2(3)
    # On the two events of b and c lkgrag gains 1 - 1/2 and 0 over LlamaRec where it gains 1 - gain and 0 over
    # the retriever: the slope is above 1, so the share is 1. lkgrag minus retriever on all four events, plus
    # retriever minus LlamaRec on the two.
    expected = 2 * (1 - gain) / 4 + (gain - 0.5) / 2
    assert found["share"] == 1
    assert found["mean"] == pytest.approx(expected)
    assert found["other"] == pytest.approx((2 + gain) / 4 - expected)
    assert found["per_cent"] == pytest.approx(100 * expected / found["other"])
    assert (found["events"], found["users"]) == (4, 3)
    assert found["shared"]["mean"] == pytest.approx((1 - 0.5) / 2)
    assert found["shared"]["events"] == 2
    # Seeds that the sample was not made with do not count.
    more = table_of({"lkgrag": [20, 20, 20, 0]}, seeds=(1,))
    again = quality_table.difference(
        pd.concat([sample, more], ignore_index=True), *lines, control=True
    )
    assert again["mean"] == pytest.approx(expected)


def test_whether_paths_are_used_is_told_by_the_language_models_alone():
    table = table_of({"lkgrag": [1, 2, 1, 0], "lkgrag-shuffled": [2, 2, 3, 0]}, seeds=(0,))
    other = table["row"] == "lkgrag-shuffled"
    assert quality_table.uses_paths(table, SETTINGS) is None
    table.loc[other, "rank_lm"] = [20, 3, 20, 0]
    rows = {
        "lkgrag": {},
        "lkgrag-shuffled": {},
        "lm": {"of": "lkgrag", "system": "lm"},
        "lm-shuffled": {"of": "lkgrag-shuffled", "system": "lm"},
    }
    found = quality_table.uses_paths(table, {"rows": rows})
    # One of three events at place 1 in place of 3: 1 - 1 / log2(4) = 1/2.
    assert found["mean"] == pytest.approx(0.5 / 3)
    assert found["events"] == 3


def test_parts_of_stage_two_are_compared_without_a_language_model():
    settings = {
        "rows": {
            "scorer": {"llm.name": "none"},
            "scorer-titles": {"llm.name": "none", "sets": ["shop"]},
            "lkgrag": {},
        },
        "data": {"shop": {}, "small": {"rows": ["scorer", "scorer-titles"]}},
    }
    ranks = {"lkgrag": [1, 2, 1, 0], "scorer": [1, 1, 2, 0], "scorer-titles": [2, 1, 2, 0]}
    table = pd.concat(
        [table_of({"lkgrag": ranks.pop("lkgrag")}, seeds=(0,)), table_of(ranks)], ignore_index=True
    )
    lines = {line["row"]: line for line in quality_table.summary(table, settings)}
    gain = 1 / np.log2(3)
    assert lines["scorer-titles"]["part"]["mean"] == pytest.approx((1 - gain) / 4)
    assert lines["scorer-titles"]["part"]["seeds"] == [0, 1]
    # Of lkgrag's seeds alone, as its own gain stands beside it.
    assert lines["scorer"]["over"]["seeds"] == [0]
    assert lines["scorer"]["each"]["1"]["recall@1"] == 0.5
    assert "part" not in lines["lkgrag"]
    assert "part" not in lines["scorer"]
    assert quality_rows.rows_of(settings, "shop") == ["scorer", "scorer-titles", "lkgrag"]
    assert quality_rows.rows_of(settings, "small") == ["scorer"]
    found = {"settings": settings, "rows": [{"row": "scorer"}]}
    assert quality_page.missing("shop", found) == "Not made here: 2 of the 3 rows."
    assert quality_page.missing("small", found) == ""


def test_stage_one_is_not_read_off_a_row_with_another():
    rows = {**SETTINGS["rows"], "scorer-ease": {"retrieval.systems": "[lrurec,ease]"}}
    other = table_of({"scorer-ease": [1, 1, 1, 0]}, seeds=(0, 1, 2))
    other["rank_retriever"] = 1
    table = pd.concat([other, table_of({"lkgrag": [1, 2, 1, 0]})], ignore_index=True)
    lines = quality_table.lines_of(table, {"rows": rows})
    # Though it has more seeds.
    assert ("retriever", "lkgrag", "retriever") in lines


def test_other_candidates_are_told():
    ranks = {"lkgrag": [1, 2, 1, 0], "llamarec+fusion": [2, 2, 3, 0], "scorer-ease": [1] * 4}
    settings = {"rows": {**SETTINGS["rows"], "scorer-ease": {"retrieval.systems": "[lrurec,ease]"}}}
    table = table_of(ranks)
    assert quality_table.other_candidates(table, settings) == []
    # Of a sample, at other places.
    table = table[~((table["row"] == "llamarec+fusion") & (table["user"] == "a"))]
    assert quality_table.other_candidates(table, settings) == []
    other = (table["row"] == "llamarec+fusion") & (table["seed"] == 1) & (table["user"] == "b")
    table.loc[other | (table["row"] == "scorer-ease"), "rank_retriever"] = 3
    assert quality_table.other_candidates(table, settings) == ["llamarec+fusion/1"]
