"""Two machines, each a process of this one: the same as one process, and what happens if one is lost."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch
from helpers.pages import blocks
from helpers.ports import free_port
from helpers.processes import LIMIT, start_together
from helpers.small_run import close, small_options
from safetensors.numpy import load_file

from lkgrag.config.loading import load_config
from lkgrag.run.cache import StageCache
from lkgrag.run.stages import Stages, load_dataset
from lkgrag.training.checkpoint import FILE
from lkgrag.utils.files import read_json
from lkgrag.utils.layout import METRICS

pytestmark = pytest.mark.slow

PAGE = Path(__file__).parents[2] / "docs" / "nodes.md"
#: Waits for others in a collective operation.
WAITS = """
import sys, torch
from lkgrag.config import NodesConfig
from lkgrag.run.launch import launched
with launched(NodesConfig(timeout=3, join=60), "again", lambda: torch.distributed.init_process_group("gloo")):
    print("met", flush=True)
    torch.distributed.recv(torch.ones(1), src=1 - torch.distributed.get_rank())
"""


def arguments(root, out):
    """Options of a run on two machines; what they have computed lies in a folder that both see."""
    options = {
        **small_options(root),
        "nodes.lrurec": "always",
        # Nothing divides evenly.
        "retrieval.batch_size": "7",
        "training.batch_size": "7",
        "training.micro_batch": "2",
        "training.max_examples": "44",
        "evaluation.batch_size": "3",
        "evaluation.max_events": "7",
        "evaluation.faithfulness": "0",
        # The ranker's dropout draws for each process anew.
        "scorer.kwargs": "{dropout: 0.0}",
        "cache.root": str(out / "cache"),
        "out": str(out / "out"),
    }
    return [f"{key}={value}" for key, value in options.items()]


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory):
    """The folder of the data, and that of a run that the commands of the page have started on two machines."""
    root, out = tmp_path_factory.mktemp("shop"), tmp_path_factory.mktemp("two")
    port, args = free_port(), arguments(root, out)
    env = {**os.environ, "ACCELERATE_USE_CPU": "true"}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    lines = [page_command(rank, port, args) for rank in (0, 1)]
    machines = [subprocess.Popen(line, env=env, **pipes) for line in lines]
    for machine in machines:
        _, errors = machine.communicate(timeout=LIMIT)
        assert machine.returncode == 0, errors.decode()[-3000:]
    return root, out


def weights(root):
    files = sorted((root / "out" / "ranker").rglob("*.safetensors"))
    return {f"{f.name}:{n}": value for f in files for n, value in load_file(f).items()}


def equal(root, expected):
    """A run's weights and figures are those of another one."""
    own = weights(root)
    for name, value in weights(expected).items():
        np.testing.assert_allclose(own[name], value, atol=1e-4, err_msg=name)
    figures = [read_json(path / "out" / METRICS) for path in (root, expected)]
    for found in figures:
        # Of the checkout, which a commit may change in between.
        found.pop("commit")
    close(*figures)
    rest = [
        p for p in root.rglob("*") if p.name.startswith((".shared", ".tmp")) or p.suffix == ".tmp"
    ]
    assert rest == []


def page_command(rank, port, args):
    """The command of the page for one machine, with an address of this one."""
    (line,) = (b for b in blocks(PAGE, "bash") if "nodes_cpu.yaml" in b)
    words = line.replace("\\\n", " ").split()
    assert words[:3] == ["ACCELERATE_USE_CPU=true", "accelerate", "launch"]
    place = words.index("--machine_rank") + 1
    module = words.index("-m")
    assert words[module + 1] == "lkgrag.train"
    words[place] = str(rank)
    words[words.index("--main_process_ip") + 1] = "127.0.0.1"
    start = [sys.executable, "-m", "accelerate.commands.launch", *words[3:module]]
    return [*start, "--main_process_port", str(port), "-m", "lkgrag.train", *args]


def test_two_machines_train_the_lrurec_of_one_process(undisturbed, tmp_path):
    root, two = undisturbed
    assert read_json(two / "out" / METRICS)["processes"] == 2
    config = load_config(dict(a.split("=", 1) for a in arguments(root, tmp_path)))
    stages = Stages(
        StageCache(tmp_path / "cache"), config, load_dataset(config), torch.device("cpu")
    )
    split = stages.dataset.split
    _, progress = stages.lrurec(split.train_end, val=split.val, epochs=None)
    (one,) = (tmp_path / "cache" / "lrurec").iterdir()
    found = read_json(two / "cache" / "lrurec" / one.name / "progress.json")
    assert found["best_epoch"] == progress.best_epoch
    assert found["loss"] == pytest.approx(progress.loss, abs=1e-4)
    assert found["curve"] == pytest.approx(progress.curve, abs=1e-4)
    # Other processes must not have begun stage one by themselves.
    assert len([*(two / "cache").rglob("training.safetensors")]) == 0


@pytest.mark.parametrize(
    ("lost", "sent", "after"), [(1, "SIGKILL", 2), (0, "SIGKILL", 1), (1, "SIGINT", 0)]
)
def test_a_run_that_loses_a_machine_goes_on(undisturbed, tmp_path, lost, sent, after):
    root, two = undisturbed
    args = arguments(root, tmp_path)
    machines = start_together(2, "lkgrag.train", args, is_one_machine=False)
    while machines[0].poll() is None and not (tmp_path / "out" / "checkpoints" / FILE).exists():
        time.sleep(0.01)
    begun = time.monotonic()
    os.kill(machines[lost].pid, getattr(signal, sent))
    other = machines[1 - lost].finish()
    # By the clock of a machine with other work; without a watch it would be a day.
    assert time.monotonic() - begun < 60
    machines[lost].finish()
    assert other.returncode == 2
    (line,) = (x for x in other.stderr.splitlines() if x.startswith("error:"))
    why = "was stopped" if sent == "SIGINT" else "is lost"
    assert line.startswith(f"error: process {lost} (")
    assert why in line
    assert line.endswith("the same command goes on from the last finished stage or checkpoint")
    assert "Traceback" not in other.stderr
    assert not (tmp_path / "out" / METRICS).exists()
    if not after:
        return
    again = start_together(after, "lkgrag.train", args, is_one_machine=False)
    for done in [process.finish() for process in again]:
        assert done.returncode == 0, done.stderr
    log = (tmp_path / "out" / "run.log").read_text()
    assert "resuming the training at step" in log
    equal(tmp_path, two)


def test_a_machine_that_falls_silent_is_lost():
    """As one without power: its connections stay open, and nothing comes through them."""
    one, silent = start_together(2, WAITS, [], is_one_machine=False)
    while "met" not in one.read_output() + silent.read_output():
        time.sleep(0.05)
    os.kill(silent.pid, signal.SIGSTOP)
    try:
        done = one.finish(60)
    finally:
        silent.kill()
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: process 1 (")
    assert line.endswith("is lost (3 s without a sign of life: nodes.timeout); again")
