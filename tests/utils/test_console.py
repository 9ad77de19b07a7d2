import logging

import pytest

from lkgrag.utils import console as progress
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
