"""What a run leaves: which files, in which order, and what a failure among them costs."""

import json
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from lkgrag.config.loading import load_config
from lkgrag.errors import LkgragError
from lkgrag.evaluation.evaluator import Evaluator
from lkgrag.prompt.order import CandidateOrder
from lkgrag.run import outputs
from lkgrag.run.cache import StageCache
from lkgrag.run.outputs import explain_events, write_files
from lkgrag.run.stages import Stages, load_dataset
from lkgrag.serving.ranker import Ranker

CURVES = {"ranker": [{"loss": 0.5}], "scorer": [], "lrurec": [{"epoch": 1.0}]}
METRICS = {"format": 1, "seed": 0}


class Finished:
    """The parts of a finished run that its files are written of."""

    def __init__(self, root, options):
        config = load_config(options)
        self.dataset = load_dataset(config)
        self.interactions = self.dataset.interactions
        stages = Stages(StageCache(root / "cache"), config, self.dataset, torch.device("cpu"))
        stage_one = stages.retrieval()
        self.test = stage_one.test
        self.ranker = Ranker.from_pretrained(root / "out", "cpu", lm="always")
        evaluator = Evaluator(
            self.interactions,
            self.ranker.context.graph,
            config.evaluation,
            CandidateOrder(config.prompt.order, config.seed),
            config.paths.history,
        )
        lists = {"val": stage_one.val, "test": stage_one.test}
        self.evaluation = evaluator.evaluate(self.ranker.model, lists)

    def write(self, folder, explained=()):
        """All files; the report is drawn of nothing, so it is not."""
        write_files(
            folder, self.ranker, self.dataset, self.evaluation, CURVES, list(explained), METRICS
        )

    def explain(self, seed=0, number=2):
        """Explained events with another seed and number of the configuration."""
        config = self.ranker.context.config
        evaluation = replace(config.evaluation, explain=number)
        config = replace(config, seed=seed, evaluation=evaluation)
        ranker = Ranker(self.ranker.model, replace(self.ranker.context, config=config))
        return explain_events(ranker, self.interactions, self.test)


@pytest.fixture(scope="module")
def finished(small_run):
    return Finished(*small_run)


@pytest.fixture
def undrawn(monkeypatch):
    """No report, which takes seconds."""
    monkeypatch.setattr(outputs, "write_report", lambda folder, metrics: None)


@pytest.fixture
def requests(monkeypatch):
    """The requests that are to be explained, in place of their rankings."""
    asked = []

    def rank(model, context, requests, k, explain):
        asked.append((requests, k, explain))
        return requests

    monkeypatch.setattr(outputs, "rank", rank)
    return asked


def test_metrics_come_last(finished, tmp_path, monkeypatch):
    written = []

    def recording(function, name_of):
        def call(*arguments):
            written.append(name_of(*arguments))
            return function(*arguments)

        return call

    for name in ("write_json", "write_parquet"):
        function = getattr(outputs, name)
        monkeypatch.setattr(outputs, name, recording(function, lambda path, value: path.name))
    monkeypatch.setattr(
        outputs, "save_kg", recording(outputs.save_kg, lambda data, path: path.name)
    )
    monkeypatch.setattr(
        Ranker, "save_pretrained", recording(Ranker.save_pretrained, lambda *a: "ranker")
    )
    monkeypatch.setattr(outputs, "write_report", lambda folder, metrics: written.append("report"))
    finished.write(tmp_path)
    assert written == [
        "ranker",
        "kg",
        "ranks.parquet",
        "curve.json",
        "explanations.json",
        "prompts.parquet",
        "salience.parquet",
        "report",
        "metrics.json",
    ]
    # The sums of the files, behind all of them.
    assert {path.name for path in tmp_path.iterdir()} == {*written, "done.json"} - {"report"}


@pytest.mark.parametrize("name", ["save_kg", "write_parquet", "prompt_tables", "write_report"])
def test_a_run_whose_files_cannot_be_written_is_not_finished(
    finished, tmp_path, monkeypatch, undrawn, name
):
    def full(*arguments):
        raise LkgragError("the disk is full")

    monkeypatch.setattr(outputs, name, full)
    with pytest.raises(LkgragError, match="the disk is full"):
        finished.write(tmp_path)
    assert not (tmp_path / "metrics.json").exists()


def test_a_drawing_that_fails_costs_nothing(finished, tmp_path, monkeypatch, caplog):
    def broken(folder, metrics):
        raise RuntimeError("no ink")

    monkeypatch.setattr(outputs, "write_report", broken)
    finished.write(tmp_path)
    assert json.loads((tmp_path / "metrics.json").read_text()) == METRICS
    assert f"python -m lkgrag.report run={tmp_path}" in caplog.text


def test_the_files_hold_every_event_and_every_curve(finished, tmp_path, undrawn):
    finished.write(tmp_path, finished.explain())
    evaluation = finished.evaluation
    ranks = pd.read_parquet(tmp_path / "ranks.parquet")
    assert len(ranks) == len(evaluation.val) + len(evaluation.test)
    test = ranks[ranks["split"] == "test"]
    assert test["user"].tolist() == [
        finished.interactions.user_ids[u] for u in evaluation.test.user
    ]
    assert test["rank_ranker"].tolist() == evaluation.test.ranks["ranker"].tolist()
    # A loss for each event whose target is a candidate, and only for them.
    for term in ("lm", "scorer", "prior"):
        assert np.array_equal(ranks[f"nll_{term}"].notna(), ranks["retrieved"])
    assert json.loads((tmp_path / "curve.json").read_text()) == CURVES
    assert len(json.loads((tmp_path / "explanations.json").read_text())) == 2
    prompts = pd.read_parquet(tmp_path / "prompts.parquet")
    assert len(prompts) == ranks["retrieved"].sum()
    salience = pd.read_parquet(tmp_path / "salience.parquet")
    # The shares of each prompt add up.
    np.testing.assert_allclose(salience.groupby(["split", "prompt"])["share"].sum(), 1, atol=1e-5)
    copy = Ranker.from_pretrained(tmp_path)
    assert copy.recommend_users(["u1"]) == finished.ranker.recommend_users(["u1"])


def test_explained_events_follow_from_the_seed(finished, requests):
    drawn = {seed: [request.user for request in finished.explain(seed, 5)] for seed in range(4)}
    assert [request.user for request in finished.explain(0, 5)] == drawn[0]
    assert len({tuple(users) for users in drawn.values()}) > 1
    # A smaller number takes the first of the same draw.
    assert [request.user for request in finished.explain(0, 2)] == drawn[0][:2]


def test_an_explained_event_is_ranked_as_it_was_predicted(finished, requests):
    finished.explain(number=10**6)
    ((explained, k, with_paths),) = requests
    test, interactions = finished.test, finished.interactions
    assert (k, with_paths) == (5, True)
    assert len(explained) == test.retrieved.sum() > 0
    row_of = {interactions.user_ids[u]: row for row, u in enumerate(test.events.user)}
    for request in explained:
        row = row_of[request.user]
        position, target = int(test.events.position[row]), int(test.events.target[row])
        begin = interactions.indptr[request.index]
        # The history ends before the event, and the candidates are those of stage one.
        assert np.array_equal(request.history, interactions.item[begin : begin + position])
        assert len(request.rating) == position
        assert request.target == target == interactions.item[begin + position]
        assert target in request.candidates
        assert np.array_equal(request.candidates, test.items[row][test.items[row] >= 0])


def test_explained_events_have_paths_and_mark_their_target(finished):
    (recommendation,) = finished.explain(number=1)
    assert recommendation.target is not None
    assert len(recommendation.items) == 5
    assert any(item.paths for item in recommendation.items)


@pytest.mark.parametrize("number", [0, 3])
def test_nothing_is_ranked_where_there_is_nothing_to_explain(finished, requests, number):
    missed = finished.test[~finished.test.retrieved]
    lists = finished.test if number == 0 else missed
    config = finished.ranker.context.config
    config = replace(config, evaluation=replace(config.evaluation, explain=number))
    ranker = Ranker(finished.ranker.model, replace(finished.ranker.context, config=config))
    assert explain_events(ranker, finished.interactions, lists) == []
    assert requests == []
