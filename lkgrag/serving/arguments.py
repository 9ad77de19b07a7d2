"""Checks of arguments that several methods of a ranker take."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lkgrag.errors import ConfigError, short

if TYPE_CHECKING:
    from lkgrag.serving.context import Context

#: Items of a ranking, unless another number is asked for.
USUAL = 10


def is_whole_number(value: object) -> bool:
    """Whether a value is a whole number; a truth value and a span of time of NumPy are none."""
    return isinstance(value, int | np.integer) and not isinstance(value, bool | np.timedelta64)


def is_real_number(value: object) -> bool:
    """Whether a value is a number on the line of numbers."""
    return is_whole_number(value) or isinstance(value, float | np.floating)


def check_k(context: Context, k: int) -> None:
    """Check that a ranking can have ``k`` items.

    The usual number is never too large: a smaller catalogue gives what it has.

    Raises:
        ConfigError: ``k`` is no whole number, below 1 or larger than the catalogue.
    """
    items = len(context.catalogue)
    if not is_whole_number(k):
        raise ConfigError(f"k: must be a whole number, got {short(repr(k))} ({type(k).__name__})")
    if not 1 <= k <= max(items, USUAL):
        raise ConfigError(
            f"k={short(str(k))}: there are {items} items; choose a number from 1 to {items}"
        )


def check_switch(name: str, value: object, may_be_none: bool = False) -> None:
    """Check that an argument is True or False, or None where that has a meaning.

    Raises:
        ConfigError: it is something else, such as a text, which would count as True.
    """
    if isinstance(value, bool | np.bool_) or (may_be_none and value is None):
        return
    words = "True, False or None" if may_be_none else "True or False"
    raise ConfigError(f"{name}: must be {words}, got {short(repr(value))}")
