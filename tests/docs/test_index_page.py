"""The commands and the example of docs/index-retrieval.md; its table is that of the stored result."""

from pathlib import Path

import pytest
from helpers.pages import blocks, command_lines

import lkgrag.recommend
import lkgrag.serve
from benchmarks.common import stored
from benchmarks.engines import index, page
from lkgrag import Ranker
from lkgrag.config.schema import INDEXES

PAGE = Path(__file__).parents[2] / "docs" / "index-retrieval.md"


def test_the_commands_have_the_options():
    commands = {"lkgrag.recommend": lkgrag.recommend.COMMAND, "lkgrag.serve": lkgrag.serve.COMMAND}
    lines = command_lines(PAGE)
    assert {module for module, _ in lines} == set(commands)
    for module, words in lines:
        options = dict(word.split("=", 1) for word in words)
        assert set(options) <= set(commands[module].options)
        assert options["serving.index"] in INDEXES


@pytest.mark.slow
def test_the_example(run_without_lm, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "outputs").mkdir()
    (tmp_path / "outputs" / "shop").symlink_to(run_without_lm)
    (example,) = blocks(PAGE, "python")
    exec(example, {})
    assert Ranker.from_pretrained("indexed").context.config.serving.index == "hnsw"


def test_the_table_is_that_of_the_result():
    result = stored("engines")
    assert result is not None
    if result.get("index"):
        assert page.index_table(result["index"]) in PAGE.read_text(encoding="utf-8")


def test_ten_million_items_follow_the_slope():
    kind = {"users_a_second": 100.0, "build_seconds": 1.0, "index_mib": 1.0}
    part = {"users_a_second": 10.0, "hnsw": kind}
    small = {"items": 10**5, **dict.fromkeys(index.PARTS, part)}
    slower = {"users_a_second": 1.0, "hnsw": {**kind, "users_a_second": 50.0, "index_mib": 10.0}}
    large = {"items": 10**6, **dict.fromkeys(index.PARTS, slower)}
    assert [*index.with_slope({"1M": large})] == ["1M"]
    last = index.with_slope({"1M": large, "100k": small})["10M"]
    assert last["calculated"]
    assert last["all"]["users_a_second"] == pytest.approx(0.1)
    assert last["all"]["hnsw"]["users_a_second"] == pytest.approx(25)
    assert last["all"]["hnsw"]["index_mib"] == pytest.approx(100)
    assert last["all"]["hnsw"]["times"] == pytest.approx(250)


def test_the_target_takes_the_fastest_kind_that_finds_enough():
    def part(*kinds):
        return dict(zip(index.INDICES, [{"recall": r, "times": t} for r, t in kinds], strict=True))

    row = {"all": part((1.0, 30), (0.98, 90)), "without_counts": part((0.995, 40), (1.0, 80))}
    assert index.values_of({"1M": row}) == {"C6_recall": 0.995, "C6_times": 30}
    assert index.values_of({"100k": row}) == {}
