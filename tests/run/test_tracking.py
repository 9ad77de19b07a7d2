"""Trackers: what is logged is read back, in one run also after a kill; a tracker stops no training."""

import dataclasses
import logging
import math
import os
import subprocess
import sys

import pytest
from accelerate import Accelerator
from accelerate.tracking import GeneralTracker
from helpers.small_run import small_options

from lkgrag.config import Config
from lkgrag.config.checks import check
from lkgrag.config.identity import run_name
from lkgrag.config.loading import load_config
from lkgrag.config.schema import tracker_names
from lkgrag.errors import ConfigError, LkgragError
from lkgrag.run import tracker_checks
from lkgrag.run.guarded import Guarded
from lkgrag.run.pipeline import train
from lkgrag.run.tracker_checks import check_trackers
from lkgrag.run.tracker_values import final_figures, flat_options, metric_name, numbers, tables
from lkgrag.run.tracking import Tracking, tracked
from lkgrag.utils.files import read_json

QUICK = {"evaluation.bootstrap": "100", "evaluation.faithfulness": "0"}


class Fake(GeneralTracker):
    """Keeps what it is given; fails from a call on."""

    name = "fake"
    requires_logging_directory = False

    def __init__(self, fails_from=math.inf, name="fake"):
        super().__init__()
        self.name = name
        self.calls, self.rows, self.fails_from = 0, [], fails_from

    @property
    def tracker(self):
        return self

    def start(self):
        self.call()

    def store_init_configuration(self, values):
        self.call()

    def log(self, values, step=None, **kwargs):
        self.call()
        self.rows.append((step, values))

    def call(self):
        self.calls += 1
        if self.calls >= self.fails_from:
            raise ConnectionError("https://me:geheim@server is gone\nmore")


def test_a_tracker_that_fails_is_told_once_and_left_alone(caplog):
    fake = Fake(fails_from=3)
    guarded = Guarded(fake)
    guarded.start()
    for step in range(1, 6):
        guarded.log({"train/loss": 1.0}, step=step)
    guarded.finish()
    assert [step for step, _ in fake.rows] == [1]
    assert fake.calls == 3
    told = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert len(told) == 1
    assert (
        "training.tracker=fake: the tracker failed (ConnectionError: https://***@server is gone)"
        in told[0]
    )
    assert "geheim" not in told[0]


def test_steps_that_were_logged_before_a_kill_are_not_logged_again(tmp_path):
    steps = tmp_path / "steps"
    first = Guarded(Fake(), steps)
    for step in (1, 2, 3):
        first.log({"train/loss": float(step)}, step=step)
    second = Guarded(Fake(), steps)
    for step in (2, 3, 4):
        second.log({"train/loss": float(step)}, step=step)
    second.log({"scorer/held": 1.0}, step=1)
    assert [step for step, _ in second.inner.rows] == [4, 1]
    assert steps.read_text() == "4"
    steps.write_text("tor")
    third = Guarded(Fake(), steps)
    third.log({"train/loss": 1.0}, step=1)
    assert len(third.inner.rows) == 1


def test_what_a_buffered_tracker_may_lose_is_logged_again(tmp_path, monkeypatch):
    steps, now = tmp_path / "steps", [0.0]
    monkeypatch.setattr("lkgrag.run.guarded.time.monotonic", lambda: now[0])
    first = Guarded(Fake(name="wandb"), steps)
    for step, when in ((1, 0), (2, 20), (3, 40)):
        now[0] = float(when)
        first.log({"train/loss": 1.0, "train/step": step}, step=step)
    # Only the first is older than the buffer.
    assert steps.read_text() == "1"
    second = Guarded(Fake(name="wandb"), steps)
    for step in (3, 4, 1, 2, 3, 4):
        second.log({"train/loss": 1.0, "train/step": step}, step=step)
    assert [values["train/step"] for _, values in second.inner.rows] == [3, 4, 2]
    second.note_all()
    assert steps.read_text() == "4"


def test_each_curve_of_wandb_has_a_step_of_its_own():
    fake = Fake(name="wandb")
    guarded = Guarded(fake)
    guarded.log({"scorer/held": 1.0}, step=7)
    guarded.log({"train/loss": 2.0, "train/step": 3}, step=3)
    assert fake.rows == [
        (None, {"scorer/held": 1.0, "scorer/epoch": 7}),
        (None, {"train/loss": 2.0, "train/step": 3.0}),
    ]


def test_only_the_first_process_logs(tmp_path):
    class Second:
        is_main_process = False
        trackers: list = []  # noqa: RUF012

    config = Config()
    config.training.tracker = "wandb,mlflow,tensorboard"
    with tracked(config, tmp_path, Second()) as tracking:
        tracking.start_training()
        tracking.log_curve("lrurec", [{"ndcg@10": 0.1}])
        tracking.log_results({})
    assert Second.trackers == []
    assert not list(tmp_path.iterdir())


def test_secrets_and_folders_are_not_logged():
    config = Config(out="/home/me/out")
    config.data.root = "/home/me/data"
    config.scorer.kwargs = {
        "api_key": "geheim1",
        "dim": 8,
        "url": "https://me:geheim2@host/x?token=geheim3",
    }
    config.retrieval.kwargs = {
        "near": {"AUTH_TOKEN": "geheim4", "password": {"a": "geheim5"}, "k": 3, "author": 4}
    }
    config.llm.name = "hf_abcdefghijklmnopqrstuvwxyz"
    config.engine.temp = "/home/me/temp"
    config.text.encoder = "/home/me/models/small"
    config.scorer.kwargs["files"] = ["~/here", "../me/there", "C:\\me\\that", "a/b"]
    found = flat_options(config)
    text = repr(found)
    assert "geheim" not in text
    assert "/home/me" not in text
    assert "hf_abc" not in text
    assert found["scorer.kwargs.dim"] == 8
    assert found["retrieval.kwargs.near.k"] == 3
    assert found["retrieval.kwargs.near.author"] == 4
    assert found["scorer.kwargs.api_key"] == "***"
    assert found["scorer.kwargs.files"] == "['here', 'there', 'that', 'a/b']"
    assert found["text.encoder"] == "small"
    assert "engine.temp" not in found
    assert "out" not in found
    assert found["prompt.max_tokens"] == 768
    assert found["training.batch_tokens"] == 0
    assert all(isinstance(v, str | int | float | bool) for v in found.values())


def test_values_that_trackers_do_not_take_are_left_out():
    assert numbers({"a@10": 1, "b": math.nan, "c": None, "d": True, "e": "x", "f": math.inf}) == {
        "a_at_10": 1.0
    }
    assert metric_name("test/mein System/ndcg@10") == "test/mein System/ndcg_at_10"
    metrics = {
        "ranker": {"test": {"all": {"ndcg@10": 0.5, "mrr": math.nan}}, "val": {}},
        "differences": [],
    }
    assert final_figures(metrics) == {"test/ranker/ndcg_at_10": 0.5}
    assert tables(metrics) == {
        "systems_test": (["system", "ndcg@10", "mrr"], [["ranker", 0.5, None]])
    }


@pytest.mark.parametrize(
    ("option", "names"),
    [("none", []), ("tensorboard", ["tensorboard"]), ("wandb, mlflow,wandb", ["wandb", "mlflow"])],
)
def test_words_of_the_option(option, names):
    config = Config()
    config.training.tracker = option
    check(config)
    assert tracker_names(option) == names


@pytest.mark.parametrize(
    "option", ["wand", "none,wandb", "", "wandb,", "TensorBoard", "mlflow;wandb"]
)
def test_other_words_are_refused(option):
    config = Config()
    config.training.tracker = option
    with pytest.raises(
        ConfigError, match=r"training.tracker.* is none of tensorboard, wandb, mlflow, none"
    ):
        check(config)


def test_the_tracker_names_no_other_run():
    names = set()
    for option in ("tensorboard", "none", "wandb,mlflow"):
        config = Config()
        config.training = dataclasses.replace(config.training, tracker=option)
        names.add(run_name(config))
    assert len(names) == 1


@pytest.mark.parametrize("name", ["wandb", "mlflow"])
def test_a_tracker_that_is_not_installed_is_told_with_the_extra(name, monkeypatch):
    monkeypatch.setattr(tracker_checks.importlib.util, "find_spec", lambda module: None)
    with pytest.raises(
        ConfigError, match=rf'{name} is not installed: pip install "lkgrag\[track\]"'
    ):
        check_trackers(f"tensorboard,{name}")
    check_trackers("tensorboard")
    check_trackers("none")


@pytest.mark.slow
def test_nobody_logged_in_and_no_server_are_told_before_the_run(tmp_path):
    pytest.importorskip("wandb")
    pytest.importorskip("mlflow")
    options = small_options(tmp_path)
    code = (
        "import sys\nfrom lkgrag.config.loading import load_config\nfrom lkgrag.errors import ConfigError\n"
        "from lkgrag.run.pipeline import train\n"
        f"options = {options!r}\n"
        "for name in ('wandb', 'mlflow'):\n"
        "    try:\n        train(load_config(options | {'training.tracker': name}))\n"
        "    except ConfigError as error:\n        print(error)\n"
    )
    variables = {k: v for k, v in os.environ.items() if not k.startswith(("WANDB", "MLFLOW"))}
    variables |= {
        "HOME": str(tmp_path),
        "NETRC": str(tmp_path / "none"),
        "MLFLOW_TRACKING_URI": "http://me:geheim@127.0.0.1:9",
        "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "0",
        "PYTHONPATH": os.pathsep.join(p for p in sys.path if p),
    }
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=variables,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    lines = [line for line in done.stdout.splitlines() if line.startswith("training.tracker")]
    assert len(lines) == 2, done.stdout + done.stderr[-2000:]
    assert "nobody is logged in to W&B" in lines[0]
    assert "the store http://***@127.0.0.1:9 cannot be used" in lines[1]
    assert "geheim" not in done.stdout
    assert not (tmp_path / "out").exists()


def test_a_database_in_a_folder_that_is_missing_is_told_at_once(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    monkeypatch.setattr(mlflow, "get_tracking_uri", lambda: f"sqlite:///{tmp_path}/nope/x.db")
    monkeypatch.setattr(mlflow, "search_experiments", None)
    with pytest.raises(ConfigError, match=r"there is no folder .*nope"):
        tracker_checks.CHECKS["mlflow"]()


@pytest.fixture
def stores(tmp_path, monkeypatch):
    """W&B offline, and MLflow's store in a folder."""
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("wandb")
    uri = f"file://{tmp_path / 'mlruns'}"
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    yield mlflow.MlflowClient(uri)
    mlflow.set_tracking_uri(before)


def only_run(client):
    """The one run of the experiment."""
    experiment = client.get_experiment_by_name("lkgrag")
    (run,) = client.search_runs([experiment.experiment_id])
    return run


def history(client, run, metric):
    return [(m.step, m.value) for m in client.get_metric_history(run.info.run_id, metric)]


def check_mlflow(client, folder, options):
    """All that the run wrote is there, each point once."""
    run = only_run(client)
    assert run.info.status == "FINISHED"
    assert run.info.run_name == folder.name
    assert run.data.params["retrieval.hidden"] == options["retrieval.hidden"]
    assert run.data.params["data.name"] == "shop"
    curve, metrics = read_json(folder / "curve.json"), read_json(folder / "metrics.json")
    expected = [(row["step"], pytest.approx(row["loss"])) for row in curve["ranker"]]
    assert history(client, run, "train/loss") == expected
    expected = list(enumerate(map(pytest.approx, curve["lrurec"]), start=1))
    assert history(client, run, "lrurec/ndcg_at_10") == expected
    held = [(row["epoch"], pytest.approx(row["held"])) for row in curve["scorer"]]
    assert history(client, run, "scorer/held") == held
    assert len(history(client, run, "text/loss")) > 1
    figure = metrics["ranker"]["test"]["all"]["ndcg@10"]
    assert run.data.metrics["test/ranker/ndcg_at_10"] == pytest.approx(figure)
    where = client.download_artifacts(run.info.run_id, "tables/systems_test.json", str(folder))
    table = read_json(where)
    row = dict(
        zip(table["columns"], next(r for r in table["data"] if r[0] == "ranker"), strict=True)
    )
    assert row["ndcg@10"] == pytest.approx(figure)
    assert {f.path for f in client.list_artifacts(run.info.run_id)} == {
        "metrics.json",
        "report.html",
        "tables",
    }


@pytest.mark.slow
def test_a_run_that_was_killed_is_one_run_of_both_trackers(tmp_path, stores):
    """The first process dies between a step that was logged and its checkpoint."""
    from helpers.wandb_file import read_run

    options = small_options(tmp_path) | QUICK | {"training.tracker": "wandb,mlflow,tensorboard"}
    code = (
        "import os\nfrom lkgrag.config.loading import load_config\nfrom lkgrag.run.pipeline import train\n"
        "from lkgrag.training.loop import Trainer\n"
        "save = Trainer._save\n"
        "def kill(self, optimizer, step, curve):\n"
        "    if step == 2:\n        os._exit(9)\n"
        "    save(self, optimizer, step, curve)\n"
        "Trainer._save = kill\n"
        f"train(load_config({options!r}))\n"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    # The server of W&B that earlier tests have started would outlive this process, and keep its run.
    env.pop("WANDB_SERVICE", None)
    done = subprocess.run(
        [sys.executable, "-c", code],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 9, done.stderr[-3000:]
    assert only_run(stores).info.status == "RUNNING"
    train(load_config(options))
    folder = tmp_path / "out"
    check_mlflow(stores, folder, options)
    files = sorted(folder.glob("wandb/offline-run-*/*.wandb"))
    parts = [read_run(f) for f in files]
    # W&B loses what it had not written when the process died; all of it is logged again.
    assert len(parts) == 2
    assert {p["id"] for p in parts} - {None} == {read_json(folder / "tracking.json")["wandb"]["id"]}
    rows = [row for p in parts for row in p["history"]]
    curve = read_json(folder / "curve.json")
    steps = {row["train/step"]: row["train/loss"] for row in rows if "train/loss" in row}
    assert steps == {row["step"]: pytest.approx(row["loss"]) for row in curve["ranker"]}
    epochs = {row["lrurec/epoch"] for row in rows if "lrurec/ndcg_at_10" in row}
    assert epochs == set(range(1, len(curve["lrurec"]) + 1))
    assert any("test/ranker/ndcg_at_10" in row for row in rows)
    (table,) = [
        row["tables/systems_test/path"] for row in rows if "tables/systems_test/path" in row
    ]
    body = read_json(files[1].parent / "files" / table)
    found = {row[0]: row[1] for row in body["data"]}
    assert body["columns"][:2] == ["system", "mrr"]
    metrics = read_json(folder / "metrics.json")
    assert found["ranker"] == pytest.approx(metrics["ranker"]["test"]["all"]["mrr"])
    assert parts[1]["config"]["retrieval.hidden"] == int(options["retrieval.hidden"])
    assert [a.type for p in parts for a in p["artifacts"]].count("report") == 1
    assert list((folder / "tensorboard" / "ranker").glob("events*"))
    # The tables of a finished run are printed without a tracker.
    before = (folder / "tracking.json").read_text()
    train(load_config(options))
    assert (folder / "tracking.json").read_text() == before
    assert len(list(folder.glob("wandb/offline-run-*"))) == 2


@pytest.mark.slow
def test_a_run_that_fails_is_told_to_the_tracker_and_leaves_no_folder(
    tmp_path, stores, monkeypatch
):
    def fail(*args):
        raise LkgragError("no such thing")

    monkeypatch.setattr("lkgrag.run.learning.train_scorer", fail)
    options = small_options(tmp_path) | QUICK
    with pytest.raises(LkgragError, match="no such thing"):
        train(load_config(options | {"llm.name": "none", "training.tracker": "mlflow"}))
    assert only_run(stores).info.status == "FAILED"
    assert not (tmp_path / "out").exists()


def test_a_run_of_the_tracker_that_was_deleted_is_replaced(tmp_path, stores, caplog):
    config = Config()
    config.training.tracker = "mlflow"
    accelerator = Accelerator(cpu=True)
    with tracked(config, tmp_path / "run", accelerator) as tracking:
        tracking.log_curve("lrurec", [{"ndcg@10": 0.1}, {"ndcg@10": 0.2}])
    first = only_run(stores).info.run_id
    import mlflow

    mlflow.delete_run(first)
    with tracked(config, tmp_path / "run", accelerator) as tracking:
        tracking.log_curve("lrurec", [{"ndcg@10": 0.1}, {"ndcg@10": 0.2}])
    second = only_run(stores)
    assert second.info.run_id != first
    assert len(history(stores, second, "lrurec/ndcg_at_10")) == 2
    assert "is gone; a new one begins" in caplog.text
    assert accelerator.trackers == []


def test_a_run_within_a_run_of_ones_own_is_nested(tmp_path, stores):
    import mlflow

    config = Config()
    config.training.tracker = "mlflow"
    mlflow.set_experiment("mine")
    with mlflow.start_run() as outer, tracked(config, tmp_path / "run", Accelerator(cpu=True)):
        assert mlflow.active_run().info.run_id != outer.info.run_id
    assert only_run(stores).data.tags["mlflow.parentRunId"] == outer.info.run_id


def test_damaged_notes_of_earlier_runs_count_as_none(tmp_path):
    for text in ("{", "[]", '{"mlflow": 7}', '{"mlflow": {"done": 7}}', "null"):
        (tmp_path / "tracking.json").write_text(text)
        found = Tracking(Config(), tmp_path, Accelerator(cpu=True))
        assert found._runs == {}
