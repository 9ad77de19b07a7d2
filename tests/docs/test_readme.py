"""README's examples run as they stand."""

import re
from pathlib import Path

import pytest

from lkgrag import Ranker
from lkgrag.testing import PathScorerTests

README = Path(__file__).resolve().parents[2] / "README.md"
BLOCKS = re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), flags=re.DOTALL)


def block(word):
    return next(b for b in BLOCKS if word in b)


def scorer_of_readme():
    names = {"__name__": "readme"}
    exec(compile(block("class Recent"), str(README), "exec"), names)
    return names["Recent"]


class TestReadmeScorer(PathScorerTests):
    scorer = scorer_of_readme()


@pytest.mark.slow
def test_the_python_example_ranks(small_run, monkeypatch, capsys):
    root, _ = small_run
    titles = Ranker.from_pretrained(root / "out" / "ranker").context.catalogue.titles
    code = block("Ranker.from_pretrained").replace("outputs/<run>/ranker", "out/ranker")
    for old, new in zip(("Toy Story", "Fargo", "Star Wars"), titles, strict=False):
        assert old in code
        code = code.replace(old, new)
    monkeypatch.chdir(root)
    exec(compile(code, str(README), "exec"), {"__name__": "readme"})
    printed = capsys.readouterr().out.splitlines()
    assert [line.split()[0] for line in printed] == ["1", "2", "3", "4", "5"]
