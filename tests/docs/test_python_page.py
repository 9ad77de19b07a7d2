"""The examples and the commands of docs/python.md, on a small shop."""

import shlex
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest
from helpers.pages import blocks, command_lines

import lkgrag
from lkgrag.run.fitting import fit
from lkgrag.serving.recommendation import Recommendations
from lkgrag.testing import planted

PAGE = Path(__file__).parents[2] / "docs" / "python.md"
SMALL = {
    "retrieval.epochs": 2,
    "scorer.pretrain_epochs": 1,
    "evaluation.explain": 0,
    "threads": 1,
    "data.min_item": 1,
}


@pytest.mark.slow
def test_the_examples_and_the_commands_of_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    x = planted(num_users=60, num_items=60, seed=3)
    events = {"user": x.user + 1, "item": x.item, "time": x.time}
    titles = ["Toy Story", *(f"Film {n}" for n in range(1, 60))]
    scope = {
        "interactions": pd.DataFrame(events),
        "items": pd.DataFrame({"item": range(60), "title": titles}),
    }

    def small(interactions, items, options=None, **keywords):
        merged = {**SMALL, "cache.root": str(tmp_path / "cache"), **(options or {})}
        return fit(interactions, items, options=merged, **keywords)

    monkeypatch.setattr(lkgrag, "fit", small, raising=False)
    first, second, third, fourth = blocks(PAGE, "python")
    exec(compile(first, str(PAGE), "exec"), scope)
    everyone = pd.read_csv("recommendations.csv")
    assert everyone.groupby("user").size().eq(5).all()
    exec(compile(second, str(PAGE), "exec"), scope)
    assert Path("outputs/shop/report.html").is_file()
    exec(compile(third, str(PAGE), "exec"), scope)
    joined = scope["interactions"].merge(scope["table"], on="user")
    assert len(joined) == 3 * len(scope["interactions"])
    exec(compile(fourth, str(PAGE), "exec"), scope)
    assert isinstance(scope["found"], Recommendations)
    assert len(scope["ranker"].recommend(["50", "Toy Story"]).to_frame()) == 10
    users = pd.DataFrame({"user": [1, 2], "age": [30, 40]})
    users.to_csv("customers.csv", index=False)
    users.to_parquet("customers.parquet")
    Path("customers.txt").write_text("1\n2\n")
    Path("sold-out.csv").write_text("item\n0\n")
    lines = list(command_lines(PAGE))
    assert len(lines) == 3
    for module, words in lines:
        monkeypatch.setattr("sys.argv", [module, *words])
        assert import_module(module).main() == 0, shlex.join(words)
    assert pd.read_csv("recommendations.csv")["user"].nunique() == 2
    assert len(pd.read_parquet("recommendations.parquet")) == 10


def test_the_page_is_short():
    assert len(PAGE.read_text(encoding="utf-8").splitlines()) <= 80
