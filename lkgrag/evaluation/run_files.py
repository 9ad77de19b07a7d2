"""Files of true items and of ranked lists in the formats of TREC, ranx and RecBole.

Formats: ``qid 0 docno relevance`` and ``qid Q0 docno rank score tag`` of ``trec_eval``
(https://github.com/usnistgov/trec_eval); ``{qid: {docno: number}}`` in JSON, which ``ranx.Qrels.from_file`` and
``ranx.Run.from_file`` read (https://amenra.github.io/ranx); tab-separated columns with types in their names, as
``user_id:token`` (https://recbole.io/docs/user_guide/data/atomic_files.html).
"""

from __future__ import annotations

import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from lkgrag.errors import short

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.evaluation.ranked_lists import RankedLists

#: The only entry of a list that is empty: a list without a line would not count as missed. No encoded id is like it.
NOTHING = "(none)"
#: Between the user and the place of an event in the user's sequence, where a user has several; encoded ids lack it.
BETWEEN = ":"
#: Characters of an atomic file's cell that would break it, and what begins an encoded one.
BREAKING = frozenset('\t\r\n"%')


@dataclass(frozen=True)
class RunQueries:
    """The events of a split.

    Attributes:
        user: user indices, int64 ``[E]``.
        position: int64 ``[E]``, within the user's sequence.
    """

    user: NDArray[np.int64]
    position: NDArray[np.int64]

    @property
    def has_several(self) -> bool:
        """Whether a user has more than one event."""
        return len(np.unique(self.user)) < len(self.user)


def encode_all(text: str) -> str:
    """An id without blanks and odd characters, as in URLs; ``urllib.parse.unquote`` gives it back."""
    return quote(text, safe="")


def encode_breaking(text: str) -> str:
    """An id without what breaks a table with tabs, likewise; most ids stay as they are."""
    if text == NOTHING:
        return quote(text, safe="")
    return "".join(quote(c, safe="") if c in BREAKING else c for c in text)


class RunWriter(ABC):
    """Writes files of one format.

    Args:
        users: ids.
        items: ids.
    """

    #: How ids are written.
    encode: Callable[[str], str] = staticmethod(encode_all)

    def __init__(self, users: Sequence[str], items: Sequence[str]) -> None:
        self.users = [self.encode(user) for user in users]
        self.items = [self.encode(item) for item in items]
        changed = [
            a for a, b in zip((*users, *items), (*self.users, *self.items), strict=True) if a != b
        ]
        self._encoded = changed[:1]

    def notes(self) -> list[str]:
        """What the reader must know."""
        if not self._encoded:
            return []
        return [
            f"ids are encoded as in URLs, as {short(self._encoded[0])!r} by {self.encode(self._encoded[0])}; "
            "urllib.parse.unquote gives them back"
        ]

    def names(self, queries: RunQueries) -> list[str]:
        """The name of each event."""
        users = [self.users[user] for user in queries.user.tolist()]
        if not queries.has_several:
            return users
        places = queries.position.tolist()
        return [f"{user}{BETWEEN}{place}" for user, place in zip(users, places, strict=True)]

    def rows(self, lists: RankedLists) -> Iterator[tuple[int, list[tuple[str, float]]]]:
        """The events that a system ranks, each with its items and their scores."""
        for event in np.flatnonzero(lists.covered).tolist():
            pairs = zip(lists.items[event].tolist(), lists.scores[event].tolist(), strict=True)
            found = [(self.items[item], score) for item, score in pairs if item >= 0]
            yield event, found or [(NOTHING, 0.0)]

    @abstractmethod
    def write_qrels(
        self,
        folder: Path,
        name: str,
        queries: RunQueries,
        target: NDArray[np.int64],
        keep: NDArray[np.bool_],
    ) -> None:
        """Write the true item of the events that are kept."""

    @abstractmethod
    def write_run(self, folder: Path, name: str, queries: RunQueries, lists: RankedLists) -> None:
        """Write the lists of a system."""


def _nine(score: float) -> str:
    """A float of 32 bits in as many digits as tell it from any other."""
    return f"{score:.9g}"


class TrecWriter(RunWriter):
    """Text files of TREC."""

    def write_qrels(
        self,
        folder: Path,
        name: str,
        queries: RunQueries,
        target: NDArray[np.int64],
        keep: NDArray[np.bool_],
    ) -> None:
        """See :meth:`RunWriter.write_qrels`."""
        names = self.names(queries)
        with open(folder / f"{name}.txt", "w", encoding="ascii") as file:
            for event in np.flatnonzero(keep).tolist():
                file.write(f"{names[event]} 0 {self.items[target[event]]} 1\n")

    def write_run(self, folder: Path, name: str, queries: RunQueries, lists: RankedLists) -> None:
        """See :meth:`RunWriter.write_run`."""
        names, tag = self.names(queries), encode_all(name)
        with open(folder / f"{tag}.txt", "w", encoding="ascii") as file:
            for event, found in self.rows(lists):
                for rank, (item, score) in enumerate(found, start=1):
                    file.write(f"{names[event]} Q0 {item} {rank} {_nine(score)} {tag}\n")


class RanxWriter(RunWriter):
    """JSON files that ranx reads."""

    def write_qrels(
        self,
        folder: Path,
        name: str,
        queries: RunQueries,
        target: NDArray[np.int64],
        keep: NDArray[np.bool_],
    ) -> None:
        """See :meth:`RunWriter.write_qrels`."""
        names = self.names(queries)
        value = {names[e]: {self.items[target[e]]: 1} for e in np.flatnonzero(keep).tolist()}
        self._write(folder / f"{name}.json", value)

    def write_run(self, folder: Path, name: str, queries: RunQueries, lists: RankedLists) -> None:
        """See :meth:`RunWriter.write_run`."""
        names = self.names(queries)
        value = {names[event]: dict(found) for event, found in self.rows(lists)}
        self._write(folder / f"{encode_all(name)}.json", value)

    @staticmethod
    def _write(path: Path, value: dict[str, Any]) -> None:
        with open(path, "w", encoding="ascii") as file:
            json.dump(value, file, separators=(",", ":"))


class RecBoleWriter(RunWriter):
    """Atomic files of RecBole."""

    encode = staticmethod(encode_breaking)

    def write_qrels(
        self,
        folder: Path,
        name: str,
        queries: RunQueries,
        target: NDArray[np.int64],
        keep: NDArray[np.bool_],
    ) -> None:
        """See :meth:`RunWriter.write_qrels`."""
        with open(folder / f"{name}.inter", "w", encoding="utf-8") as file:
            file.write("user_id:token\titem_id:token\tposition:float\n")
            for event in np.flatnonzero(keep).tolist():
                user, item = self.users[queries.user[event]], self.items[target[event]]
                file.write(f"{user}\t{item}\t{queries.position[event]}\n")

    def write_run(self, folder: Path, name: str, queries: RunQueries, lists: RankedLists) -> None:
        """See :meth:`RunWriter.write_run`."""
        with open(folder / f"{encode_all(name)}.inter", "w", encoding="utf-8") as file:
            file.write("user_id:token\titem_id:token\tposition:float\trank:float\tscore:float\n")
            for event, found in self.rows(lists):
                user, position = self.users[queries.user[event]], queries.position[event]
                for rank, (item, score) in enumerate(found, start=1):
                    file.write(f"{user}\t{item}\t{position}\t{rank}\t{_nine(score)}\n")


#: The writer of each format.
WRITERS: dict[str, type[RunWriter]] = {
    "trec": TrecWriter,
    "ranx": RanxWriter,
    "recbole": RecBoleWriter,
}
