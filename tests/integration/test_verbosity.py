import json
import os
import subprocess
import sys

import pytest
from helpers import processes


def started(*args):
    """Of a fresh interpreter, whose imports may say something too."""
    environment = {**os.environ, "COLUMNS": "80"}
    done = subprocess.run(
        [sys.executable, "-m", *args], capture_output=True, text=True, env=environment, timeout=200
    )
    assert done.returncode == 0, done.stderr
    return done


def run(*args):
    done = processes.run(*args, COLUMNS="80")
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def finished(small_run):
    root, options = small_run
    return root / "out", [f"{k}={v}" for k, v in options.items()]


def test_a_pipe_gets_no_colour_and_no_bar(finished):
    done = started("lkgrag.train", *finished[1])
    assert "\x1b" not in done.stdout + done.stderr
    assert "ranker" in done.stdout
    # A slow machine may have said that it loads libraries.
    assert [line for line in done.stderr.splitlines() if not line.startswith("  ")] == []


def test_quiet_gives_results_only(finished, tmp_path):
    out = started("lkgrag.recommend", f"run={finished[0]}", "users=u1", "k=2", "--quiet")
    assert out.stderr == ""
    assert out.stdout.lstrip().startswith("user u1")
    options = [o for o in finished[1] if not o.startswith(("out=", "llm.name="))]
    done = run("lkgrag.train", *options, f"out={tmp_path / 'anew'}", "llm.name=none", "--quiet")
    assert done.stderr == ""
    assert done.stdout.lstrip().startswith("user ")
    assert "test: all users" in done.stdout
    assert ", seed" not in done.stdout
    assert "try next" not in done.stdout
    assert (tmp_path / "anew" / "report.html").exists()


def test_evaluate_gives_a_plain_table(finished):
    done = started("lkgrag.evaluate", f"run={finished[0]}", "--quiet")
    assert done.stderr == ""
    assert "\x1b" not in done.stdout
    assert "ranker" in done.stdout


def test_verbose_tells_the_log_on_stderr(finished):
    done = run("lkgrag.train", *finished[1], "--verbose")
    assert "INFO" in done.stderr
    assert "INFO" not in done.stdout


def test_json_for_users_is_pure(finished, tmp_path):
    done = run("lkgrag.recommend", f"run={finished[0]}", "users=u1,u2", "k=2", "format=json")
    values = json.loads(done.stdout)
    assert [v["user"] for v in values] == ["u1", "u2"]
    assert [v["format"] for v in values] == [1, 1]
    assert all(
        abs(i["score"] - i["lm"] - i["scorer"] - i["prior"]) < 1e-4
        for v in values
        for i in v["items"]
    )


def test_a_page_for_a_user(finished, tmp_path):
    target = tmp_path / "page.html"
    run("lkgrag.recommend", f"run={finished[0]}", "users=u1", "format=html", f"out={target}")
    text = target.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert text.rstrip().endswith("</html>")
    assert run("lkgrag.recommend", f"run={finished[0]}", "users=u1", "format=html").stdout == text
