"""Results: made, resumed, saved, and computed again; those that are stored follow from their ranks."""

import json

import pandas as pd
import pytest
from helpers.small_run import small_options

from benchmarks import common, run
from benchmarks.quality import results as quality_results
from benchmarks.quality import rows as quality_rows
from benchmarks.quality import run as quality_run
from benchmarks.quality import table as quality_table
from lkgrag.errors import LkgragError


@pytest.mark.slow
def test_the_suite_end_to_end(tmp_path, monkeypatch):
    """Two rows of a small data set: made, resumed, saved, and computed again from the ranks."""
    options = small_options(tmp_path)
    for key in ("out", "cache.root", "training.max_examples", "training.tracker"):
        options.pop(key)
    settings = {
        "seeds": [0],
        "budget": {"training.max_examples": 16, "retrieval.epochs": 1},
        "data": {"shop": {k: v for k, v in options.items() if k != "retrieval.epochs"}},
        "rows": {"scorer": {"llm.name": "none", "seeds": 1}, "lkgrag": {}},
        "quick": {},
    }
    monkeypatch.setattr(quality_rows, "read_settings", lambda quick=False: settings)
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
        "text",
        "lrurec",
        "without_text",
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
    _on_another_machine(tmp_path, settings, stored, monkeypatch)
    table = pd.read_parquet(tmp_path / "results" / "quality-shop.parquet")
    table["rank_ranker"] = 1
    table.to_parquet(tmp_path / "results" / "quality-shop.parquet")
    assert not quality_results.recomputed("shop")
    assert run.main(["quality", "--check"]) == 1
    run_folder = tmp_path / "runs" / "shop" / "scorer" / "0"
    config = (run_folder / "config.yaml").read_text()
    (run_folder / "config.yaml").write_text(config.replace("max_examples: 16", "max_examples: 17"))
    with pytest.raises(LkgragError, match=r"training\.max_examples=17, the row has .*=16 now"):
        quality_results.gather(settings, "shop", ["scorer"], [0], tmp_path / "runs")
    (run_folder / "config.yaml").write_text(config)
    path = run_folder / "metrics.json"
    other = json.loads(path.read_text())
    other["versions"]["lkgrag"] = "9.9"
    path.write_text(json.dumps(other))
    (run_folder / "done.json").unlink()
    for rows in (["scorer", "lkgrag"], ["scorer"]):
        with pytest.raises(LkgragError, match=r"made with another version \(9\.9\) than this"):
            quality_results.gather(settings, "shop", rows, [0], tmp_path / "runs")


def _on_another_machine(tmp_path, settings, stored, monkeypatch):
    """Stored runs are not made again; those of other options are; of other data or versions, refused."""
    path = tmp_path / "results" / "quality-shop.json"
    table, about = quality_results.gather(
        settings, "shop", quality_rows.rows_with_runs(settings), [0], tmp_path / "elsewhere"
    )
    assert about == stored["runs"]
    assert quality_results._close(stored["rows"], quality_table.summary(table, settings))
    with monkeypatch.context() as patch:
        patch.setattr("lkgrag.run.pipeline.train", lambda config: pytest.fail("made again"))
        quality_run.make_runs(
            settings, ["shop"], ["scorer", "lkgrag"], [0], {}, tmp_path / "elsewhere"
        )
        settings["budget"]["training.max_examples"] = 17
        assert quality_results.stored_runs(settings, "shop") == {}
        with pytest.raises(LkgragError, match=r"quality-shop\.json holds scorer/0, lkgrag/0, made"):
            quality_results.save(settings, "shop", table, {}, "")
        settings["budget"]["training.max_examples"] = 16
    for what in ("data", "version"):
        other = json.loads(json.dumps(stored))
        other["runs"]["lkgrag/0"][what] = "other"
        path.write_text(json.dumps(other))
        # The scorer's run is in its folder, lkgrag's in the results only.
        with pytest.raises(
            LkgragError, match=rf"quality-shop\.json: made (of|with) .*other {what}"
        ):
            quality_results.gather(settings, "shop", ["scorer"], [0], tmp_path / "runs")
    path.write_text(json.dumps(stored))


STORED = pytest.mark.parametrize(
    "path", sorted(common.RESULTS.glob("quality-*.json")), ids=lambda p: p.stem
)


@pytest.mark.slow
@STORED
def test_stored_figures_follow_from_stored_ranks(path):
    assert quality_results.recomputed(path.stem.removeprefix("quality-"))


@STORED
def test_stored_rows_of_a_seed_have_the_same_candidates(path):
    table = pd.read_parquet(path.with_suffix(".parquet"))
    settings = json.loads(path.read_text())["settings"]
    assert quality_table.other_candidates(table, settings) == []
