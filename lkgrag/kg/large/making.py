"""The graph of a store: every behaviour relation counted, into files that a killed process goes on with."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lkgrag.config.identity import digest, to_dict
from lkgrag.errors import ConfigError, RunError, nearest
from lkgrag.kg.base import REVERSE
from lkgrag.kg.large.edge_files import write_followed, write_met
from lkgrag.kg.large.histories import Histories, within
from lkgrag.kg.large.spread import Parts
from lkgrag.kg.large.tables import META, VERSION, TableKG
from lkgrag.utils.duck import parquet
from lkgrag.utils.files import read_json, write_json
from lkgrag.utils.key_counts import kept_ranges
from lkgrag.utils.parts import count_rows
from lkgrag.utils.steps import Hands, Task, hands_of, part

if TYPE_CHECKING:
    from lkgrag.config import KGConfig
    from lkgrag.data.large import Store
    from lkgrag.kg.large.histories import Bounds
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
#: Folder in that of a store for what several processes count before all of it is added.
COUNTS = "counts"
#: Bytes of an edge while edges are sorted.
EDGE = 96


def histories_of(hands: Hands | Duck, store: Store, training: list[Path]) -> Histories:
    """The training interactions of a store as histories."""
    hands = hands_of(hands)
    if hands.is_spread:
        parts = Parts(tuple(training), store.num_items, store.is_once, store.folder / COUNTS)
        return parts.on(hands.duck)
    return Histories(hands.duck, parquet(training), store.num_items, store.is_once)


def forget_counts(store: Store) -> None:
    """Delete what was counted of the items of a store, once all tables are made of it."""
    shutil.rmtree(store.folder / COUNTS, ignore_errors=True)


def make_graph(
    hands: Hands | Duck, store: Store, training: list[Path], config: KGConfig, folder: Path
) -> TableKG:
    """Count the relations that are made of interactions: the same edges as in :func:`~lkgrag.kg.build_kg`.

    Relations of titles, attributes and triples are not among them. A call that was stopped goes on where it was.

    Args:
        hands: who makes the parts; of a database, this process.
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
    folder = folder.absolute()
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / KEY).exists() and read_json(folder / KEY).get("key") != key:
        raise RunError(
            f"{folder}: holds a graph of other options; choose another out=, or overwrite=true"
        )
    write_json(folder / KEY, {"key": key})
    if (folder / META).exists():
        return TableKG(folder)
    hands = hands_of(hands)
    histories = histories_of(hands, store, training)
    files: dict[str, list[Path]] = {}
    edge_types: list[tuple[str, str, str]] = []
    if "rated" in wanted:
        files["rated"] = _write_rated(hands, training, folder / "rated")
        edge_types += [("user", "rated", "item"), ("item", REVERSE + "rated", "user")]
    if "followed_by" in wanted:
        files["followed_by"] = write_followed(hands, histories, config, folder / "followed_by")
        back = REVERSE + "followed_by"
        files[back] = _write_back(hands, histories, files["followed_by"], folder / back)
        edge_types += [("item", "followed_by", "item"), ("item", back, "item")]
    if "co_rated" in wanted:
        files["co_rated"] = write_met(
            hands, histories, config, folder / "co_rated", folder / "work"
        )
        edge_types += [("item", "co_rated", "item")]
    nodes = {"item": store.num_items, **({"user": store.num_users} if config.users else {})}
    meta: dict[str, Any] = {"version": VERSION, "key": key, "nodes": nodes}
    meta |= {"temporal": config.temporal, "follow_window": config.follow_window}
    meta |= {"edge_types": edge_types}
    meta |= {"files": {name: [p.name for p in paths] for name, paths in files.items()}}
    meta |= {"edges": {name: sum(map(count_rows, paths)) for name, paths in files.items()}}
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


def _write_rated(hands: Hands, training: list[Path], folder: Path) -> list[Path]:
    """One edge for each training interaction, by user, then item, then position."""
    return hands.do(
        "write rated",
        [
            Task(out := part(folder, number), write_rated_part, (path, out))
            for number, path in enumerate(training)
        ],
    )


def write_rated_part(duck: Duck, training: Path, path: Path) -> None:
    """Write the edges of some users."""
    duck.write(
        f"select user as source, item as target, rating, time from {parquet([training])} "
        "order by user, item, position",
        path,
    )


def _write_back(hands: Hands, histories: Histories, files: list[Path], folder: Path) -> list[Path]:
    """The edges of an inverse relation, by source, then target."""
    rows = f"select target as place, 1 as value from {parquet(files)}"
    bounds = kept_ranges(
        folder,
        lambda: hands.duck.sums(rows, histories.num_items),
        lambda total: hands.most_rows(total, EDGE),
    )
    return hands.do(
        f"sort {folder.name}",
        [
            Task(out := part(folder, number), write_back_part, (files, some, out))
            for number, some in enumerate(bounds)
        ],
    )


def write_back_part(duck: Duck, files: list[Path], bounds: Bounds, path: Path) -> None:
    """Write the inverse edges to some items."""
    duck.write(
        f"select target as source, source as target, weight, count, time from {parquet(files)} "
        f"where {within(bounds, 'target')} order by 1, 2",
        path,
    )
