"""What a program is doing right now, and the line that says so: how much is done, since when, how long it takes."""

from __future__ import annotations

import time

#: Seconds up to which a duration is given in seconds, and minutes up to which it is given in minutes.
SECONDS, MINUTES = 90, 90


def format_duration(seconds: float) -> str:
    """Write a duration in one unit: ``41 s``, ``4 min`` or ``2.5 h``."""
    if round(seconds) < SECONDS:
        return f"{seconds:.0f} s"
    if round(seconds / 60) < MINUTES:
        return f"{seconds / 60:.0f} min"
    return f"{seconds / 3600:.1f} h"


class Activity:
    """Work that goes on: its description and how much of it is done.

    Args:
        description: in a few words.
        may_end_early: whether the work may stop before all is done, so that the time left is a limit.
    """

    def __init__(self, description: str, may_end_early: bool = False) -> None:
        self.may_end_early = may_end_early
        self.rename(description)

    def rename(self, description: str) -> None:
        """Begin other work, of which nothing is done and the whole is unknown."""
        self.description = description
        self.begun = time.monotonic()
        #: Times and units done: at the first report and at the last one.
        self.first: tuple[float, int] | None = None
        self.last: tuple[float, int] | None = None
        self.total = 0

    def update(self, done: int, total: int) -> None:
        """Note that ``done`` units of ``total`` are done."""
        now = (time.monotonic(), done)
        self.first, self.last, self.total = self.first or now, now, total

    def seconds_left(self, now: float) -> float | None:
        """Seconds until all is done, from the pace since the first report; None before there is a pace.

        Args:
            now: on the clock of :func:`time.monotonic`.
        """
        if self.first is None or self.last is None or self.last[1] <= self.first[1]:
            return None
        pace = (self.last[0] - self.first[0]) / (self.last[1] - self.first[1])
        return max(0.0, pace * (self.total - self.last[1]) - (now - self.last[0]))

    def line(self, now: float) -> str:
        """The work in one line, such as ``rank val: 48 of 371 (13 %), 41 s, about 4 min left``.

        Args:
            now: on the clock of :func:`time.monotonic`.
        """
        parts = [format_duration(now - self.begun)]
        if self.last is not None and self.total > 0:
            done = self.last[1]
            parts.insert(0, f"{done:,} of {self.total:,} ({100 * done // self.total} %)")
        left = self.seconds_left(now)
        if left is not None and self.last is not None and self.last[1] < self.total:
            parts.append(
                f"{'at most' if self.may_end_early else 'about'} {format_duration(left)} left"
            )
        return f"{self.description}: {', '.join(parts)}"
