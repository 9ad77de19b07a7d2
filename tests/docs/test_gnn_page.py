"""The commands of docs/gnn-scorers.md on a small shop; its options are those of the code, its table that of the result."""

import shlex
from dataclasses import fields
from importlib import import_module
from pathlib import Path

import pytest
from helpers.pages import command_lines
from helpers.small_run import small_options
from helpers.tiny_bert import save_bert

from benchmarks import scorers
from benchmarks.common import stored
from lkgrag import Ranker
from lkgrag.scorer import REGISTERED, resolve_scorer
from lkgrag.scorer.graph_network import GraphNetwork
from lkgrag.scorer.nbfnet import NBFNet

PAGE = Path(__file__).parents[2] / "docs" / "gnn-scorers.md"


@pytest.mark.slow
def test_the_commands_of_the_page(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    options = small_options(tmp_path) | {"llm.name": "none", "evaluation.explain": "1"}
    encoder = str(save_bert(tmp_path / "bert"))
    lines = list(command_lines(PAGE))
    assert len(lines) == 4
    for number, (module, words) in enumerate(lines):
        words = [w.replace("text.encoder=minilm", f"text.encoder={encoder}") for w in words]
        given = {w.partition("=")[0] for w in words}
        rest = [
            f"{k}={v}" for k, v in (options | {"out": f"out{number}"}).items() if k not in given
        ]
        monkeypatch.setattr("sys.argv", [module, *words, *rest])
        assert import_module(module).main() == 0, shlex.join(words)
        ranker = Ranker.from_pretrained(f"out{number}")
        name = next(w for w in words if w.startswith("scorer.name=")).removeprefix("scorer.name=")
        assert type(ranker.model.scorer) is resolve_scorer(name)
        assert len(ranker.recommend_users(ranker.users()[:2], k=3)[0].items) == 3


def test_names_and_options_are_those_of_the_code():
    text = PAGE.read_text(encoding="utf-8")
    rows = [line.split("|")[1] for line in text.splitlines() if line.startswith("| `")]
    named = {name.strip(" `") for row in rows for name in row.split(",")}
    classes = {n: resolve_scorer(n) for n in REGISTERED}
    networks = {n: c for n, c in classes.items() if issubclass(c, GraphNetwork | NBFNet)}
    options = {f.name for c in networks.values() for f in fields(c.options_class)}
    assert named == set(networks) | options
    defaults = {f.name: f.default for f in fields(GraphNetwork.options_class)}
    for name in ("layers", "neighbours"):
        assert f"| `{name}` | {defaults[name]} |" in text
    assert f"| `hidden` | {defaults['hidden']}; `nbfnet` 16 |" in text


def test_the_table_is_that_of_the_stored_result():
    text = PAGE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 80
    assert scorers.shown(stored("scorers")) in text
