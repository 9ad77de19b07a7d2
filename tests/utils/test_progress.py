import io
import sys
import threading
import time

import pytest

from lkgrag.utils import console, progress
from lkgrag.utils.progress import activity, bar, forecast, rename_activity, spinner, track


@pytest.fixture
def fast(monkeypatch):
    """A rhythm for tests."""
    monkeypatch.setattr(progress, "RHYTHM", 0.05)
    monkeypatch.setattr(progress, "LOOK", 0.01)


def lines(capsys):
    out, err = capsys.readouterr()
    assert out == ""
    return [line.strip() for line in err.splitlines()]


def wait_for_line(capsys, begin):
    """Wait until a line with this beginning is printed."""
    end = time.monotonic() + 20
    while time.monotonic() < end:
        for line in lines(capsys):
            if line.startswith(begin):
                return line
        time.sleep(0.01)
    raise AssertionError(f"no line {begin!r}")


def test_short_work_says_nothing(capsys):
    with activity("work"), bar("part") as update:
        update(1, 2)
    assert list(track([1, 2], "items", 2)) == [1, 2]
    assert lines(capsys) == []


def test_silent_work_is_told_of(capsys, fast):
    with activity("graph"):
        wait_for_line(capsys, "graph: 0 s")
        rename_activity("paths")
        wait_for_line(capsys, "paths: 0 s")
        with bar("rank") as update:
            update(1, 4)
            assert wait_for_line(capsys, "rank").startswith("rank: 1 of 4 (25 %), 0 s")
        wait_for_line(capsys, "paths: 0 s")


def test_items_are_counted(capsys, fast):
    for item in track(iter("ab"), "draw", 2):
        if item == "b":
            assert wait_for_line(capsys, "draw: 1").startswith("draw: 1 of 2 (50 %)")


def test_no_thread_is_left(fast):
    with activity("work"), activity("part"):
        assert [t.daemon for t in threading.enumerate() if t.name == "progress"] == [True]
    end = time.monotonic() + 20
    while any(t.name == "progress" for t in threading.enumerate()):
        assert time.monotonic() < end
        time.sleep(0.01)


def test_an_error_ends_the_work(capsys, fast):
    with pytest.raises(ZeroDivisionError), activity("work"):
        raise ZeroDivisionError
    time.sleep(0.1)
    assert lines(capsys) == []


def test_the_first_line_may_come_early(capsys, monkeypatch):
    monkeypatch.setattr(progress, "LOOK", 0.01)
    with activity("load", first=0.01):
        wait_for_line(capsys, "load: 0 s")
        time.sleep(0.1)
        assert lines(capsys) == []


@pytest.mark.parametrize("reason", ["quiet", "another process", "not shown"])
def test_nothing_is_told_where_it_is_not_wanted(capsys, fast, monkeypatch, reason):
    if reason == "quiet":
        monkeypatch.setattr(console, "quiet", True)
    if reason == "another process":
        monkeypatch.setenv("RANK", "1")
    with bar("work", show=reason != "not shown") as update:
        for done in range(10):
            update(done, 10)
            time.sleep(0.02)
    assert lines(capsys) == []


def test_a_closed_stderr_does_no_harm(fast, monkeypatch):
    gone = io.StringIO()
    gone.close()
    monkeypatch.setattr("sys.stderr", gone)
    with activity("work"):
        time.sleep(0.1)


class Terminal(io.StringIO):
    def isatty(self):
        return True


@pytest.fixture
def terminal(monkeypatch):
    """Makes stderr a terminal, and gives what is written on it. pytest replaces stderr after the fixtures."""

    def begin():
        file = Terminal()
        monkeypatch.setattr("sys.stderr", file)
        monkeypatch.setenv("TERM", "xterm")
        monkeypatch.setattr(
            console, "err_console", console.PlainConsole(stderr=True, width=100, highlight=False)
        )
        return file

    return begin


def test_a_terminal_has_bars_and_no_lines_between_them(terminal, fast):
    screen = terminal()
    with bar("rank") as update, bar("part") as inner, spinner("wait"):
        update(0, 4)
        inner(1, 2)
        time.sleep(0.3)
        update(2, 4)
    assert "2/4" in screen.getvalue()
    assert "rank: " not in screen.getvalue()
    assert "part" not in screen.getvalue()


def test_work_without_a_bar_gets_lines_on_a_terminal(terminal, fast):
    screen = terminal()
    with activity("graph"):
        time.sleep(0.3)
    assert "  graph: 0 s" in screen.getvalue()


def test_a_spinner_is_drawn_on_a_terminal(terminal):
    screen = terminal()
    with spinner("fetch"):
        time.sleep(0.2)
    assert "fetch" in screen.getvalue()


def test_a_long_line_breaks_between_words_on_a_terminal(terminal):
    screen = terminal()
    words = [f"word{n:02d}" for n in range(40)]
    progress.tell(" ".join(words))
    lines = screen.getvalue().splitlines()
    assert len(lines) > 2
    assert all(line.startswith("  word") and len(line) <= 100 for line in lines)
    assert " ".join(lines).split() == words


def test_progress_goes_on_while_a_library_is_kept_off_stderr(terminal, fast):
    """Converting weights takes tens of seconds, and the library's own bar cannot be switched off."""
    screen = terminal()
    with spinner("convert"), console.swallow_stderr():
        print("the library's bar", file=sys.stderr)
        time.sleep(0.4)
    assert screen.getvalue().count("convert") > 2
    assert "library" not in screen.getvalue()
    with activity("silent"), console.swallow_stderr():
        print("the library's bar", file=sys.stderr)
        time.sleep(0.3)
    assert "  silent: 0 s" in screen.getvalue()
    assert "library" not in screen.getvalue()
    print("after", file=sys.stderr)
    assert "after" in screen.getvalue()


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("lkgrag.utils.activity.time.monotonic", lambda: now[0])

    def move(to):
        now[0] = to

    return move


def test_the_cost_is_foretold_once(capsys, clock):
    calls = []
    update = forecast(lambda *call: calls.append(call), "prompts", "llm.name=none skips this")
    for time_, done in ((0, 0), (41, 48), (82, 96)):
        clock(time_)
        update(done, 371)
    assert calls == [(0, 371), (48, 371), (96, 371)]
    assert lines(capsys) == ["48 prompts took 41 s: about 5 min for 371; llm.name=none skips this"]


def test_the_cost_is_told_after_some_seconds(capsys, clock):
    update = forecast(lambda done, total: None, "steps")
    for time_, done in ((0, 20), (1, 21), (5, 25)):
        clock(time_)
        update(done, 100)
    assert lines(capsys) == ["5 steps took 5 s: about 80 s for 80"]


def test_one_is_singular(capsys, clock):
    update = forecast(lambda done, total: None, "steps")
    for time_, done in ((0, 0), (30, 1)):
        clock(time_)
        update(done, 6)
    assert lines(capsys) == ["1 step took 30 s: about 3 min for 6"]


def test_short_work_has_no_forecast(capsys, clock):
    update = forecast(lambda done, total: None, "prompts")
    for time_, done in ((0, 0), (5, 48), (10, 96)):
        clock(time_)
        update(done, 150)
    assert lines(capsys) == []
