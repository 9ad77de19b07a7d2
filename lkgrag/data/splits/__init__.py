"""Splits: which interactions train, and which are predicted from what precedes them.

``base.py`` has what a split gives. Each kind stands in a file of its own, and :data:`SPLITS` names it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from lkgrag.data.splits.base import Events, Split, every_training_event, span
from lkgrag.data.splits.last import split_last
from lkgrag.data.splits.time import split_time
from lkgrag.errors import ConfigError, nearest

if TYPE_CHECKING:
    from lkgrag.config import DataConfig
    from lkgrag.data.interactions import Interactions

#: By the word of ``data.split``.
SPLITS: dict[str, Callable[[Interactions, DataConfig], Split]] = {
    "leave_one_out": lambda interactions, _: split_last(interactions),
    "rolling": lambda interactions, config: split_last(interactions, config.rolling),
    "time": split_time,
}


def make_split(interactions: Interactions, config: DataConfig) -> Split:
    """Split by ``data.split``.

    ``leave_one_out``: the last item of each user is test, the one before validation. ``rolling``: the
    last ``data.rolling`` are test, as many before them validation (:func:`split_last`). ``time``: at
    points in time, the same for all users (:func:`split_time`).

    Raises:
        DataError: no user has the three interactions that a split needs, or a time is unknown that
            ``time`` needs.
        ConfigError: a number or a point in time does not fit, or there is no such split.
    """
    check_split(config)
    return SPLITS[config.split](interactions, config)


def check_split(config: DataConfig) -> None:
    """Refuse options that do not fit ``data.split``.

    Raises:
        ConfigError: a number does not fit, or there is no such split.
    """
    if config.split not in SPLITS:
        raise ConfigError(
            f"data.split={config.split}: no such split.{nearest(config.split, SPLITS)} "
            f"There are: {', '.join(SPLITS)}"
        )
    if config.split != "leave_one_out" and config.rolling < 1:
        raise ConfigError(f"data.rolling must be at least 1, got {config.rolling}")
    points = (config.val_from, config.test_from)
    if config.split != "time" and points != (None, None):
        raise ConfigError("data.val_from and data.test_from need data.split=time")


__all__ = [
    "SPLITS",
    "Events",
    "Split",
    "check_split",
    "every_training_event",
    "make_split",
    "span",
    "split_last",
    "split_time",
]
