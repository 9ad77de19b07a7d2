"""A split at points in time, the same for all users."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.data.cleaning.columns import UNITS
from lkgrag.data.splits.base import Spans, Split
from lkgrag.errors import ConfigError, DataError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.config import DataConfig
    from lkgrag.data.interactions import Interactions

#: Share of the interactions that test by default.
TEST_SHARE = 0.1
#: Share of the interactions before the test that validate by default: as many as test.
VAL_SHARE = TEST_SHARE / (1 - TEST_SHARE)


def split_time(interactions: Interactions, config: DataConfig) -> Split:
    """Train on what precedes ``data.val_from``, and predict what follows it.

    Of each user the first ``data.rolling`` interactions from ``data.val_from`` to before
    ``data.test_from`` are validation events, and the first ``data.rolling`` from ``data.test_from`` on
    test events, each predicted from all interactions of the user before it. Nothing at or after
    ``data.val_from`` is trained on. Users without an interaction in a part have no event there, and
    neither has an interaction that nothing precedes.

    Raises:
        DataError: an interaction has no time, or a part would be empty.
        ConfigError: a point is neither a date nor a number, or the points are in the wrong order.
    """
    time = interactions.time
    if np.isnan(time).any():
        raise DataError(
            f"data.split=time: {int(np.isnan(time).sum())} of {len(time)} interactions have no time; "
            "name the column by data.columns, or take data.split=leave_one_out"
        )
    points = split_points(config, partial(_at_share, time))
    # Times rise within a user, so what precedes a point is a number of positions.
    before_val, before_test = (_before(interactions, point) for point in points)
    count = np.diff(interactions.indptr)
    return time_spans(count, before_val, before_test, config.rolling).split(interactions)


def time_spans(
    count: NDArray[np.int64],
    before_val: NDArray[np.int64],
    before_test: NDArray[np.int64],
    most: int,
) -> Spans:
    """Where the parts of :func:`split_time` lie.

    Args:
        count: int64 ``[num_users]``, interactions of each user.
        before_val: int64 ``[num_users]``, those before validation begins.
        before_test: int64 ``[num_users]``, those before the test begins.
        most: events of a user in each part.

    Raises:
        DataError: a part would be empty.
    """
    firsts, numbers = [], []
    for start, end in ((before_val, before_test), (before_test, count)):
        firsts.append(np.maximum(start, 1))
        numbers.append(np.clip(end - firsts[-1], 0, most))
    for name, size in (
        ("trains: lower data.min_user, or a later data.val_from", before_val.sum()),
        ("validates: move data.val_from", numbers[0].sum()),
        ("tests: move data.test_from", numbers[1].sum()),
    ):
        if not size:
            raise DataError(f"data.split=time: no interaction {name}")
    return Spans(before_val, firsts[0], numbers[0], firsts[1], numbers[1])


def _before(interactions: Interactions, point: float) -> NDArray[np.int64]:
    """How many interactions of each user are earlier, int64 ``[num_users]``."""
    earlier = interactions.time < point
    return np.bincount(interactions.user[earlier], minlength=interactions.num_users)


def split_points(
    config: DataConfig, at_share: Callable[[float, float], float | None]
) -> tuple[float, float]:
    """When validation and test begin.

    Args:
        config: of the data.
        at_share: gives the time of an interaction such that about a share is earlier, of those earlier than a
            point; None where there is none.

    Raises:
        DataError: nothing is earlier than the test.
        ConfigError: a point is neither a date nor a number, or the points are in the wrong order.
    """
    val_from, test_from = _points(config, at_share)
    if not val_from < test_from:
        raise ConfigError(
            f"data.val_from={config.val_from} is not before data.test_from={config.test_from}"
        )
    return val_from, test_from


def _points(
    config: DataConfig, at_share: Callable[[float, float], float | None]
) -> tuple[float, float]:
    if config.test_from is not None:
        test_from = _point(config.test_from, "data.test_from", config.time_unit)
    else:
        latest = at_share(1 - TEST_SHARE, np.inf)
        assert latest is not None
        test_from = latest
    if config.val_from is not None:
        return _point(config.val_from, "data.val_from", config.time_unit), test_from
    val_from = at_share(1 - VAL_SHARE, test_from)
    if val_from is None:
        raise DataError(
            f"data.split=time: nothing is earlier than data.test_from={config.test_from}; move it"
        )
    return val_from, test_from


def place_of_share(share: float, number: int) -> int:
    """Where in a sorted array of some length the element is such that about a share comes before it."""
    return min(int(np.ceil(share * number)), number - 1)


def _at_share(time: NDArray[np.float64], share: float, before: float) -> float | None:
    ordered = np.sort(time[time < before])
    return float(ordered[place_of_share(share, len(ordered))]) if len(ordered) else None


def _point(text: str, option: str, unit: str) -> float:
    """A date or a number in the data's unit, as seconds since 1970 (of the unit ``any``: as it is)."""
    try:
        return float(text) * UNITS.get(unit, 1.0)
    except ValueError:
        pass
    try:
        date = datetime.datetime.fromisoformat(text)
    except ValueError:
        raise ConfigError(
            f"{option}={text}: neither a date as 2015-03-31 nor a number in the data's unit "
            f"(data.time_unit={unit})"
        ) from None
    if unit == "any":
        raise ConfigError(f"{option}={text}: a date, but data.time_unit=any; give a number")
    return date.replace(tzinfo=date.tzinfo or datetime.UTC).timestamp()
