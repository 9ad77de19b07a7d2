import io
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from rich.console import Console

from lkgrag.data import Queries
from lkgrag.evaluation import metric_names
from lkgrag.evaluation.tables import choose_columns
from lkgrag.run import display
from lkgrag.training.pretraining import Pretraining
from lkgrag.utils import console as progress


@pytest.fixture
def shown(monkeypatch):
    file = io.StringIO()
    monkeypatch.setattr(display, "console", Console(file=file, width=80, highlight=False))
    return file


def metrics(figure, faithful=None):
    names = ("ndcg@10", "recall@10", "mrr")
    row = {p: dict.fromkeys(names, figure) for p in ("all", "retrieved")}
    return {
        "ranker": {"val": row, "test": row},
        "differences": [],
        "faithfulness": faithful or {},
        "tokens_per_prompt": 0.0,
        "seconds": {"total": 3.0},
        "seed": 0,
    }


def test_figures_that_do_not_exist_are_dashes(shown):
    deletion = {"ranker": {"fall": None, "score": None, "control": None}}
    found = {"prompts": 0, "share_existing": None, "deletion": deletion}
    display.print_results(metrics(None, found), [], Path("nowhere"))
    row = next(line for line in shown.getvalue().splitlines() if line.startswith(" ranker"))
    assert row.split() == ["ranker"] + ["-"] * 6
    assert "0 prompts: no path was worded" in shown.getvalue()
    assert "tokens" not in shown.getvalue()


def test_the_tables_show_the_cut_offs_that_were_asked_for(shown):
    row = {
        p: {"ndcg@10": 0.1, "ndcg@5": 0.2, "recall@5": 0.3, "mrr": 0.4}
        for p in ("all", "retrieved")
    }
    figures = {**metrics(0.5), "ranker": {"val": row, "test": row}}
    display.print_results(figures, [], Path("nowhere"), [3, 5])
    assert " ranker .2000 .3000 .4000 .2000 .3000 .4000 " in " ".join(shown.getvalue().split())
    assert "NDCG@5" in shown.getvalue()
    assert choose_columns([5, 10, 20]) == choose_columns([]) == ("ndcg@10", "recall@10", "mrr")
    assert metric_names([5]) == ["mrr", "ndcg@5", "ndcg@10", "recall@1", "recall@5", "recall@10"]


def test_the_page_is_pointed_at_where_there_is_one(shown, tmp_path):
    display.print_results(metrics(0.5), [], tmp_path)
    assert f"look at  {tmp_path}\n" in shown.getvalue()
    (tmp_path / "report.html").touch()
    display.print_results(metrics(0.5), [], tmp_path)
    assert f"look at  {tmp_path / 'report.html'}" in shown.getvalue()


def test_the_end_fits_one_screen_and_says_what_to_do_next(shown, tmp_path):
    display.print_results({**metrics(0.5), "llm": "none"}, [], tmp_path)
    text = shown.getvalue()
    assert len(text.splitlines()) <= 24
    assert f"python -m lkgrag.recommend run={tmp_path}" in text
    assert "the same command with llm.name=smollm2-135m" in text
    assert "3 seconds, seed 0" in text


def test_quiet_leaves_the_figures_only(shown, monkeypatch):
    monkeypatch.setattr(progress, "quiet", True)
    display.StageDisplay(True).start("interactions")
    display.print_results(metrics(0.5), [], Path("nowhere"))
    assert shown.getvalue().lstrip().startswith("test: all users")
    assert "seconds" not in shown.getvalue()


def test_stages_wrap_below_their_beginning_and_take_no_markup(shown):
    display.StageDisplay(True).say("[bold]" + "word " * 40)
    lines = shown.getvalue().splitlines()
    assert lines[0].startswith("   [bold]word")
    assert all(line.startswith("   word") for line in lines[1:])
    assert all(len(line) <= 80 and line == line.rstrip() for line in lines)


def test_losses_that_are_not_finite_are_told(shown):
    row = dict.fromkeys(("epoch", "train", "held", "held_scorer", "held_prior"))
    stages = display.StageDisplay(True)
    stages.show_scorer(SimpleNamespace(metapaths=[]), [], Pretraining(curve=[row]))
    assert "cross-entropy nan with the prior" in " ".join(shown.getvalue().split())


def test_chance_is_that_of_the_lists(shown):
    items = np.array([[1, 2, 3, 4], [5, 6, -1, -1]])
    none = np.zeros(items.shape, np.float32)
    examples = Queries.from_histories([np.array([0])] * 2, items, none, history=1)
    curve = [dict.fromkeys(("loss", "loss_lm", "loss_scorer"), 1.0)]
    display.StageDisplay(True).show_training(curve, examples, 2)
    assert f"chance {(np.log(4) + np.log(2)) / 2:.3f}" in " ".join(shown.getvalue().split())


def test_a_small_weight_is_not_shown_as_none(shown):
    weights = {"lrurec": 1.234, "mine": 0.0012, "popularity": 0.0}
    one = SimpleNamespace(val=[], test=[], examples=[], report={"fusion": weights})
    display.StageDisplay(True).show_retrieval(one, 10)
    assert "fusion: lrurec 1.23, mine 0.001, popularity 0.00" in shown.getvalue()


def test_weights_of_rare_and_common_items_are_shown(shown):
    by_count = {
        "count": [2.0, 259.12],
        "length": [2.0, 22.0],
        "corners": {"lrurec": [[0.0, 0.2], [0.5, 0.7]], "itemitem": [[0.0, 0.0], [0.0, 0.0]]},
    }
    report = {"fusion": {"lrurec": 0.35, "itemitem": 0.0}, "fusion_corners": by_count}
    one = SimpleNamespace(val=[], test=[], examples=[], report=report)
    display.StageDisplay(True).show_retrieval(one, 10)
    said = " ".join(shown.getvalue().split())
    assert "fusion: lrurec 0.35, itemitem 0.00" in said
    assert "from items chosen 2 times to 259 times: lrurec 0.10 to 0.60" in said
    assert "times: lrurec 0.10 to 0.60, itemitem" not in said
