import io
import logging

import pytest
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from rich.text import Text

from lkgrag.serving.recommendation import RankedItem, Recommendation
from lkgrag.utils import console as progress
from lkgrag.utils.console import PlainConsole
from lkgrag.utils.progress import is_progress_shown


@pytest.fixture(autouse=True)
def logging_as_before():
    logger = logging.getLogger("lkgrag")
    level, handlers = logger.level, list(logger.handlers)
    yield
    progress.set_verbosity(set())
    for handler in [h for h in logger.handlers if h not in handlers]:
        logger.removeHandler(handler)
    logger.setLevel(level)


@pytest.fixture
def stream():
    """A stream that refuses a character that it cannot show."""
    return io.TextIOWrapper(io.BytesIO(), encoding="ascii", errors="strict")


def read(stream):
    stream.flush()
    return stream.buffer.getvalue().decode("ascii")


def test_a_character_that_a_stream_lacks_is_replaced(stream, monkeypatch):
    monkeypatch.setattr("sys.stdout", stream)
    console = PlainConsole()
    console.print("Amélie 天", style="red")
    table = Table(title="天")
    table.add_row("[bold]é[/]")
    console.print(table)
    with Progress(console=console) as bars:
        bars.add_task("天", total=1)
    assert "Am?lie ?\n" in read(stream)
    # Another stream counts from the moment that it is there.
    monkeypatch.setattr("sys.stdout", io.StringIO())
    console.print("天")
    assert "天" in console.file.getvalue()


def test_a_ranking_is_shown_on_any_console(stream):
    item = RankedItem(1, "i", "天 title", 0.1, 0.0, 0.1, 0.0, asked="asked for: 天")
    ranking = Recommendation([item], [("h", "é")], "ü", request="天")
    ranking.show(Console(file=stream, width=80))
    text = read(stream)
    for words in ("user ?", "history (1): ?", "request: ?", "? title", "asked for: ?"):
        assert words in text
    shown = io.StringIO()
    ranking.show(Console(file=shown, width=80))
    assert "天 title" in shown.getvalue()


def test_the_styles_stay_where_they_are(stream):
    console = Console(file=stream, force_terminal=True, color_system="standard", width=80)
    ranking = Recommendation([], [], "天天", target="x")
    ranking.show(console)
    assert "\x1b[1muser ??\x1b[0m" in read(stream)
    assert Text("天").plain == "天"


def show_and_read(capsys, flags):
    progress.set_verbosity(flags)
    log = logging.getLogger("lkgrag.somewhere")
    log.debug("fine")
    log.info("news")
    log.warning("[red]odd[/]")
    out, err = capsys.readouterr()
    assert out == ""
    return err


def test_a_warning_is_one_line_on_stderr(capsys):
    assert show_and_read(capsys, set()) == "warning: [red]odd[/]\n"


def test_quiet_says_nothing(capsys):
    assert show_and_read(capsys, {"--quiet"}) == ""
    assert not is_progress_shown()


def test_verbose_tells_every_log_line_once(capsys):
    progress.set_verbosity(set())
    err = show_and_read(capsys, {"--verbose"})
    assert [err.count(word) for word in ("fine", "news", "odd")] == [1, 1, 1]


def test_only_the_first_process_speaks(capsys, monkeypatch):
    monkeypatch.setenv("RANK", "1")
    assert show_and_read(capsys, set()) == ""


def test_a_notebook_gets_streams_and_not_an_output_for_each_line(monkeypatch, capsys):
    monkeypatch.setattr("rich.console._is_jupyter", lambda: True)
    assert Console().is_jupyter
    PlainConsole().print("result")
    PlainConsole(stderr=True).print("progress")
    assert capsys.readouterr() == ("result\n", "progress\n")
