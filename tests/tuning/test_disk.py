"""Cached stages of losing trials: the oldest go until the rest is small enough, and what is in use stays."""

import os

import pytest

from lkgrag.tuning.disk import free_losers
from lkgrag.utils.locks import locked


@pytest.fixture
def stages(tmp_path):
    made = []
    for number in range(4):
        folder = tmp_path / "cache" / str(number)
        folder.mkdir(parents=True)
        (folder / "data.bin").write_bytes(b"x" * 1000)
        (folder / "done.json").write_text("{}")
        os.utime(folder / "done.json", (number, number))
        made.append(folder)
    return made


def there(stages):
    return [(folder / "done.json").exists() for folder in stages]


def test_the_oldest_go_first(stages):
    assert free_losers(stages, (), 2.1e-6) == 2 * 1002
    assert there(stages) == [False, False, True, True]
    assert not any(p.suffix == ".bin" for p in stages[0].iterdir())


def test_those_that_are_kept_do_not_count(stages):
    assert free_losers(stages, {stages[0]}, 0.0) == 3 * 1002
    assert there(stages) == [True, False, False, False]


def test_nothing_goes_below_the_limit(stages):
    assert free_losers(stages, (), 1.0) == 0
    assert there(stages) == [True] * 4


def test_a_stage_in_use_stays(stages):
    with locked(stages[0] / ".lock", wait=False):
        free_losers(stages, (), 0.0)
    assert there(stages) == [True, False, False, False]


def test_what_is_not_there_is_left_out(stages, tmp_path):
    assert free_losers([tmp_path / "none", *stages, *stages], (), 0.0) == 4 * 1002


def test_the_checkpoint_of_a_trial_that_ended_early_goes_too(stages):
    (stages[0] / "done.json").unlink()
    free_losers(stages, (), 0.0)
    assert not (stages[0] / "data.bin").exists()
