"""The commands and the example of docs/track.md, on a small shop."""

import re
import shlex
from importlib import import_module
from pathlib import Path

import pytest
from helpers.pages import blocks, command_lines
from helpers.small_run import small_options

from lkgrag import load_config
from lkgrag.run.guarded import STEP_OF

PAGE = Path(__file__).parents[2] / "docs" / "track.md"


@pytest.mark.slow
def test_the_commands_and_the_example_of_the_page(tmp_path, monkeypatch):
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("wandb")
    uri = f"file://{tmp_path / 'mlruns'}"
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.chdir(tmp_path)
    chosen = small_options(tmp_path) | {"evaluation.bootstrap": "100", "evaluation.explain": "0"}
    for key in ("training.tracker", "llm.name", "out"):
        del chosen[key]
    lines = list(command_lines(PAGE))
    assert len(lines) == 3
    for number, (module, words) in enumerate(lines):
        given = [*words, *(f"{k}={v}" for k, v in chosen.items()), f"out=outputs/{number}"]
        monkeypatch.setattr("sys.argv", [module, *given])
        assert import_module(module).main() == 0, shlex.join(words)
    client = mlflow.MlflowClient(uri)
    experiment = client.get_experiment_by_name("lkgrag")
    names = {run.info.run_name for run in client.search_runs([experiment.experiment_id])}
    assert names == {"0", "1"}
    assert list(Path("outputs/1/wandb").glob("offline-run-*"))
    assert not Path("outputs/2/tracking.json").exists()
    (example,) = blocks(PAGE, "python")
    monkeypatch.setattr(
        "lkgrag.load_config", lambda given: load_config({**chosen, **given, "out": "outputs/3"})
    )
    exec(compile(example, str(PAGE), "exec"), {})
    assert mlflow.active_run() is None
    mlflow.set_tracking_uri(before)


def test_the_page_is_short_and_names_every_curve():
    text = PAGE.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 80
    named = set(re.findall(r"`(\w+)/\w+`", text))
    assert set(STEP_OF) <= named
