"""A recorded run becomes a result; its table goes to the page that has a place for it."""

import json
import sys

import pytest

from benchmarks import readme, record
from benchmarks.common import stored

PAGE = "# Page\n<!-- default-ml-100k -->\nold\n<!-- /default-ml-100k -->\nafter\n"


@pytest.fixture
def folders(tmp_path, monkeypatch):
    """A run, and a project with a page that has a place for the default run's table."""
    for name in ("run", "docs", "results"):
        (tmp_path / name).mkdir()
    metrics = stored("default-ml-100k")
    metrics["marginal"] = [
        {"split": "test", "metric": "ndcg@10", "population": "retrieved", "mean": -0.0002,
         "low": -0.0011, "high": 0.0007, "p": 0.71, "se": 0.0004, "users": 371, "events": 371}
    ]  # fmt: skip
    (tmp_path / "run" / "metrics.json").write_text(json.dumps(metrics))
    (tmp_path / "docs" / "page.md").write_text(PAGE)
    monkeypatch.setattr(record, "ROOT", tmp_path)
    monkeypatch.setattr(record, "RESULTS", tmp_path / "results")
    kept = []
    monkeypatch.setattr(readme, "keep_example", kept.append)
    monkeypatch.setattr(readme, "main", lambda: 0)
    return tmp_path, kept


def run(folder, name, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["record", str(folder / "run"), name])
    assert record.main() == 0


def test_the_table_replaces_what_stands_on_the_page(folders, monkeypatch):
    folder, kept = folders
    run(folder, "default-ml-100k", monkeypatch)
    page = (folder / "docs" / "page.md").read_text()
    assert page.startswith("# Page\n<!-- default-ml-100k -->\n| system |")
    assert page.endswith("<!-- /default-ml-100k -->\nafter\n")
    told = "- test, retrieved: language model over scorer + prior, NDCG@10: -0.0002 [-0.0011, +0.0007], p = .710"
    assert told in page.splitlines()
    assert kept == [folder / "run"]


def test_a_record_without_a_place_on_a_page_is_only_stored(folders, monkeypatch):
    folder, kept = folders
    run(folder, "default-ml-100k-avx2", monkeypatch)
    assert (folder / "docs" / "page.md").read_text() == PAGE
    assert "seconds" in json.loads((folder / "results" / "default-ml-100k-avx2.json").read_text())
    assert kept == []
