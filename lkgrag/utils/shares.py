"""How work is shared out among processes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Shares:
    """This process among those that share a piece of work.

    Attributes:
        rank: of this process.
        world: how many processes there are; each takes every ``world``-th part.
        wait: returns when every process has called it.
    """

    rank: int = 0
    world: int = 1
    wait: Callable[[], None] = lambda: None


#: One process does everything.
ALONE = Shares()
