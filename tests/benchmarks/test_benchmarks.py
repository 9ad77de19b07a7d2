"""The arithmetic of the benchmarks."""

import dataclasses
import json

import numpy as np
import pandas as pd
import pytest
import torch
from helpers.small_run import small_options

from benchmarks import common, run
from benchmarks.pathless import Pathless
from benchmarks.quality import page as quality_page
from benchmarks.quality import results as quality_results
from benchmarks.quality import rows as quality_rows
from benchmarks.quality import run as quality_run
from benchmarks.quality import table as quality_table
from benchmarks.quality import targets as quality_targets
from benchmarks.speed import paths, peers
from lkgrag.config import KGConfig
from lkgrag.config.identity import to_dict
from lkgrag.config.loading import load_config
from lkgrag.errors import LkgragError
from lkgrag.paths import ShortestPaths
from lkgrag.testing import toy_kg
from lkgrag.testing.prompts import toy_paths


def test_targets_are_judged_by_their_direction():
    rows = {r["name"]: r for r in common.judge("S", {"S3": 501.0, "S10_help": 0.6, "S5": 2.0})}
    assert rows["S3"] == {
        "name": "S3",
        "what": "prompts a second a core, shortest paths of any length, slowest data set",
        "value": 501.0,
        "target": 500,
        "met": True,
    }
    assert not rows["S10_help"]["met"]
    assert rows["S5"]["met"]
    assert rows["S9"]["value"] is None
    assert rows["S9"]["met"] is False


def test_a_fall_by_a_third():
    assert common.fell(6.6, 10.0)
    assert not common.fell(6.7, 10.0)
    assert not common.fell(20.0, 10.0)


def test_the_check_compares_ratios(capsys):
    def result(ratio):
        return {"paths": {"sets": {"ml-100k": {"times": {"igraph": ratio, "networkx": None}}}}}

    assert run._check(result(10.0), result(12.0)) == 0
    assert run._check(result(5.0), result(12.0)) == 1
    assert "times igraph: 5.0, stored 12.0" in capsys.readouterr().err


def test_rates_are_those_of_the_best_repeat(monkeypatch):
    ticks = iter([0.0, 2.0, 10.0, 10.5, 20.0, 21.0])
    monkeypatch.setattr(common.time, "perf_counter", lambda: next(ticks))
    assert common.rate(lambda: None, 100, 3.0) == 200.0


def test_a_result_says_where_it_comes_from(tmp_path, monkeypatch):
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    common.save("speed", "python -m benchmarks.run speed", 3, {"paths": {}})
    found = json.loads((tmp_path / "speed.json").read_text())
    assert found.keys() >= {"command", "date", "seed", "hardware", "versions", "paths"}
    assert common.stored("speed") == found
    assert common.stored("other") is None


@pytest.mark.parametrize("make", [peers.Igraph, peers.TorchSparse, peers.Cypher, peers.Networkx])
def test_peers_give_the_same_lengths(make):
    data = toy_kg(KGConfig(behaviour_min=1))
    finder = ShortestPaths(data, longest=peers.LONGEST)
    try:
        peer = make(finder)
    except ImportError as error:
        pytest.skip(f"{error.name} is not installed: pip install -e .[bench]")
    history, candidates = np.array([0, 2, 5]), np.array([1, 3, 8, 9])
    assert peer(history.tolist(), candidates.tolist()) == paths.lengths_of(
        finder, history, candidates
    )


def test_parts_are_listed_and_unknown_ones_refused(capsys):
    assert run.main(["speed", "--list"]) == 0
    assert capsys.readouterr().out.split() == list(run.SPEED)
    assert run.main(["speed", "--only", "path"]) == 2
    assert f"there are {', '.join(run.SPEED)}" in capsys.readouterr().err


SAID = {
    "rows": {
        "lkgrag": {},
        "llamarec+fusion": {},
        "llamarec": {"of": "llamarec+fusion", "system": "lm"},
    }
}


def table_of(ranks, seeds=(0, 1)):
    """Ranks by row on the same events, two of them of one user."""
    frames = []
    for seed in seeds:
        for row, values in ranks.items():
            frames.append(
                pd.DataFrame(
                    {
                        "split": "test",
                        "user": ["a", "a", "b", "c"],
                        "position": [3, 4, 3, 3],
                        "candidates": 20,
                        "retrieved": [True, True, True, False],
                        "rank_retriever": [2, 2, 2, 25],
                        "rank_ranker": values,
                        "rank_lm": [20, 1, 20, 0],
                        "row": row,
                        "seed": seed,
                    }
                )
            )
    return pd.concat(frames, ignore_index=True)


def test_rows_and_differences_by_hand():
    table = table_of({"lkgrag": [1, 2, 1, 0], "llamarec+fusion": [2, 2, 3, 0]})
    lines = {line["row"]: line for line in quality_table.summary(table, SAID)}
    assert list(lines) == ["random", "retriever", "lkgrag", "llamarec+fusion", "llamarec"]
    gain = 1 / np.log2(3)
    assert lines["lkgrag"]["mean"]["ndcg@10"] == pytest.approx((2 + gain) / 4)
    assert lines["lkgrag"]["retrieved"]["ndcg@10"] == pytest.approx((2 + gain) / 3)
    assert lines["lkgrag"]["candidates"] == 0.75
    assert lines["lkgrag"]["spread"]["ndcg@10"] == 0
    one = quality_table.summary(table[table["seed"] == 0], SAID)
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
        quality_table.summary(table_of(ranks, range(n)), SAID)[-2]["minus"] for n in (1, 10)
    )
    assert one["users"] == many["users"] == 3
    assert many["se"] == pytest.approx(one["se"])


def test_only_common_events_are_compared():
    table = table_of({"lkgrag": [1, 2, 1, 0], "llamarec+fusion": [2, 2, 3, 0]})
    lines = [("lkgrag", "lkgrag", "ranker"), ("other", "llamarec+fusion", "ranker")]
    table = table[~((table["row"] == "llamarec+fusion") & (table["user"] == "a"))]
    assert quality_table.difference(table, *lines)["events"] == 4
    alone = table[table["row"] == "llamarec+fusion"]
    assert quality_table.difference(alone, *lines) is None


def test_a_row_of_a_sample_is_compared_on_all_events_by_way_of_the_retriever():
    table = table_of({"lkgrag": [1, 2, 1, 0], "llamarec+fusion": [2, 2, 3, 0]}, seeds=(0,))
    lines = [("lkgrag", "lkgrag", "ranker"), ("other", "llamarec+fusion", "ranker")]
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
    rows = {r["name"]: r for r in quality_targets.targets("amazon-beauty", table, about, SAID)}
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
    found = {r["name"]: r for r in quality_targets.targets("amazon-beauty", sample, about, SAID)}
    assert found["Q3_llamarec_gain"]["shared"] == pytest.approx(100.0)
    for name in ("Q1_gain", "Q3_reference_gain", "Q3_reference_p"):
        assert rows[name]["value"] is None
        assert rows[name]["met"] is False
    assert "Q2_gain" not in {
        r["name"] for r in quality_targets.targets("ml-100k", table, about, SAID)
    }
    # Without tied times one order is all there is, and that is said.
    assert "one order" in rows["Q4"]["note"]
    # However sure, the p of a loss is not met.
    worse = table.assign(rank_ranker=25)
    worse = pd.concat([worse.assign(user=worse["user"] + str(n)) for n in range(40)])
    found = {r["name"]: r for r in quality_targets.targets("amazon-beauty", worse, about, SAID)}
    assert found["Q2_p"]["value"] < 0.01
    assert not found["Q2_p"]["met"]
    # Where times are tied, one order of them says nothing of the lowest.
    about["lkgrag/0"]["tied"] = True
    said = {"rows": {**SAID["rows"], "lkgrag-ties1": {"alone": True}}}
    rows = {r["name"]: r for r in quality_targets.targets("amazon-beauty", table, about, said)}
    assert rows["Q4"]["value"] is None
    assert "note" not in rows["Q4"]
    # With the other order, made with seed 0, the lower one of that seed; its events are compared with
    # nobody else's.
    other = table_of({"lkgrag-ties1": [2, 2, 2, 0]}, seeds=(0,)).assign(rank_retriever=[1, 1, 1, 0])
    both = pd.concat([table, other], ignore_index=True)
    rows = {r["name"]: r for r in quality_targets.targets("amazon-beauty", both, about, said)}
    assert rows["Q4"]["value"] == pytest.approx(3 * gain / 4)
    line = next(x for x in quality_table.summary(both, said) if x["row"] == "lkgrag-ties1")
    assert line["over"]["mean"] == pytest.approx(3 * (gain - 1) / 4)
    assert "minus" not in line


def test_whether_paths_are_used_is_told_by_the_language_models_alone():
    table = table_of({"lkgrag": [1, 2, 1, 0], "lkgrag-shuffled": [2, 2, 3, 0]}, seeds=(0,))
    other = table["row"] == "lkgrag-shuffled"
    assert quality_table.uses_paths(table, SAID) is None
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
    said = {
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
    lines = {line["row"]: line for line in quality_table.summary(table, said)}
    gain = 1 / np.log2(3)
    assert lines["scorer-titles"]["part"]["mean"] == pytest.approx((1 - gain) / 4)
    assert lines["scorer-titles"]["part"]["seeds"] == [0, 1]
    # Of lkgrag's seeds alone, as its own gain stands beside it.
    assert lines["scorer"]["over"]["seeds"] == [0]
    assert lines["scorer"]["each"]["1"]["recall@1"] == 0.5
    assert "part" not in lines["lkgrag"]
    assert "part" not in lines["scorer"]
    assert quality_rows.rows_of(said, "shop") == ["scorer", "scorer-titles", "lkgrag"]
    assert quality_rows.rows_of(said, "small") == ["scorer"]
    found = {"settings": said, "rows": [{"row": "scorer"}]}
    assert quality_page.missing("shop", found) == (
        "Not made here: fused + path scorer without paths over like titles; **lkgrag**."
    )
    assert quality_page.missing("small", found) == ""


def test_ease_is_a_part_where_it_was_fused():
    table = table_of({"lkgrag": [1, 2, 1, 0], "scorer-ease": [1, 2, 1, 0]})
    for part in ("popularity", "itemitem", "graph_itemitem", "lrurec"):
        table[f"rank_{part}"] = 0
    about = {"lkgrag/0": {"tied": False}, "lkgrag/1": {}}

    def gain_over_the_best_part():
        rows = quality_targets.targets("amazon-beauty", table, about, SAID)
        return next(r["value"] for r in rows if r["name"] == "Q1_gain")

    # A row beside it with EASE makes it no part of the main row's retriever.
    table.loc[table["row"] == "scorer-ease", "rank_ease"] = 1
    assert "ease" not in {line["row"] for line in quality_table.summary(table, SAID)}
    assert np.isnan(gain_over_the_best_part())
    table["rank_ease"] = 1
    assert "ease" in {line["row"] for line in quality_table.summary(table, SAID)}
    assert gain_over_the_best_part() == pytest.approx(100 * (0.75 / np.log2(3) - 1))


def test_stage_one_is_not_read_off_a_row_with_another():
    rows = {**SAID["rows"], "scorer-ease": {"retrieval.systems": "[lrurec,ease]"}}
    other = table_of({"scorer-ease": [1, 1, 1, 0]}, seeds=(0, 1, 2))
    other["rank_retriever"] = 1
    table = pd.concat([other, table_of({"lkgrag": [1, 2, 1, 0]})], ignore_index=True)
    lines = quality_table.lines_of(table, {"rows": rows})
    # Though it has more seeds.
    assert ("retriever", "lkgrag", "retriever") in lines


def test_every_row_is_a_configuration(tmp_path):
    said = quality_rows.settings()
    for data in said["data"]:
        for row in quality_rows.made(said):
            config = load_config(quality_rows.overrides(said, data, row, 1, {}, tmp_path))
            assert config.seed == 1
            # The one row beyond the common budget says so in its name.
            assert config.training.max_examples == (4000 if row.endswith("-tenfold") else 400)
    configs = [
        load_config(quality_rows.overrides(said, "ml-100k", row, 0, {}, tmp_path))
        for row in quality_rows.made(said)
        if not row.endswith(("-crossfit", "-ease", "-four"))
    ]
    same = {json.dumps([to_dict(c.kg), to_dict(c.retrieval)]) for c in configs}
    # The same candidates for all.
    assert len(same) == 1


def test_of_two_words_on_an_option_the_narrower_counts(tmp_path):
    said = {
        "budget": {"training.max_examples": 1, "evaluation.max_events": 1, "kg.prune": 1},
        "data": {"ml-100k": {"evaluation.max_events": 2, "kg.prune": 2}},
        "rows": {"scorer": {"kg.prune": 3, "seeds": 1}},
        "quick": {},
    }
    found = quality_rows.overrides(said, "ml-100k", "scorer", 0, {}, tmp_path)
    assert found["training.max_examples"] == "1"
    assert found["evaluation.max_events"] == "2"
    assert found["kg.prune"] == "3"
    assert "seeds" not in found
    quick = {**said, "quick": {"kg.prune": 4}}
    assert quality_rows.overrides(quick, "ml-100k", "scorer", 0, {}, tmp_path)["kg.prune"] == "4"


def test_the_suite_end_to_end(tmp_path, monkeypatch):
    """Two rows of a small data set: made, resumed, saved, and computed again from the ranks."""
    options = small_options(tmp_path)
    for key in ("out", "cache.root", "training.max_examples", "training.tracker"):
        options.pop(key)
    said = {
        "seeds": [0],
        "budget": {"training.max_examples": 16, "retrieval.epochs": 1},
        "data": {"shop": {k: v for k, v in options.items() if k != "retrieval.epochs"}},
        "rows": {"scorer": {"llm.name": "none", "seeds": 1}, "lkgrag": {}},
        "quick": {},
    }
    monkeypatch.setattr(quality_rows, "settings", lambda quick=False: said)
    monkeypatch.setattr(quality_results, "RESULTS", tmp_path / "results")
    assert run.main(["quality", "--root", str(tmp_path / "runs")]) == 0
    stored = json.loads((tmp_path / "results" / "quality-shop.json").read_text())
    rows = [line["row"] for line in stored["rows"]]
    assert rows == [
        "random",
        "popularity",
        "itemitem",
        "graph_itemitem",
        "ease",
        "lrurec",
        "retriever",
        "scorer",
        "lkgrag",
    ]
    assert quality_results.recomputed("shop")
    metrics = json.loads((tmp_path / "runs" / "shop" / "lkgrag" / "0" / "metrics.json").read_text())
    for metric in ("ndcg@10", "recall@20", "mrr"):
        found = stored["rows"][-1]["mean"][metric]
        assert found == pytest.approx(metrics["ranker"]["test"]["all"][metric])
    monkeypatch.setattr(common, "RESULTS", tmp_path / "results")
    assert run.main(["quality", "--check"]) == 0
    _on_another_machine(tmp_path, said, stored, monkeypatch)
    table = pd.read_parquet(tmp_path / "results" / "quality-shop.parquet")
    table["rank_ranker"] = 1
    table.to_parquet(tmp_path / "results" / "quality-shop.parquet")
    assert not quality_results.recomputed("shop")
    assert run.main(["quality", "--check"]) == 1
    run_folder = tmp_path / "runs" / "shop" / "scorer" / "0"
    config = (run_folder / "config.yaml").read_text()
    (run_folder / "config.yaml").write_text(config.replace("max_examples: 16", "max_examples: 17"))
    with pytest.raises(LkgragError, match=r"training\.max_examples=17, the row has .*=16 now"):
        quality_results.gather(said, "shop", ["scorer"], [0], tmp_path / "runs")
    (run_folder / "config.yaml").write_text(config)
    path = run_folder / "metrics.json"
    other = json.loads(path.read_text())
    other["versions"]["lkgrag"] = "9.9"
    path.write_text(json.dumps(other))
    for rows in (["scorer", "lkgrag"], ["scorer"]):
        with pytest.raises(LkgragError, match=r"made with another version \(9\.9\) than this"):
            quality_results.gather(said, "shop", rows, [0], tmp_path / "runs")


def _on_another_machine(tmp_path, said, stored, monkeypatch):
    """Stored runs are not made again; those of other options are; of other data or versions, refused."""
    path = tmp_path / "results" / "quality-shop.json"
    table, about = quality_results.gather(
        said, "shop", quality_rows.made(said), [0], tmp_path / "elsewhere"
    )
    assert about == stored["runs"]
    assert quality_results._close(stored["rows"], quality_table.summary(table, said))
    with monkeypatch.context() as patch:
        patch.setattr("lkgrag.run.pipeline.train", lambda config: pytest.fail("made again"))
        quality_run.carry_out(said, ["shop"], ["scorer", "lkgrag"], [0], {}, tmp_path / "elsewhere")
        said["budget"]["training.max_examples"] = 17
        assert quality_results.stored_runs(said, "shop") == {}
        with pytest.raises(LkgragError, match=r"quality-shop\.json holds scorer/0, lkgrag/0, made"):
            quality_results.save(said, "shop", table, {}, "")
        said["budget"]["training.max_examples"] = 16
    for what in ("data", "version"):
        other = json.loads(json.dumps(stored))
        other["runs"]["lkgrag/0"][what] = "other"
        path.write_text(json.dumps(other))
        # The scorer's run is in its folder, lkgrag's in the results only.
        with pytest.raises(
            LkgragError, match=rf"quality-shop\.json: made (of|with) .*other {what}"
        ):
            quality_results.gather(said, "shop", ["scorer"], [0], tmp_path / "runs")
    path.write_text(json.dumps(stored))


STORED = pytest.mark.parametrize(
    "path", sorted(common.RESULTS.glob("quality-*.json")), ids=lambda p: p.stem
)


@STORED
def test_stored_figures_follow_from_stored_ranks(path):
    assert quality_results.recomputed(path.stem.removeprefix("quality-"))


@STORED
def test_stored_rows_of_a_seed_have_the_same_candidates(path):
    table = pd.read_parquet(path.with_suffix(".parquet"))
    said = json.loads(path.read_text())["settings"]
    assert quality_table.other_candidates(table, said) == []


def test_other_candidates_are_told():
    ranks = {"lkgrag": [1, 2, 1, 0], "llamarec+fusion": [2, 2, 3, 0], "scorer-ease": [1] * 4}
    said = {"rows": {**SAID["rows"], "scorer-ease": {"retrieval.systems": "[lrurec,ease]"}}}
    table = table_of(ranks)
    assert quality_table.other_candidates(table, said) == []
    # Of a sample, at other places.
    table = table[~((table["row"] == "llamarec+fusion") & (table["user"] == "a"))]
    assert quality_table.other_candidates(table, said) == []
    other = (table["row"] == "llamarec+fusion") & (table["seed"] == 1) & (table["user"] == "b")
    table.loc[other | (table["row"] == "scorer-ease"), "rank_retriever"] = 3
    assert quality_table.other_candidates(table, said) == ["llamarec+fusion/1"]


def test_the_stage_two_without_paths_reads_none():
    data, batch = toy_paths()
    sizes = {kind: int(data[kind].num_nodes) for kind in data.node_types}
    torch.manual_seed(0)
    scorer = Pathless(data.metadata(), sizes, batch.metapaths).eval()
    score = scorer(data, batch).candidate
    assert score.shape == batch.candidate_items.shape
    other = dataclasses.replace(batch, weight=batch.weight / 2)
    torch.testing.assert_close(scorer(data, other).candidate, score, rtol=0, atol=0)
    moved = dataclasses.replace(batch, history_age=(batch.history_age * 3).clamp(min=-1))
    assert not torch.equal(scorer(data, moved).candidate, score)
