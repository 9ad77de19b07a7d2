"""Qrels and runs for other programs: of TREC, of ranx, and RecBole's atomic files."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.errors import ConfigError, LkgragError, RunError, short
from lkgrag.evaluation.run_files import BETWEEN, WRITERS, RunQueries, RunWriter
from lkgrag.utils.files import find_foreign_entry, nan_to_none
from lkgrag.utils.folders import replaced_folder

if TYPE_CHECKING:
    from lkgrag.evaluation.protocol import Metrics, SplitResult
    from lkgrag.evaluation.ranked_lists import RankedLists

#: What a folder holds beside a folder for each split.
ABOUT, FIGURES = "about.json", "metrics.json"
#: Name of the true items, and of those of the events that the language model read.
QRELS, READ = "qrels", "qrels-read"


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
    if not isinstance(form, str) or form not in WRITERS:
        raise ConfigError(f"format: must be one of {', '.join(WRITERS)}, got {short(repr(form))}")
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
        form: one of :data:`~lkgrag.evaluation.run_files.WRITERS`.
        splits: by name; one without an event is left out.
        metrics: the figures that other programs must find.
        ids: of users and of items, in the order of their indices.

    Returns:
        What the reader must know about them, in sentences.

    Raises:
        RunError: the folder holds something else.
        LkgragError: it cannot be written.
    """
    writer = WRITERS[form](*ids)
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


def _write_split(folder: Path, writer: RunWriter, what: SplitLists) -> list[str]:
    """Write the qrels and the runs of a split; what the reader must know."""
    folder.mkdir(parents=True)
    result, notes = what.result, []
    queries = RunQueries(result.user, result.position)
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
