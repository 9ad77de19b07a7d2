"""Two processes on the CPU (gloo): the same as one.

The first run is started by Accelerate's own launcher, the others as it starts them.
"""

import json
import os
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
from helpers.ports import free_port
from helpers.processes import LIMIT, finish_together, start_together
from helpers.small_run import close, small_options
from safetensors.numpy import load_file

from lkgrag.training.checkpoint import FILE

pytestmark = pytest.mark.slow

FAILURES = ("marked as ready only once", "unused", "did not receive grad", "Traceback")


def launch(args):
    """Two processes of a run by Accelerate's launcher."""
    launcher = [sys.executable, "-m", "accelerate.commands.launch", "--multi_gpu"]
    launcher += ["--num_processes", "2", "--num_machines", "1", "--machine_rank", "0"]
    launcher += ["--mixed_precision", "no", "--dynamo_backend", "no"]
    launcher += ["--main_process_port", str(free_port()), "-m", "lkgrag.train"]
    env = {**os.environ, "ACCELERATE_USE_CPU": "true"}
    done = subprocess.run(
        [*launcher, *args], env=env, capture_output=True, text=True, timeout=LIMIT
    )
    check(done)


def check(done):
    assert done.returncode == 0, done.stderr[-3000:]
    for words in FAILURES:
        assert words not in done.stderr


def run(processes, args, module="lkgrag.train"):
    """What processes give that are started as the launcher starts them."""
    finished = finish_together(start_together(processes, module, args))
    for done in finished:
        check(done)
    return finished


def arguments(root, **changes):
    options = {
        **small_options(root),
        # Nothing divides evenly: batches of 7, passes of 2, an odd number of prompts.
        "training.batch_size": "7",
        "training.micro_batch": "2",
        "training.max_examples": "23",
        "evaluation.batch_size": "3",
        "evaluation.max_events": "11",
        # Dropout draws for each process anew.
        "scorer.kwargs": "{dropout: 0.0}",
        **changes,
    }
    return [f"{key}={value}" for key, value in options.items()]


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """The folders of one run with one process and of one with two, which share nothing."""
    roots = {n: tmp_path_factory.mktemp(f"processes{n}") for n in (1, 2)}
    run(1, arguments(roots[1]))
    launch(arguments(roots[2]))
    return {n: root / "out" for n, root in roots.items()}


def metrics(folder):
    return json.loads((folder / "metrics.json").read_text())


def weights(folder):
    files = sorted((folder / "ranker").rglob("*.safetensors"))
    assert len(files) >= 3
    return {
        f"{path.name}:{name}": value for path in files for name, value in load_file(path).items()
    }


def test_processes_are_two(runs):
    assert metrics(runs[1])["processes"] == 1
    assert metrics(runs[2])["processes"] == 2


def test_processes_see_the_same_batches(runs):
    curves = [json.loads((runs[n] / "curve.json").read_text())["ranker"] for n in (1, 2)]
    assert len(curves[0]) == len(curves[1]) == 4
    for one, two in zip(*curves, strict=True):
        close(two, one)


def test_processes_train_the_same_weights(runs):
    one, two = (weights(runs[n]) for n in (1, 2))
    assert one.keys() == two.keys()
    assert any("lora" in name for name in one)
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, atol=1e-4, err_msg=name)


def test_processes_rank_the_same(runs):
    one, two = (pd.read_parquet(runs[n] / "ranks.parquet") for n in (1, 2))
    assert (one[one["retrieved"]].groupby("split").size() % 2 == 1).any(), (
        "let it not divide evenly"
    )
    pd.testing.assert_frame_equal(two, one)
    close(metrics(runs[2]), metrics(runs[1]))


def test_all_weights_residual_held_out_users_and_batches_of_tokens_are_the_same_on_two(
    tmp_path_factory,
):
    more = {
        "preset": "text-first",
        "training.batch_tokens": "1700",
        "training.check_every": "2",
        "training.held_out": "0.2",
        "training.micro_batch": "2",
        "evaluation.max_events": "5",
        "evaluation.faithfulness": "0",
    }
    folders = []
    for processes in (1, 2):
        root = tmp_path_factory.mktemp(f"whole{processes}")
        run(processes, [a for a in arguments(root, **more) if not a.startswith("training.probe")])
        folders.append(root / "out")
    curves = [json.loads((folder / "curve.json").read_text())["ranker"] for folder in folders]
    assert len(curves[0]) == len(curves[1]) > 1
    assert "held_out" in curves[0][-1]
    for one, two in zip(*curves, strict=True):
        close(two, one)
    one, two = (weights(folder) for folder in folders)
    assert any(name.startswith("weights.safetensors") for name in one)
    for name, value in one.items():
        np.testing.assert_allclose(two[name], value, atol=1e-4, err_msg=name)


@pytest.mark.parametrize(("before", "after"), [(2, 1), (1, 2)])
def test_processes_of_another_number_resume(runs, tmp_path, before, after):
    args = arguments(tmp_path)
    started = start_together(before, "lkgrag.train", args)
    while started[0].poll() is None and not (tmp_path / "out" / "checkpoints" / FILE).exists():
        time.sleep(0.01)
    for process in started:
        process.kill()
    assert not (tmp_path / "out" / "metrics.json").exists()
    run(after, args)
    log = (tmp_path / "out" / "run.log").read_text()
    assert "resuming the training at step" in log
    found = metrics(tmp_path / "out")
    assert found["processes"] == after
    close(found, metrics(runs[1]))
    for name, value in weights(runs[1]).items():
        np.testing.assert_allclose(weights(tmp_path / "out")[name], value, atol=1e-4, err_msg=name)


def test_processes_rank_all_users_together(runs, tmp_path):
    args = [f"run={runs[1]}", "users=all", "k=3", "shard=7"]
    tables = []
    for processes in (1, 2):
        out = tmp_path / f"recs{processes}"
        run(processes, [*args, f"out={out}/"], "lkgrag.recommend")
        tables.append(pd.concat(pd.read_parquet(p) for p in sorted(out.glob("part-*"))))
    pd.testing.assert_frame_equal(tables[1], tables[0])
    assert tables[0]["user"].nunique() == 60


def test_processes_answer_a_question_once(runs):
    given = [f"run={runs[1]}", "users=u1", "k=2", "format=json"]
    one, other = run(2, given, "lkgrag.recommend")
    assert len(json.loads(one.stdout)) == 1
    assert other.stdout == ""


def test_processes_without_a_path(tmp_path):
    """Prompts that no path leads into teach the scorer nothing; the exchange of gradients goes on."""
    options = {
        "kg.behaviour": "false",
        "kg.similar_titles": "0",
        "paths.history": "1",
        "prompt.history": "1",
        "retrieval.k": "4",
        "training.probe": "0",
        "training.batch_size": "2",
        "training.max_examples": "10",
        "evaluation.faithfulness": "0",
    }
    args = arguments(tmp_path, **options)
    table = pd.read_csv(tmp_path / "shop.item", sep="\t", dtype=str)
    # Of four items one has a maker left.
    table.loc[table.index % 4 != 0, "maker:token_seq"] = ""
    table.to_csv(tmp_path / "shop.item", sep="\t", index=False)
    run(2, args)
    assert metrics(tmp_path / "out")["processes"] == 2


def test_processes_of_the_published_preset(tmp_path):
    """A scorer that no loss reaches must not stop the exchange of gradients."""
    given = dict(a.split("=", 1) for a in arguments(tmp_path))
    for key in (
        "scorer.pretrain_epochs",
        "scorer.kwargs",
        "training.probe",
        "training.max_examples",
    ):
        given.pop(key)
    args = [f"{k}={v}" for k, v in given.items()]
    run(2, [*args, "preset=reference", "training.max_examples=5", "evaluation.faithfulness=0"])
    assert metrics(tmp_path / "out")["processes"] == 2
