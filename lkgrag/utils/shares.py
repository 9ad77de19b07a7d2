"""How processes share work among them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True)
class Shares:
    """This process among those that share the work.

    Attributes:
        rank: number of this process, from 0.
        world: how many processes there are; each takes every ``world``-th part.
        wait: returns when every process has called it.
    """

    rank: int = 0
    world: int = 1
    wait: Callable[[], None] = lambda: None


#: A single process, which does everything.
ALONE = Shares()
