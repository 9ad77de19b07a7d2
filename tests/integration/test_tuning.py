"""Whole studies on a small shop: no test event counts, killed ones go on, and several processes share one."""

import json
import os
import shutil
import signal
import time

import numpy as np
import pandas as pd
import pytest
from helpers.processes import Process, run
from helpers.small_run import small_options
from helpers.studies import SPACE, study_options
from optuna.trial import TrialState

from lkgrag.config.loading import load_config
from lkgrag.errors import RunError
from lkgrag.run.pipeline import train
from lkgrag.run.stages import load_dataset
from lkgrag.tuning.options import read_options
from lkgrag.tuning.store import StudyStore
from lkgrag.tuning.study import tune
from lkgrag.tuning.trial import Workshop, run_trial
from lkgrag.utils.files import read_json

pytestmark = pytest.mark.slow

QUICK = {
    "llm.name": "none",
    "evaluation.bootstrap": "50",
    "evaluation.faithfulness": "0",
    "evaluation.explain": "0",
}


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    root = tmp_path_factory.mktemp("shop")
    options = {**small_options(root), **QUICK}
    (root / "space.yaml").write_text(SPACE)
    return options, root


def arguments(shop, out, trials):
    pairs = {**shop[0], "out": out, "space": shop[1] / "space.yaml", "trials": trials}
    pairs["cache.root"] = out / "cache"
    return [f"{key}={value}" for key, value in pairs.items()]


def trials_of(shop, out):
    pairs = {**shop[0], "out": str(out)}
    options = read_options({"space": str(shop[1] / "space.yaml")}, load_config(pairs))
    return StudyStore(options)


@pytest.fixture(scope="module")
def finished(shop, tmp_path_factory):
    """A study of five trials by the command."""
    out = tmp_path_factory.mktemp("tuned") / "study"
    done = run("lkgrag.tune", *arguments(shop, out, 5))
    assert done.returncode == 0, done.stdout + done.stderr
    return out, done


def test_the_first_trial_is_the_defaults_with_the_value_of_a_run(shop, finished, tmp_path):
    out, _ = finished
    summary = read_json(out / "study.json")
    folder = train(load_config({**shop[0], "out": str(tmp_path / "run")}))
    metrics = read_json(folder / "metrics.json")
    assert summary["defaults"]["number"] == 0
    assert summary["defaults"]["value"] == pytest.approx(
        metrics["ranker"]["val"]["all"]["ndcg@10"], abs=1e-9
    )


def test_the_best_trains_and_has_its_value_on_validation(finished, tmp_path):
    out, done = finished
    assert f"train it python -m lkgrag.train config={out / 'best.yaml'}" in done.stdout
    summary = read_json(out / "study.json")
    text = {"config": str(out / "best.yaml"), **QUICK, "threads": "1", "training.tracker": "none"}
    places = {"out": str(tmp_path / "best"), "cache.root": str(tmp_path / "cache")}
    metrics = read_json(train(load_config({**text, **places})) / "metrics.json")
    assert metrics["ranker"]["val"]["all"]["ndcg@10"] == pytest.approx(
        summary["best"]["value"], abs=1e-9
    )


def test_the_items_of_the_test_change_no_trial(shop, finished, tmp_path):
    """Everyone gets the test item of someone else: every trial has the value that it had."""
    root = tmp_path / "other"
    root.mkdir()
    for path in shop[1].glob("shop.*"):
        shutil.copy(path, root)
    table = pd.read_csv(root / "shop.inter", sep="\t")
    last = table.groupby("user_id:token")["timestamp:float"].idxmax().to_numpy()
    known = table.groupby("user_id:token")["item_id:token"].agg(set)
    changed = 0
    for a, b in zip(last[::2], last[1::2], strict=False):
        (u, v), (i, j) = table.loc[[a, b], "user_id:token"], table.loc[[a, b], "item_id:token"]
        if j not in known[u] and i not in known[v]:
            table.loc[[a, b], "item_id:token"] = [j, i]
            changed += 2
    assert changed > 20
    table.to_csv(root / "shop.inter", sep="\t", index=False)
    pairs = {**shop[0], "data.root": str(root), "cache.root": str(root / "cache")}
    pairs["out"] = str(root / "study")
    outcome = tune(*study_options(pairs, space=shop[1] / "space.yaml", trials=5))
    before = pd.read_csv(finished[0] / "trials.csv")
    assert [t.value for t in outcome.complete] == pytest.approx(
        before["value"].dropna().tolist(), abs=1e-12
    )


@pytest.mark.parametrize("split", ["leave_one_out", "rolling", "time"])
def test_the_data_of_trials_end_before_the_test(shop, split):
    whole = load_dataset(load_config({**shop[0], "data.split": split}))
    part = whole.without_test()
    assert len(whole.split.test) > 0 == len(part.split.test)
    assert part.key != whole.key
    assert (part.split.val.target == whole.split.val.target).all()
    assert part.interactions.num_items == whole.interactions.num_items
    cut = dict(zip(whole.split.test.user[::-1], whole.split.test.position[::-1], strict=True))
    lengths = np.diff(part.interactions.indptr)
    for user, length in enumerate(np.diff(whole.interactions.indptr)):
        assert lengths[user] == cut.get(user, length)


def test_a_trial_on_data_with_test_events_is_refused(shop):
    config = load_config(shop[0])
    place = Workshop(load_dataset(config), None, None, 1)
    with pytest.raises(RunError, match="without test events"):
        run_trial(config, place, None, "ndcg@10")


def wait_for(path, process, number):
    """Wait until a study has so many trials with a value."""
    end = time.monotonic() + 300
    while len(list(path.glob("*.parquet"))) < number:
        assert process.poll() is None, process.finish()
        assert time.monotonic() < end
        time.sleep(0.02)


def test_a_killed_study_started_again_has_the_trials_of_an_undisturbed_one(
    shop, finished, tmp_path
):
    out = tmp_path / "study"
    args = arguments(shop, out, 5)
    for number in (1, 3):
        process = Process("lkgrag.tune", args)
        wait_for(out / "trials", process, number)
        time.sleep(0.3)
        process.kill()
    done = run("lkgrag.tune", *args)
    assert done.returncode == 0, done.stdout + done.stderr
    columns = ["state", "value", "retrieval.decay", "scorer.pretrain_lr", "kg.exclude"]
    killed, whole = (pd.read_csv(x / "trials.csv")[columns] for x in (out, finished[0]))
    pd.testing.assert_frame_equal(
        killed.sort_values(columns[2:], ignore_index=True),
        whole.sort_values(columns[2:], ignore_index=True),
    )
    left = [p for p in (out / "running").iterdir() if p.suffix != ".lock"]
    assert left == []


def test_ctrl_c_says_how_to_go_on_and_the_next_call_has_all_trials(shop, finished, tmp_path):
    args = arguments(shop, tmp_path / "study", 3)
    process = Process("lkgrag.tune", args)
    wait_for(tmp_path / "study" / "trials", process, 1)
    os.kill(process.pid, signal.SIGINT)
    done = process.finish(120)
    advice = "stopped; the same command goes on; the trial that was stopped begins again"
    assert (done.returncode, done.stderr.splitlines()[-1]) == (130, advice)
    done = run("lkgrag.tune", *args)
    assert done.returncode == 0, done.stderr
    values = pd.read_csv(tmp_path / "study" / "trials.csv")["value"]
    assert sorted(values) == sorted(pd.read_csv(finished[0] / "trials.csv")["value"][:3])


def test_two_processes_share_a_study(shop, tmp_path):
    out = tmp_path / "study"
    args = arguments(shop, out, 7)
    both = [Process("lkgrag.tune", args) for _ in range(2)]
    results = [process.finish() for process in both]
    assert [done.returncode for done in results] == [0, 0], results
    trials = trials_of(shop, out).trials()
    assert [t.state for t in trials] == [TrialState.COMPLETE] * 7
    assert len({json.dumps(t.params, sort_keys=True) for t in trials}) == 7
    assert sum("defaults" in t.user_attrs for t in trials) == 1
    worked = [done.stdout.count("\ntrial ") for done in results]
    assert sum(worked) == 7
    assert min(worked) > 0
    assert read_json(out / "study.json")["trials"] == {"complete": 7}


def test_the_stages_of_losing_trials_are_deleted_beyond_the_disk_they_may_take(shop, tmp_path):
    pairs = {**shop[0], "cache.root": str(tmp_path / "cache"), "out": str(tmp_path / "study")}
    outcome = tune(*study_options(pairs, space=shop[1] / "space.yaml", trials=4, disk=0))
    kept = {path for trial in (outcome.best, outcome.defaults) for path in trial.user_attrs["used"]}
    there = {str(p.parent) for p in (tmp_path / "cache").glob("*/*/done.json")}
    assert there == kept
    built = {path for trial in outcome.trials for path in trial.user_attrs["built"]}
    assert built - kept


def test_a_language_model_is_tuned_too(shop, tmp_path):
    (tmp_path / "lm.yaml").write_text("training.lr: {low: 1e-4, high: 1e-3, log: true}")
    options = small_options(tmp_path)
    pairs = {**options, **QUICK, "llm.name": options["llm.name"], "evaluation.max_events": "8"}
    outcome = tune(*study_options(pairs, space=tmp_path / "lm.yaml", trials=2))
    assert [t.state for t in outcome.trials] == [TrialState.COMPLETE] * 2
    assert outcome.selected_gain is None or np.isfinite(outcome.selected_gain.mean)
    assert list((tmp_path / "out" / "running").iterdir()) == []
