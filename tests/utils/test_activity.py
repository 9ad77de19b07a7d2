import pytest

from lkgrag.utils import activity
from lkgrag.utils.activity import Activity, format_duration


@pytest.fixture
def clock(monkeypatch):
    """Sets the time."""
    now = [0.0]
    monkeypatch.setattr(activity.time, "monotonic", lambda: now[0])

    def move(to):
        now[0] = to

    return move


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.4, "0 s"), (89.4, "89 s"), (89.6, "1 min"), (5369, "89 min"), (9000, "2.5 h")],
)
def test_a_duration_has_one_unit(seconds, text):
    assert format_duration(seconds) == text


def test_work_of_unknown_size_tells_its_time(clock):
    work = Activity("knowledge graph")
    assert work.line(12.0) == "knowledge graph: 12 s"


def test_the_pace_since_the_first_report_tells_the_time_left(clock):
    work = Activity("rank val")
    clock(20)
    work.update(0, 371)
    clock(61)
    work.update(48, 371)
    assert work.line(61.0) == "rank val: 48 of 371 (12 %), 61 s, about 5 min left"
    # A long batch: time passes, and no unit is done.
    assert work.seconds_left(61.0) - work.seconds_left(71.0) == pytest.approx(10)


def test_resumed_work_has_the_pace_of_this_process(clock):
    work = Activity("train")
    work.update(90, 100)
    assert work.seconds_left(0.0) is None
    clock(10)
    work.update(95, 100)
    assert work.seconds_left(10.0) == pytest.approx(10)


def test_work_that_may_end_early_has_a_limit(clock):
    work = Activity("LRURec", may_end_early=True)
    work.update(0, 4)
    clock(10)
    work.update(1, 4)
    assert work.line(10.0).endswith("at most 30 s left")


def test_finished_work_has_no_time_left(clock):
    work = Activity("rank")
    work.update(0, 2)
    clock(10)
    work.update(2, 2)
    assert work.line(15.0) == "rank: 2 of 2 (100 %), 15 s"


def test_other_work_begins_anew(clock):
    work = Activity("one")
    work.update(1, 2)
    clock(5)
    work.rename("other")
    assert work.line(7.0) == "other: 2 s"
