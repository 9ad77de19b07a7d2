"""The commands and the examples of docs/evaluate-elsewhere.md, on a small run."""

import shlex
import shutil
from importlib import import_module
from pathlib import Path

import pandas as pd
import pytest
from helpers.pages import blocks, command_lines

from lkgrag.utils.files import read_json

PAGE = Path(__file__).parents[2] / "docs" / "evaluate-elsewhere.md"


@pytest.mark.slow
def test_the_commands_and_the_examples_of_the_page(run_without_lm, tmp_path, monkeypatch):
    shutil.copytree(run_without_lm, tmp_path / "outputs" / "shop")
    monkeypatch.chdir(tmp_path)
    pd.DataFrame({"user": ["u1", "u2"]}).to_csv("customers.csv", index=False)
    lines = list(command_lines(PAGE))
    assert len(lines) == 3
    for module, words in lines:
        monkeypatch.setattr("sys.argv", [module, *words])
        assert import_module(module).main() == 0, shlex.join(words)
    trec, _, recbole = blocks(PAGE, "python")
    pytest.importorskip("pytrec_eval")
    scope = {}
    exec(compile(trec, str(PAGE), "exec"), scope)
    figures = read_json("trec/metrics.json")["ranker"]["test"]["all"]
    assert abs(scope["ndcg"] - figures["ndcg@10"]) < 1e-9
    exec(compile(recbole, str(PAGE), "exec"), scope)
    figures = read_json("recbole/metrics.json")["ranker"]["test"]["all"]
    assert scope["topk"].shape == (2, 9)
    assert abs(scope["topk"][:, :-1].sum(1).mean() - figures["recall@10"]) < 1e-9


@pytest.mark.slow
def test_the_example_of_ranx(run_without_lm, tmp_path):
    pytest.importorskip("ranx")
    # Only here: a process of its own, as compiling the functions of ranx would take minutes.
    import os
    import subprocess
    import sys

    from lkgrag import evaluate

    evaluate(run_without_lm, out=tmp_path / "ranx", format="ranx")
    _, example, _ = blocks(PAGE, "python")
    program = f"{example}\nprint(report.to_dict()['ranker']['scores']['ndcg@10'])"
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "NUMBA_DISABLE_JIT": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    figures = read_json(tmp_path / "ranx" / "metrics.json")["ranker"]["test"]["all"]
    assert abs(float(done.stdout.splitlines()[-1]) - figures["ndcg@10"]) < 1e-3


def test_the_page_is_short():
    assert len(PAGE.read_text(encoding="utf-8").splitlines()) <= 80
