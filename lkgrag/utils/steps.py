"""Work in steps whose parts are calls that write one file each: in this process, or in others.

A part whose file lies there is not made again, so work goes on wherever it was stopped, and every part is made exactly
once by its name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lkgrag.utils.duck import Duck
from lkgrag.utils.progress import rename_activity


@dataclass(frozen=True)
class Task:
    """A part of a step.

    Attributes:
        out: the file that it writes, atomically and last.
        call: a function of a module, called with the database and ``args``.
        args: that other processes can be sent; whole tables are passed as the names of their files.
    """

    out: Path
    call: Callable[..., object]
    args: tuple[Any, ...]


class Hands(ABC):
    """Who makes the parts.

    Attributes:
        duck: the database of this process, for what is not divided.
    """

    duck: Duck

    @abstractmethod
    def do(self, words: str, tasks: Sequence[Task]) -> list[Path]:
        """Make the parts of a step that are not there yet.

        Args:
            words: what is done, for the line of progress.
            tasks: the parts.

        Returns:
            The files of all parts.

        Raises:
            LkgragError: as the calls, or who makes them is lost.
        """

    @abstractmethod
    def most_rows(self, total: int, size: int) -> int:
        """The most rows of a part.

        Args:
            total: rows of all parts.
            size: bytes of a row in memory.
        """

    @property
    @abstractmethod
    def is_spread(self) -> bool:
        """Whether several processes make parts: then no part should read all rows."""


class Alone(Hands):
    """This process.

    Args:
        duck: the database.
    """

    is_spread = False

    def __init__(self, duck: Duck) -> None:
        self.duck = duck

    def do(self, words: str, tasks: Sequence[Task]) -> list[Path]:
        """Make one part after the other."""
        for number, task in enumerate(tasks):
            if not task.out.exists():
                rename_activity(f"{words}: {number} of {len(tasks)}")
                task.call(self.duck, *task.args)
        return [task.out for task in tasks]

    def most_rows(self, total: int, size: int) -> int:
        """As many as fit into memory."""
        return max(1, self.duck.arrays // size)


def hands_of(hands: Hands | Duck) -> Hands:
    """Who makes the parts; of a database, this process."""
    return Alone(hands) if isinstance(hands, Duck) else hands


def part(folder: Path, number: int) -> Path:
    """The file of a part of a table."""
    return folder / f"part-{number:05}.parquet"
