import os
import subprocess
import sys

import pytest


def run(*args):
    environment = {**os.environ, "COLUMNS": "80"}
    done = subprocess.run(
        [sys.executable, "-m", *args], capture_output=True, text=True, env=environment, timeout=200
    )
    assert done.returncode == 0, done.stderr
    return done


@pytest.fixture
def finished(small_run):
    root, options = small_run
    return root / "out", [f"{k}={v}" for k, v in options.items()]


def test_a_pipe_gets_no_colour_and_no_bar(finished):
    done = run("lkgrag.train", *finished[1])
    assert "\x1b" not in done.stdout + done.stderr
    assert "ranker" in done.stdout
    assert done.stderr == ""


def test_quiet_gives_results_only(finished):
    out = run("lkgrag.recommend", f"run={finished[0]}", "users=u1", "k=2", "--quiet")
    assert out.stderr == ""
    done = run("lkgrag.train", *finished[1], "--quiet")
    assert "ranker" in done.stdout
    assert "seconds, seed" not in done.stdout


def test_verbose_tells_the_log_on_stderr(finished):
    done = run("lkgrag.train", *finished[1], "--verbose")
    assert "INFO" in done.stderr
    assert "INFO" not in done.stdout


def test_a_page_for_a_user(finished, tmp_path):
    target = tmp_path / "page.html"
    run("lkgrag.recommend", f"run={finished[0]}", "users=u1", "format=html", f"out={target}")
    text = target.read_text(encoding="utf-8")
    assert text.startswith("<!DOCTYPE html>")
    assert text.rstrip().endswith("</html>")
    assert run("lkgrag.recommend", f"run={finished[0]}", "users=u1", "format=html").stdout == text
