"""Qrels and runs for other programs: of TREC, of ranx, and RecBole's atomic files.

Formats: ``qid 0 docno relevance`` and ``qid Q0 docno rank score tag`` of ``trec_eval``
(https://github.com/usnistgov/trec_eval); ``{qid: {docno: number}}`` in JSON, which ``ranx.Qrels.from_file`` and
``ranx.Run.from_file`` read (https://amenra.github.io/ranx); tab-separated columns with types in their names, as
``user_id:token`` (https://recbole.io/docs/user_guide/data/atomic_files.html).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import numpy as np

from lkgrag.errors import ConfigError, LkgragError, RunError, short
from lkgrag.utils.files import find_foreign_entry, nan_to_none
from lkgrag.utils.folders import replaced_folder

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.evaluation.protocol import Metrics, SplitResult
    from lkgrag.evaluation.ranked_lists import RankedLists

FORMATS = ("trec", "ranx", "recbole")
#: What a folder holds beside a folder for each split.
ABOUT, FIGURES = "about.json", "metrics.json"
#: Name of the true items, and of those of the events that the language model read.
QRELS, READ = "qrels", "qrels-read"
#: The only entry of a list that is empty: a list without a line would not count as missed. No encoded id is like it.
NOTHING = "(none)"
#: Between the user and the place of an event in the user's sequence, where a user has several; encoded ids lack it.
BETWEEN = ":"
#: Characters of an atomic file's cell that would break it, and what begins an encoded one.
BREAKING = frozenset('\t\r\n"%')


@dataclass(frozen=True)
class SplitLists:
    """What is written of a split.

    Attributes:
        result: its events.
        lists: of each system.
    """

    result: SplitResult
    lists: Mapping[str, RankedLists]


def check_format(form: object, out: object) -> str:
    """The format that a caller names.

    Raises:
        ConfigError: there is no such format, or no folder for it.
    """
    if not isinstance(form, str) or form not in FORMATS:
        raise ConfigError(f"format: must be one of {', '.join(FORMATS)}, got {short(repr(form))}")
    if out is None:
        raise ConfigError(f"format={form} writes a folder: name it by out={form}/")
    return form


def check_folder(form: str, folder: Path) -> None:
    """Refuse a folder that holds something else than qrels and runs.

    Raises:
        RunError: naming what it holds.
        LkgragError: it is no folder, or cannot be read.
    """
    try:
        other = find_foreign_entry(folder, lambda f: (f / ABOUT).is_file())
    except OSError as error:
        raise LkgragError(
            f"out={folder}: {error.strerror or error}; format={form} needs a folder: choose another out="
        ) from error
    if other is not None:
        raise RunError(f"out={folder} holds {other} and no qrels: choose another folder")


def write_elsewhere(
    folder: Path,
    form: str,
    splits: Mapping[str, SplitLists],
    metrics: Metrics,
    ids: tuple[Sequence[str], Sequence[str]],
) -> list[str]:
    """Write qrels and runs into a folder, which appears whole or not at all.

    Args:
        folder: a new or empty one, or one that this function has written, which is replaced.
        form: one of :data:`FORMATS`.
        splits: by name; one without an event is left out.
        metrics: the figures that other programs must find.
        ids: of users and of items, in the order of their indices.

    Returns:
        What the reader must know about them, in sentences.

    Raises:
        RunError: the folder holds something else.
        LkgragError: it cannot be written.
    """
    writer = {"trec": _Trec, "ranx": _Ranx, "recbole": _RecBole}[form](*ids)
    check_folder(form, folder)
    try:
        with replaced_folder(folder) as part:
            notes: dict[str, None] = {}
            for split, what in splits.items():
                if len(what.result):
                    notes |= dict.fromkeys(_write_split(part / split, writer, what))
            systems = _names(splits)
            rest = ", ".join(name for name in metrics if name not in systems)
            notes |= dict.fromkeys(writer.notes())
            notes |= {f"without lists, so without files: {rest}": None} if rest else {}
            about = {"format": form, "notes": list(notes), "systems": systems}
            for name, value in ((ABOUT, about), (FIGURES, metrics)):
                text = json.dumps(nan_to_none(value), indent=2, ensure_ascii=False)
                (part / name).write_text(f"{text}\n", encoding="utf-8")
    except OSError as error:
        raise LkgragError(
            f"cannot write the folder {folder}: {error.strerror or error}; choose another out="
        ) from error
    return list(notes)


def _names(splits: Mapping[str, SplitLists]) -> list[str]:
    return list(dict.fromkeys(name for what in splits.values() for name in what.lists))


def _write_split(folder: Path, writer: _Writer, what: SplitLists) -> list[str]:
    """Write the qrels and the runs of a split; what the reader must know."""
    folder.mkdir(parents=True)
    result, notes = what.result, []
    queries = _Queries(result.user, result.position)
    everything = np.ones(len(result), bool)
    writer.write_qrels(folder, QRELS, queries, result.target, everything)
    partial = [name for name, lists in what.lists.items() if not lists.covered.all()]
    if partial:
        read = what.lists[partial[0]].covered
        writer.write_qrels(folder, READ, queries, result.target, read)
        notes.append(
            f"{', '.join(partial)}: the language model read the lists of a part of the users; compare with {READ}"
        )
    if queries.has_several:
        notes.append(
            f"a user has several events: a query is the user{BETWEEN}position in the sequence"
        )
    for name, lists in what.lists.items():
        writer.write_run(folder, name, queries, lists)
    return notes


@dataclass(frozen=True)
class _Queries:
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
    return "".join(quote(c, safe="") if c in BREAKING else c for c in text)


class _Writer:
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

    def names(self, queries: _Queries) -> list[str]:
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

    def write_qrels(
        self,
        folder: Path,
        name: str,
        queries: _Queries,
        target: NDArray[np.int64],
        keep: NDArray[np.bool_],
    ) -> None:
        """Write the true item of the events that are kept."""
        raise NotImplementedError

    def write_run(self, folder: Path, name: str, queries: _Queries, lists: RankedLists) -> None:
        """Write the lists of a system."""
        raise NotImplementedError


def _nine(score: float) -> str:
    """A float of 32 bits in as many digits as tell it from any other."""
    return f"{score:.9g}"


class _Trec(_Writer):
    """Text files of TREC."""

    def write_qrels(
        self,
        folder: Path,
        name: str,
        queries: _Queries,
        target: NDArray[np.int64],
        keep: NDArray[np.bool_],
    ) -> None:
        names = self.names(queries)
        with open(folder / f"{name}.txt", "w", encoding="ascii") as file:
            for event in np.flatnonzero(keep).tolist():
                file.write(f"{names[event]} 0 {self.items[target[event]]} 1\n")

    def write_run(self, folder: Path, name: str, queries: _Queries, lists: RankedLists) -> None:
        names, tag = self.names(queries), encode_all(name)
        with open(folder / f"{tag}.txt", "w", encoding="ascii") as file:
            for event, found in self.rows(lists):
                for rank, (item, score) in enumerate(found, start=1):
                    file.write(f"{names[event]} Q0 {item} {rank} {_nine(score)} {tag}\n")


class _Ranx(_Writer):
    """JSON files that ranx reads."""

    def write_qrels(
        self,
        folder: Path,
        name: str,
        queries: _Queries,
        target: NDArray[np.int64],
        keep: NDArray[np.bool_],
    ) -> None:
        names = self.names(queries)
        value = {names[e]: {self.items[target[e]]: 1} for e in np.flatnonzero(keep).tolist()}
        self._write(folder / f"{name}.json", value)

    def write_run(self, folder: Path, name: str, queries: _Queries, lists: RankedLists) -> None:
        names = self.names(queries)
        value = {names[event]: dict(found) for event, found in self.rows(lists)}
        self._write(folder / f"{encode_all(name)}.json", value)

    @staticmethod
    def _write(path: Path, value: dict[str, Any]) -> None:
        with open(path, "w", encoding="ascii") as file:
            json.dump(value, file, separators=(",", ":"))


class _RecBole(_Writer):
    """Atomic files of RecBole."""

    encode = staticmethod(encode_breaking)

    def write_qrels(
        self,
        folder: Path,
        name: str,
        queries: _Queries,
        target: NDArray[np.int64],
        keep: NDArray[np.bool_],
    ) -> None:
        with open(folder / f"{name}.inter", "w", encoding="utf-8") as file:
            file.write("user_id:token\titem_id:token\tposition:float\n")
            for event in np.flatnonzero(keep).tolist():
                user, item = self.users[queries.user[event]], self.items[target[event]]
                file.write(f"{user}\t{item}\t{queries.position[event]}\n")

    def write_run(self, folder: Path, name: str, queries: _Queries, lists: RankedLists) -> None:
        with open(folder / f"{encode_all(name)}.inter", "w", encoding="utf-8") as file:
            file.write("user_id:token\titem_id:token\tposition:float\trank:float\tscore:float\n")
            for event, found in self.rows(lists):
                user, position = self.users[queries.user[event]], queries.position[event]
                for rank, (item, score) in enumerate(found, start=1):
                    file.write(f"{user}\t{item}\t{position}\t{rank}\t{_nine(score)}\n")
