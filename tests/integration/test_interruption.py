"""Ctrl-C at any moment of a command, a closed pipe, and a terminal that cannot show a title."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
from helpers.processes import Process
from helpers.small_run import small_options

from lkgrag.cli.command import Command, run
from lkgrag.cli.interruption import Interruption, interruptible
from lkgrag.recommend import main

GO_ON = "stopped; the same command goes on from the last finished stage or checkpoint\n"


def environment(**changes):
    return {**os.environ, "PYTHONUNBUFFERED": "1", **changes}


def start(*args, **changes):
    """The interpreter itself, in a process group of its own, as a terminal starts it."""
    return subprocess.Popen(
        [sys.executable, "-m", *args],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env=environment(**changes),
    )


def stop(process):
    os.killpg(process.pid, signal.SIGINT)
    out, err = process.communicate(timeout=120)
    return process.returncode, out, err


def without_progress(err):
    return "".join(line for line in err.splitlines(True) if not line.startswith("  "))


@pytest.fixture(scope="module")
def options(tmp_path_factory):
    return small_options(tmp_path_factory.mktemp("stop"))


@pytest.fixture
def arguments(options, tmp_path):
    changes = {"out": tmp_path / "out", "cache.root": tmp_path / "cache", "training.epochs": 30}
    return [f"{key}={value}" for key, value in {**options, **changes}.items()]


@pytest.mark.slow
def test_ctrl_c_while_libraries_are_loaded(arguments):
    process = start("lkgrag.train", *arguments)
    time.sleep(1)
    assert stop(process) == (130, "", GO_ON)


@pytest.mark.slow
@pytest.mark.parametrize("title", ["1. int", "3. ret", "4. pat", "5. ran", "6. eva"])
def test_ctrl_c_in_a_stage(arguments, tmp_path, title):
    process = Process("lkgrag.train", arguments)
    end = time.monotonic() + 120
    while title not in process.read_output():
        assert process.poll() is None
        assert time.monotonic() < end
        time.sleep(0.02)
    time.sleep(0.1)
    os.kill(process.pid, signal.SIGINT)
    done = process.finish(120)
    assert (done.returncode, without_progress(done.stderr)) == (130, GO_ON)
    assert [p for p in tmp_path.rglob("*.tmp")] == []


@pytest.mark.slow
@pytest.mark.parametrize(
    ("command", "line"),
    [
        ("lkgrag.evaluate", "stopped; the same command starts again\n"),
        ("lkgrag.audit", "stopped; the same command starts again\n"),
        ("lkgrag.report", "stopped; the same command starts again\n"),
        ("lkgrag.export", "stopped; the same command starts again\n"),
        (
            "lkgrag.recommend",
            "stopped; the same command starts again; shards that are there already are kept\n",
        ),
        (
            "lkgrag.update",
            "stopped; the ranker is as it was; the same command starts again\n",
        ),
    ],
)
def test_ctrl_c_in_other_commands(small_run, tmp_path, command, line):
    more = {"lkgrag.export": [f"out={tmp_path / 'e'}"], "lkgrag.recommend": ["users=u1"]}
    more["lkgrag.update"] = [f"out={tmp_path / 'u'}", f"data.root={small_run[0]}"]
    process = start(command, f"run={small_run[0] / 'out'}", *more.get(command, []))
    time.sleep(1.5)
    status, out, err = stop(process)
    assert (status, out, without_progress(err)) == (130, "", line)
    assert list(tmp_path.iterdir()) == []


@pytest.fixture
def command(monkeypatch):
    """Runs a body as a command."""
    monkeypatch.setattr(sys, "argv", ["x"])

    def run_body(body):
        return run(Command("x", "", {}, []), lambda pairs, flags: body())

    before = signal.getsignal(signal.SIGINT), sys.unraisablehook
    yield run_body
    signal.signal(signal.SIGINT, before[0])
    sys.unraisablehook = before[1]


def press():
    os.kill(os.getpid(), signal.SIGINT)
    time.sleep(1)


def test_an_interruption_that_a_library_turns_into_an_error(command, capsys):
    def body():
        try:
            press()
        except KeyboardInterrupt:
            raise ImportError("no module") from None

    assert command(body) == 130
    assert capsys.readouterr().err == "stopped; the same command starts again\n"


def test_an_interruption_in_a_destructor_is_not_lost(command, capsys):
    class Thing:
        def __del__(self):
            press()

    def body():
        thing = Thing()
        del thing
        time.sleep(20)

    begun = time.monotonic()
    assert command(body) == 130
    assert time.monotonic() - begun < 10
    assert capsys.readouterr().err == "stopped; the same command starts again\n"


def test_other_processes_stop_without_a_word(command, capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert command(press) == 130
    assert capsys.readouterr().err == ""


def test_the_launchers_echo_is_ignored_and_a_late_signal_ends_at_once(monkeypatch, capsys):
    codes = []
    monkeypatch.setattr(os, "_exit", codes.append)
    now = [10.0]
    monkeypatch.setattr(time, "monotonic", lambda: now[0])
    interruption = Interruption("go on")
    with pytest.raises(KeyboardInterrupt):
        interruption.handle(signal.SIGINT, None)
    now[0] = 11.0
    interruption.handle(signal.SIGINT, None)
    assert codes == []
    now[0] = 15.0
    interruption.handle(signal.SIGINT, None)
    assert codes == [130]
    assert capsys.readouterr().err == "stopped; go on\n"


def test_a_signal_that_is_ignored_stays_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interruptible("go on"):
            assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)


def test_the_handler_is_put_back():
    before = signal.getsignal(signal.SIGINT)
    with interruptible("go on"):
        assert signal.getsignal(signal.SIGINT) is not before
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", ["lkgrag.train --help", "lkgrag.recommend run={run} users=all k=5"]
)
def test_a_closed_pipe_ends_quietly(small_run, command):
    line = command.format(run=small_run[0] / "out")
    shell = f"set -o pipefail; {sys.executable} -m {line} | head -1"
    done = subprocess.run(
        ["bash", "-c", shell], capture_output=True, text=True, env=environment(), timeout=120
    )
    assert done.returncode == 0
    assert without_progress(done.stderr) == ""
    assert done.stdout.count("\n") == 1


@pytest.mark.slow
@pytest.mark.parametrize("closed", [">&-", "2>&-", "<&- >&- 2>&-"])
@pytest.mark.parametrize(
    "command",
    ["lkgrag.recommend run={run} users=u1 k=2 out={out}", "lkgrag.evaluate run={run} out={out}"],
)
def test_streams_that_are_closed_before_the_start(run_without_lm, tmp_path, command, closed):
    line = command.format(run=run_without_lm, out=tmp_path / "x.json")
    shell = f"{sys.executable} -m {line} {closed}"
    done = subprocess.run(
        ["bash", "-c", shell], capture_output=True, text=True, env=environment(), timeout=120
    )
    assert done.returncode == 0
    assert without_progress(done.stderr) == ""
    # No file got the number of a stream, and with it what was meant for the terminal.
    assert "system" not in (tmp_path / "x.json").read_text().splitlines()[0]
    assert (tmp_path / "x.json").stat().st_size > 300


@pytest.mark.slow
def test_functions_print_titles_that_a_terminal_cannot_show(run_without_lm, tmp_path):
    code = (
        "import sys, lkgrag, rich.console\n"
        f"lkgrag.evaluate({str(run_without_lm)!r})\n"
        f"ranker = lkgrag.Ranker.from_pretrained({str(run_without_lm)!r})\n"
        "ranking = ranker.recommend_users(['u1'], k=2)[0]\n"
        "object.__setattr__(ranking, 'user', 'Amélie')\n"
        "ranking.show(rich.console.Console())\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        env=environment(PYTHONIOENCODING="ascii:strict"),
        timeout=120,
    )
    assert done.returncode == 0, done.stderr
    assert "user Am?lie" in done.stdout


@pytest.mark.slow
def test_titles_that_a_terminal_cannot_show(small_run, tmp_path, monkeypatch):
    run_folder = tmp_path / "out"
    shutil.copytree(small_run[0] / "out", run_folder)
    file = run_folder / "ranker" / "catalogue.parquet"
    table = pd.read_parquet(file)
    table["title"] = "Amélie 天"
    table.to_parquet(file, index=False)
    (run_folder / "ranker" / "done.json").unlink()
    shown = {}
    for form in ("text", "json", "html"):
        written = io.BytesIO()
        monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(written, encoding="ascii"))
        args = [f"run={run_folder}", "users=u1", "k=2", f"format={form}"]
        monkeypatch.setattr(sys, "argv", ["x", *args])
        assert main() == 0
        shown[form] = written.getvalue().decode("ascii")
    assert "Am?lie ?" in shown["text"]
    assert json.loads(shown["json"])[0]["items"][0]["title"] == "Amélie 天"
    assert "Am&#233;lie &#22825;" in shown["html"]
