"""A split at points in time, the same for all users."""

from __future__ import annotations

import datetime
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.data.cleaning.columns import UNITS
from lkgrag.data.splits.base import Split, span
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
    val_from, test_from = _points(time, config)
    if not val_from < test_from:
        raise ConfigError(
            f"data.val_from={config.val_from} is not before data.test_from={config.test_from}"
        )
    # Times rise within a user, so what precedes a point is a number of positions.
    starts = [_before(interactions, point) for point in (val_from, test_from)]
    count = np.diff(interactions.indptr)
    parts = []
    for start, end in zip(starts, (starts[1], count), strict=True):
        first = np.maximum(start, 1)
        events = span(interactions, first, np.clip(end - first, 0, config.rolling))
        parts.append(events)
    for name, size in (
        ("trains: lower data.min_user, or a later data.val_from", int(starts[0].sum())),
        ("validates: move data.val_from", len(parts[0])),
        ("tests: move data.test_from", len(parts[1])),
    ):
        if not size:
            raise DataError(f"data.split=time: no interaction {name}")
    return Split(train_end=starts[0], val=parts[0], test=parts[1])


def _before(interactions: Interactions, point: float) -> NDArray[np.int64]:
    """How many interactions of each user are earlier, int64 ``[num_users]``."""
    earlier = interactions.time < point
    return np.bincount(interactions.user[earlier], minlength=interactions.num_users)


def _points(time: NDArray[np.float64], config: DataConfig) -> tuple[float, float]:
    """When validation and test begin."""
    if config.test_from is not None:
        test_from = _point(config.test_from, "data.test_from", config.time_unit)
    else:
        test_from = _quantile(time, 1 - TEST_SHARE)
    if config.val_from is not None:
        return _point(config.val_from, "data.val_from", config.time_unit), test_from
    earlier = time[time < test_from]
    if not len(earlier):
        raise DataError(
            f"data.split=time: nothing is earlier than data.test_from={config.test_from}; move it"
        )
    return _quantile(earlier, 1 - VAL_SHARE), test_from


def _quantile(time: NDArray[np.float64], share: float) -> float:
    """The time of an interaction such that about this share is earlier."""
    ordered = np.sort(time)
    return float(ordered[min(int(np.ceil(share * len(ordered))), len(ordered) - 1)])


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
