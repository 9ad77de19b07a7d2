"""README is short, its examples run as they stand, and its figures are those of the records."""

import json
import re

import pandas as pd
import pytest

from benchmarks import readme
from lkgrag.serving.recommendation import PathExplanation, RankedItem, Recommendation
from lkgrag.testing import PathScorerTests

README = readme.README
TEXT = README.read_text(encoding="utf-8")
BLOCKS = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)


def block(word):
    return next(b for b in BLOCKS if word in b)


def scorer_of_readme():
    names = {"__name__": "readme"}
    exec(compile(block("class Recent"), str(README), "exec"), names)
    return names["Recent"]


class TestReadmeScorer(PathScorerTests):
    scorer = scorer_of_readme()


def test_it_can_be_read_in_five_minutes():
    # Tables are looked up, not read.
    prose = [line for line in TEXT.splitlines() if not line.startswith("|")]
    assert len(" ".join(prose).split()) <= 800


def test_its_times_are_those_of_the_recorded_runs():
    assert f"<!-- times -->\n{readme.times()}\n<!-- /times -->" in TEXT


def test_times_name_each_kind_of_processor_that_has_a_record(monkeypatch):
    def run(processor, ranker, note=""):
        seconds = {"scorer": 30.0, "ranker": ranker, "evaluation": 60.0, "total": ranker + 120.0}
        return {"seconds": seconds, "hardware": {"processor": processor}, "note": note}

    records = {"default-ml-100k": run("Xeon", 150.0, "Alone.")}
    monkeypatch.setattr(readme, "stored", records.get)
    first = "- Two cores with AVX-512-BF16 (Xeon): 4.5 minutes, of them 3.5 minutes for the language model. Alone."
    assert readme.times() == first
    records["default-ml-100k-avx2"] = run("EPYC", 1200.0)
    second = (
        "- Two cores with AVX2 only (EPYC): 22 minutes, of them 21 minutes for the language model."
    )
    assert readme.times() == f"{first}\n{second}"


def test_its_picture_is_that_of_the_kept_ranking(tmp_path):
    readme.save(readme.picture(), tmp_path / "ranking.svg")
    drawn, file = (
        # Versions of matplotlib round otherwise: names, and how thick the lines are.
        (re.findall(r"<!-- (.*) -->", text), re.findall(r"stroke-width: ([\d.]{4})", text))
        for text in ((tmp_path / "ranking.svg").read_text(), readme.PICTURE.read_text())
    )
    assert drawn == file, "run python -m benchmarks.readme"
    assert len(drawn[0]) > 9
    assert len(set(drawn[1])) > 3
    assert "docs/_static/ranking.svg" in TEXT


def test_the_most_varied_ranking_is_kept(tmp_path, monkeypatch):
    def ranking(user, *starts):
        paths = [PathExplanation("w", 0.0, [["item", s], ["item", "z"]], ["r"]) for s in starts]
        items = [RankedItem(n + 1, f"i{n}", "z", 1.0, 0.0, 0.0, 1.0, paths) for n in range(9)]
        return Recommendation(items, [("h", "h")], user, "i1").to_dict()

    run, results = tmp_path / "run", tmp_path / "results"
    run.mkdir()
    results.mkdir()
    rankings = [ranking("u1", "a", "a"), ranking("u2", "a", "b")]
    (run / "explanations.json").write_text(json.dumps(rankings))
    monkeypatch.setattr(readme, "RESULTS", results)
    readme.keep_example(run)
    kept = json.loads((results / "example-ml-100k.json").read_text())
    assert (kept["user"], len(kept["items"]), kept["history"]) == ("u2", 5, [])


@pytest.mark.slow
def test_the_example_of_own_data_ranks_with_reasons(tmp_path, monkeypatch):
    """Users who drink tea buy a mug, a pot and jam, others paper and ink, in their order."""
    shelves = (["tea", "mug", "pot", "jam", "tin"], ["ink", "pen", "paper", "glue", "tape"])
    names = {
        "interactions": pd.DataFrame(
            [
                {"user": f"u{n}", "item": item, "time": place}
                for n in range(40)
                for place, item in enumerate(shelves[n % 2] + shelves[1 - n % 2][n % 5 : n % 5 + 1])
            ]
        ),
        "items": pd.DataFrame(
            {"item": [*shelves[0], *shelves[1]], "kind": ["food"] * 5 + ["desk"] * 5}
        ),
        "triples": None,
    }
    monkeypatch.chdir(tmp_path)
    code = block("lkgrag.fit")
    exec(compile(code, str(README), "exec"), names)
    assert [item.rank for item in names["ranking"].items] == [1, 2, 3, 4, 5]
    assert names["ranking"].items[0].paths[0].words
