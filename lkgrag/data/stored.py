"""Interactions on disk: Parquet files and one JSON file, so that a saved ranker can be updated without its raw data."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from lkgrag.data.interactions import Interactions
from lkgrag.data.stored_graph import load_graph, save_graph
from lkgrag.errors import LkgragError
from lkgrag.utils.files import read_json, read_parquet, write_json, write_parquet

#: Version of the files.
FORMAT = 1
META = "data.json"
#: The file of each table.
EVENTS, ITEMS, USERS, TRIPLES, LINKS = (
    f"{name}.parquet" for name in ("events", "items", "users", "triples", "links")
)
ADVICE = "train again"


def save_interactions(interactions: Interactions, folder: str | os.PathLike[str]) -> None:
    """Write interactions with all that is known of users and items.

    ``events.parquet`` has a row for each interaction: ``item`` (index), ``rating``, ``time``, user by user. The
    files of items and users have the id, the number of a user's interactions, and attributes in numbered columns,
    whose names ``data.json`` lists: names of attributes are the user's and may be anything.

    Raises:
        LkgragError: the folder cannot be written.
    """
    folder, x = Path(folder), interactions
    events = {"item": x.item, "rating": x.rating, "time": x.time}
    write_parquet(folder / EVENTS, pd.DataFrame(events))
    write_parquet(folder / ITEMS, _numbered(x.items, {"id": x.item_ids}))
    length = np.diff(x.indptr)
    write_parquet(folder / USERS, _numbered(x.users, {"id": x.user_ids, "length": length}))
    write_parquet(folder / TRIPLES, x.triples)
    write_parquet(folder / LINKS, x.links)
    if x.graph is not None:
        save_graph(x.graph, folder)
    columns = {"items": list(map(str, x.items)), "users": list(map(str, x.users))}
    write_json(folder / META, {"format": FORMAT, "columns": columns, "stats": x.stats})


def save_items(items: pd.DataFrame, folder: str | os.PathLike[str]) -> None:
    """Write the attributes of the items alone, which :func:`load_items` reads.

    Args:
        items: as of :attr:`lkgrag.data.Interactions.items`.
        folder: a folder of its own.

    Raises:
        LkgragError: the folder cannot be written.
    """
    folder = Path(folder)
    write_parquet(folder / ITEMS, _numbered(items, {}))
    columns = {"items": list(map(str, items)), "users": []}
    write_json(folder / META, {"format": FORMAT, "columns": columns, "stats": {}})


def has_interactions(folder: Path) -> bool:
    """Whether a folder holds interactions, not only items."""
    return (folder / EVENTS).is_file()


def load_interactions(folder: str | os.PathLike[str]) -> Interactions:
    """Read what :func:`save_interactions` wrote.

    Raises:
        LkgragError: a file is missing, broken or of a newer version.
    """
    folder = Path(folder)
    meta = _read_meta(folder)
    events, items, users, triples, links = (
        read_parquet(folder / name, ADVICE) for name in (EVENTS, ITEMS, USERS, TRIPLES, LINKS)
    )
    try:
        indptr = np.concatenate([[0], np.cumsum(users["length"].to_numpy(np.int64))])
        if indptr[-1] != len(events):
            raise ValueError("the lengths of the histories do not add up")
        return Interactions(
            user_ids=users["id"].tolist(),
            item_ids=items["id"].tolist(),
            indptr=indptr.astype(np.int64),
            item=events["item"].to_numpy(np.int64),
            rating=events["rating"].to_numpy(np.float32),
            time=events["time"].to_numpy(np.float64),
            items=_named(items, meta["columns"]["items"]),
            users=_named(users, meta["columns"]["users"]),
            triples=triples.astype(object),
            links=links.astype({"item": np.int64, "entity": object}),
            stats=dict(meta["stats"]),
            graph=load_graph(folder),
        )
    except (KeyError, ValueError, TypeError) as error:
        raise LkgragError(f"{folder}: no stored interactions ({error}); {ADVICE}") from error


def load_items(folder: str | os.PathLike[str]) -> pd.DataFrame:
    """The attributes of the items alone, as of :attr:`lkgrag.data.Interactions.items`.

    Raises:
        LkgragError: as :func:`load_interactions`.
    """
    folder = Path(folder)
    meta, items = _read_meta(folder), read_parquet(folder / ITEMS, ADVICE)
    try:
        return _named(items, meta["columns"]["items"])
    except (KeyError, TypeError) as error:
        raise LkgragError(f"{folder}: no stored items ({error}); {ADVICE}") from error


def _read_meta(folder: Path) -> dict[str, Any]:
    meta = read_json(folder / META)
    if not isinstance(meta, dict) or meta.get("format") != FORMAT:
        raise LkgragError(f"{folder / META}: not data of version {FORMAT}; {ADVICE}")
    return meta


def _numbered(table: pd.DataFrame, first: dict[str, Any]) -> pd.DataFrame:
    """A table with numbers for the names of its columns, after some others."""
    columns = {str(n): table[name].tolist() for n, name in enumerate(table.columns)}
    return pd.DataFrame({**first, **columns}, index=range(len(table)))


def _named(table: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """The inverse of :func:`_numbered`: the title as text or None, all other values as lists of strings."""
    out = pd.DataFrame(index=range(len(table)))
    for number, name in enumerate(names):
        values = table[str(number)].tolist()
        cells: list[object]
        if name == "title":
            cells = [v if isinstance(v, str) else None for v in values]
        else:
            cells = [[] if v is None else [str(part) for part in v] for v in values]
        out[name] = pd.Series(cells, dtype=object)
    return out
