"""The variables that a launcher of several processes sets."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from lkgrag.errors import ConfigError, short

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Variables with the number of processes, and of those on this machine.
PROCESSES, LOCAL_PROCESSES = "WORLD_SIZE", "LOCAL_WORLD_SIZE"
#: Largest number that a variable may hold, unless a lower one is given.
LARGEST = 2**31


def read_number(
    name: str,
    default: int | None,
    low: int = 0,
    high: int = LARGEST,
    given: Mapping[str, str] | None = None,
) -> int:
    """Read a whole number that the launcher has set.

    Args:
        name: of the variable.
        default: the value where it is not set; None where it must be.
        low: smallest value.
        high: largest value.
        given: variables in place of the environment's.

    Raises:
        ConfigError: it is missing, no whole number, or out of range.
    """
    text = (os.environ if given is None else given).get(name) or (
        "" if default is None else str(default)
    )
    if not (text.isascii() and text.isdecimal()) or not low <= int(text) <= high:
        what = "is not set" if not text else f"is {short(repr(text))}"
        raise ConfigError(
            f"the launcher's variable {name} {what}, but must be a whole number from {low} on: start with accelerate launch"
        )
    return int(text)


def count_processes() -> int:
    """The number of processes of this launch.

    Raises:
        ConfigError: the launcher's variable is wrong.
    """
    return read_number(PROCESSES, 1, low=1)


def count_local_processes() -> int:
    """The number of processes of this launch on this machine.

    Raises:
        ConfigError: the launcher's variable is wrong.
    """
    return read_number(LOCAL_PROCESSES, 1, low=1)
