"""Shared fixtures; real data is found by the variable LKGRAG_DATA."""

import os
import signal
from pathlib import Path

import pytest
from helpers import RUNS

# Threads that wait by spinning take the core from the other process; NumPy and torch read this at their import.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# A shell starts its background jobs with SIGINT ignored, and all processes of the tests would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

DATA = os.environ.get("LKGRAG_DATA")
_SKIPPED = []


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items):
    """Mark the tests of whole runs, and begin with the files of slow tests, so that no process ends late."""
    for item in items:
        if RUNS & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.slow)
    slow = {item.path for item in items if item.get_closest_marker("slow")}
    items.sort(key=lambda item: item.path not in slow)


@pytest.fixture(autouse=True, scope="session")
def _one_thread():
    """Tensors are tiny: a second thread costs more than it brings."""
    # Here and below, not above: the process that hands the tests out does without torch.
    import torch

    torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def _threads(_one_thread):
    """A run sets the number of threads; the tests after it have the old one."""
    import torch

    before = torch.get_num_threads()
    yield
    if torch.get_num_threads() != before:
        torch.set_num_threads(before)


@pytest.fixture
def shared_data():
    """Folder of the data sets that may not be redistributed; skips where it is absent."""
    if not DATA or not Path(DATA).is_dir():
        pytest.skip("needs the data sets: set LKGRAG_DATA to their folder")
    return Path(DATA)


def pytest_runtest_logreport(report):
    if report.skipped and "LKGRAG_DATA" in str(report.longrepr):
        _SKIPPED.append(report.nodeid)


def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(f"skipped for want of LKGRAG_DATA: {len(_SKIPPED)}")


@pytest.fixture(scope="session")
def small_run(tmp_path_factory):
    """A finished run on a small folder with a tiny language model: its root and its options."""
    from helpers.small_run import small_options

    from lkgrag.config.loading import load_config
    from lkgrag.run.pipeline import train

    root = tmp_path_factory.mktemp("run")
    options = small_options(root)
    train(load_config(options))
    return root, options


@pytest.fixture(scope="session")
def run_without_lm(tmp_path_factory):
    """The folder of a finished run on that small folder without a language model."""
    from helpers.small_run import small_options

    from lkgrag.config.loading import load_config
    from lkgrag.run.pipeline import train

    options = {**small_options(tmp_path_factory.mktemp("plain")), "llm.name": "none"}
    train(load_config(options))
    return Path(options["out"])
