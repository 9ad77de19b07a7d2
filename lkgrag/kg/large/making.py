"""The graph of a store: every behaviour relation counted, into files that a killed process goes on with."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow.parquet as pq

from lkgrag.config.identity import digest, to_dict
from lkgrag.errors import ConfigError, RunError, nearest
from lkgrag.kg.base import REVERSE
from lkgrag.kg.large.edge_files import part, write_followed, write_met
from lkgrag.kg.large.histories import Histories
from lkgrag.kg.large.tables import META, VERSION, TableKG
from lkgrag.utils.duck import parquet
from lkgrag.utils.files import read_json, write_json
from lkgrag.utils.key_counts import kept_ranges
from lkgrag.utils.progress import rename_activity

if TYPE_CHECKING:
    from lkgrag.config import KGConfig
    from lkgrag.data.large import Store
    from lkgrag.utils.duck import Duck

log = logging.getLogger(__name__)

#: Says which graph a folder is of, from the first step on.
KEY = "key.json"
#: Relations that are counted, in the order of their edge types.
RELATIONS = ("rated", "followed_by", "co_rated")
#: Options of the graph that the counts depend on.
OPTIONS = (
    "relations",
    "exclude",
    "users",
    "behaviour",
    "follow_window",
    "co_rated_top",
    "behaviour_min",
    "temporal",
)
#: Bytes of an edge while edges are sorted.
EDGE = 96


def histories_of(duck: Duck, store: Store, training: list[Path]) -> Histories:
    """The training interactions of a store as histories."""
    return Histories(duck, parquet(training), store.num_items, store.is_once)


def make_graph(
    duck: Duck, store: Store, training: list[Path], config: KGConfig, folder: Path
) -> TableKG:
    """Count the relations that are made of interactions: the same edges as in :func:`~lkgrag.kg.build_kg`.

    Relations of titles, attributes and triples are not among them. A call that was stopped goes on where it was.

    Args:
        duck: the database.
        store: the sequences.
        training: files of the training interactions, of :func:`~lkgrag.data.large.split_store`.
        config: of the graph.
        folder: of the edges.

    Raises:
        DataError: ``kg.temporal`` needs times that the data lack.
        ConfigError: ``kg.relations`` or ``kg.exclude`` names another relation.
        RunError: the folder holds another graph.
        LkgragError: the disk is full, or the memory too little.
    """
    wanted = _wanted(config)
    if config.temporal:
        store.need_times("kg.temporal=true")
        if store.meta["unknown_times"]:
            log.warning(
                "kg.temporal=true: %d of %d interactions have no time; edges that come from them are never hidden",
                store.meta["unknown_times"],
                len(store),
            )
    options = {k: v for k, v in to_dict(config).items() if k in OPTIONS}
    split = read_json(store.folder / "split.json")["key"]
    key = digest({"options": options, "split": split, "version": VERSION})
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / KEY).exists() and read_json(folder / KEY).get("key") != key:
        raise RunError(
            f"{folder}: holds a graph of other options; choose another out=, or overwrite=true"
        )
    write_json(folder / KEY, {"key": key})
    if (folder / META).exists():
        return TableKG(folder)
    histories = histories_of(duck, store, training)
    files: dict[str, list[Path]] = {}
    edge_types: list[tuple[str, str, str]] = []
    if "rated" in wanted:
        files["rated"] = _write_rated(duck, training, folder / "rated")
        edge_types += [("user", "rated", "item"), ("item", REVERSE + "rated", "user")]
    if "followed_by" in wanted:
        files["followed_by"] = write_followed(histories, config, folder / "followed_by")
        back = REVERSE + "followed_by"
        files[back] = _write_back(histories, files["followed_by"], folder / back)
        edge_types += [("item", "followed_by", "item"), ("item", back, "item")]
    if "co_rated" in wanted:
        files["co_rated"] = write_met(histories, config, folder / "co_rated", folder / "work")
        edge_types += [("item", "co_rated", "item")]
    nodes = {"item": store.num_items, **({"user": store.num_users} if config.users else {})}
    meta: dict[str, Any] = {"version": VERSION, "key": key, "nodes": nodes}
    meta |= {"temporal": config.temporal, "follow_window": config.follow_window}
    meta |= {"edge_types": edge_types}
    meta |= {"files": {name: [p.name for p in paths] for name, paths in files.items()}}
    meta |= {
        "edges": {
            name: sum(pq.read_metadata(p).num_rows for p in paths) for name, paths in files.items()
        }
    }
    write_json(folder / META, meta)
    shutil.rmtree(folder / "work", ignore_errors=True)
    return TableKG(folder)


def _wanted(config: KGConfig) -> list[str]:
    """The relations that the options choose."""
    for option, names in (("relations", config.relations), ("exclude", config.exclude)):
        for name in names or []:
            if name not in RELATIONS:
                raise ConfigError(
                    f"kg.{option}: '{name}' is not counted from interactions.{nearest(name, RELATIONS)} "
                    f"There are: {', '.join(RELATIONS)}"
                )
    there = [n for n in RELATIONS if (config.users if n == "rated" else config.behaviour)]
    only = RELATIONS if config.relations is None else config.relations
    return [n for n in there if n in only and n not in config.exclude]


def _write_rated(duck: Duck, training: list[Path], folder: Path) -> list[Path]:
    """One edge for each training interaction, by user, then item, then position."""
    out = []
    for number, path in enumerate(training):
        file = part(folder, number)
        if not file.exists():
            rename_activity(f"write rated: {number} of {len(training)}")
            duck.write(
                f"select user as source, item as target, rating, time from {parquet([path])} "
                "order by user, item, position",
                file,
            )
        out.append(file)
    return out


def _write_back(histories: Histories, files: list[Path], folder: Path) -> list[Path]:
    """The edges of an inverse relation, by source, then target."""
    duck, table = histories.duck, parquet(files)
    rows = f"select target as place, count(*) as value from {table} group by target"
    bounds = kept_ranges(
        folder,
        lambda: duck.counts(rows, histories.num_items),
        max(1, duck.arrays // EDGE),
    )
    out = []
    for number, (first, end) in enumerate(bounds):
        file = part(folder, number)
        if not file.exists():
            rename_activity(f"sort {folder.name}: {number} of {len(bounds)}")
            duck.write(
                f"select target as source, source as target, weight, count, time from {table} "
                f"where target >= {first} and target < {end} order by 1, 2",
                file,
            )
        out.append(file)
    return out
