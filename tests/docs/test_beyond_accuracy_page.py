"""The commands and the example of docs/beyond-accuracy.md, on a small shop; its table is that of the stored result."""

import shlex
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest
from helpers.pages import blocks, command_lines
from helpers.small_run import small_options

from benchmarks import diversity
from benchmarks.common import stored
from lkgrag.evaluation.path_quality import MEASURES
from lkgrag.utils.files import read_json

PAGE = Path(__file__).parents[2] / "docs" / "beyond-accuracy.md"
#: What makes the page's run one of seconds.
QUICK = ("retrieval.epochs", "retrieval.k", "retrieval.hidden", "scorer.pretrain_epochs", "threads")


@pytest.mark.slow
def test_the_commands_and_the_example_of_the_page(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    root = tmp_path / "shop"
    root.mkdir()
    options = small_options(root)
    users = sorted(set(pd.read_csv(root / "shop.inter", sep="\t")["user_id:token"]))
    gender = [("F", "M")[n % 2] for n in range(len(users))]
    table = pd.DataFrame({"user_id:token": users, "gender:token": gender})
    table.to_csv(root / "shop.user", sep="\t", index=False)
    lines = list(command_lines(PAGE))
    assert len(lines) == 3
    for module, words in lines:
        more = [f"{name}={options[name]}" for name in QUICK] if module == "lkgrag.train" else []
        monkeypatch.setattr("sys.argv", [module, *words, *more])
        assert import_module(module).main() == 0, shlex.join(words)
    # A name that is wrong is told before anything is trained.
    module, words = lines[0]
    wrong = [word.replace("[gender]", "[gendre]").replace("outputs/shop", "new") for word in words]
    monkeypatch.setattr("sys.argv", [module, *wrong])
    capsys.readouterr()
    assert import_module(module).main() == 2
    told = " ".join(capsys.readouterr().err.split())
    assert "evaluation.groups: the users have no attribute 'gendre'" in told
    assert not (tmp_path / "new" / "metrics.json").exists()
    (example,) = blocks(PAGE, "python")
    exec(compile(example, str(PAGE), "exec"), {})
    assert "(" in capsys.readouterr().out
    metrics = read_json(tmp_path / "outputs" / "shop" / "metrics.json")
    beyond = metrics["beyond_accuracy"]
    assert {"random", "popularity", "lrurec", "retriever", "ranker"} <= set(beyond["systems"])
    names = {name.partition("@")[0] for name in beyond["systems"]["ranker"]}
    page = PAGE.read_text(encoding="utf-8")
    assert all(f"`{name}`" in page for name in (*names, *MEASURES))
    assert set(beyond["intervals"]["ranker"]) == set(beyond["systems"]["ranker"])
    groups = metrics["user_groups"]["by"]["gender"]["groups"]
    assert [(g["group"], g["users"]) for g in groups] == [("F", 30), ("M", 30)]
    assert metrics["path_quality"]["measures"]["fidelity"]["mean"] is not None
    report = (tmp_path / "outputs" / "shop" / "report.html").read_text(encoding="utf-8")
    for heading in ("Users by group", "NDCG@10 by gender", "Paths that explain"):
        assert heading in report


def test_the_table_of_the_page_is_that_of_the_result():
    text = PAGE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 80
    table = diversity.table(stored("diversity")["sets"])
    assert f"<!-- diversity -->\n{table}\n<!-- /diversity -->" in text
