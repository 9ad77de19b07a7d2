"""Which file of a folder of plain tables holds what: told by names, and else by columns."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lkgrag.data.readers.column_names import usual_columns
from lkgrag.data.readers.formats import TableFile, is_table, open_file, suffix_of
from lkgrag.data.readers.packed import unpacked_name
from lkgrag.data.usual_names import plain
from lkgrag.errors import DataError

if TYPE_CHECKING:
    from lkgrag.config import DataConfig


def words(text: str) -> tuple[str, ...]:
    """The words of a text."""
    return tuple(text.split())


#: Names of files of interactions, after the one of ``data.name``; the surest first.
EVENTS = words(
    "interactions interaction events ratings rating reviews clicks purchases orders transactions views plays "
    "listens sessions logs log history feedback"
)
#: Names of the files beside it.
ITEMS = words(
    "items item products product movies books goods articles tracks songs games catalog catalogue metadata "
    "meta item_features items_metadata movies_metadata"
)
USERS = words("users user customers members people user_features")
TRIPLES = words("triples kg knowledge_graph graph relations edges")
LINKS = words("links item2entity item_entity entities")
#: Parts of a data set that others have split, in the order of time.
PARTS = ("train", "valid", "val", "validation", "dev", "test")
#: The separator that stands for "not set".
UNSET = "\t"


def open_table_file(path: Path, config: DataConfig) -> TableFile:
    """The table of a file, with ``data.separator`` where that is set."""
    separator = None if config.separator in (UNSET, "\\t") else config.separator
    return open_file(path, separator)


def _tables(folder: Path) -> list[Path]:
    """The tables of a folder, by name."""
    return sorted(p for p in folder.iterdir() if not p.name.startswith((".", "_")) and is_table(p))


def _stem(path: Path) -> str:
    """The name of a file without suffixes, in small letters."""
    return unpacked_name(path)[: -len(suffix_of(path)) or None].lower()


def find_tables(folder: Path, config: DataConfig) -> dict[str, list[Path]]:
    """The files of each kind.

    Raises:
        DataError: it is not clear which table holds the interactions.
    """
    tables = known_tables(folder, config)
    by_stem: dict[str, list[Path]] = {}
    for path in tables:
        by_stem.setdefault(_stem(path), []).append(path)
    name = config.name.lower()
    beside = {"items": ITEMS, "users": USERS, "triples": TRIPLES, "links": LINKS}
    out: dict[str, list[Path]] = {}
    for kind, words in beside.items():
        stems = [
            w
            for word in words
            for w in (f"{name}_{word}", f"{name}.{word}", f"{name}-{word}", word)
        ]
        found = next((by_stem[s] for s in stems if s in by_stem and s != name), [])
        out[kind] = [_only(found)] if found else []
    # What is called links may be anything, as MovieLens' numbers of other sites.
    out["links"] = [p for p in out["links"] if {"item", "entity"} <= _meanings(p, config)]
    taken = {path for paths in out.values() for path in paths}
    left = {s: [p for p in paths if p not in taken] for s, paths in by_stem.items()}
    left = {s: paths for s, paths in left.items() if paths}
    out["events"] = _event_files(folder, left, config)
    others = [p for paths in left.values() for p in paths if p not in out["events"]]
    for kind, need, never in (("items", {"item", "title"}, "user"), ("users", {"user"}, "item")):
        if not out[kind]:
            found = [
                p for p in others if need <= (has := _meanings(p, config)) and never not in has
            ]
            out[kind] = found if len(found) == 1 else []
    return out


def _meanings(path: Path, config: DataConfig) -> set[str]:
    """What the columns of a table mean; nothing if it is broken."""
    try:
        columns = open_table_file(path, config).columns()
    except DataError:
        return set()
    words = ("user", "item", "title", "entity")
    found = set(usual_columns(columns, words, config.columns, is_strict=False))
    # A table with a title and an `id` is of items.
    return found | (
        {"item"} if "title" in found and any(plain(c) == "id" for c in columns) else set()
    )


def known_tables(folder: Path, config: DataConfig) -> list[Path]:
    """The tables of a folder, without notes and licences."""
    return [p for p in _tables(folder) if suffix_of(p) != ".txt" or _is_known(_stem(p), config)]


def _is_known(stem: str, config: DataConfig) -> bool:
    """Whether a ``.txt`` file is a table, by its name; others are notes and licences."""
    known = {config.name.lower(), *EVENTS, *ITEMS, *USERS, *TRIPLES, *LINKS, *PARTS}
    return stem in known or stem.rpartition(".")[2] in PARTS


def _event_files(folder: Path, left: dict[str, list[Path]], config: DataConfig) -> list[Path]:
    name = config.name.lower()
    for stem in (name, *EVENTS):
        if stem in left:
            return [_only(left[stem])]
        if parts := _parts(left, f"{stem}."):
            return parts
    if parts := _parts(left, ""):
        return parts
    prefixes = {s.rpartition(".")[0] for s in left if s.rpartition(".")[2] in PARTS}
    if len(prefixes) == 1:
        return _parts(left, f"{prefixes.pop()}.")
    if len(left) > 1:
        both = [p for ps in left.values() for p in ps if {"user", "item"} <= _meanings(p, config)]
        if len(both) == 1:
            return both
        names = sorted(p.name for paths in left.values() for p in paths)
        raise DataError(
            f"{folder}: which table holds the interactions? There are {', '.join(names[:8])}: give that file "
            "itself by data.root, or its name without suffix by data.name"
        )
    return [_only(paths) for paths in left.values()]


def _parts(left: dict[str, list[Path]], prefix: str) -> list[Path]:
    """The files of a data set that comes in parts; none unless there is one to train."""
    found = [_only(left[prefix + part]) for part in PARTS if prefix + part in left]
    return found if prefix + PARTS[0] in left else []


def _only(paths: list[Path]) -> Path:
    """The single file of a name.

    Raises:
        DataError: there are several.
    """
    if len(paths) > 1:
        raise DataError(
            f"{paths[0].parent}: {', '.join(p.name for p in paths[:4])} have one name: leave one of them"
        )
    return paths[0]
