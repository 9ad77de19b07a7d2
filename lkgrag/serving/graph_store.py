"""A ranker's graph in a database: written from a run or from counts, and paths that are read from it."""

from __future__ import annotations

import logging
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq

from lkgrag.data.large import Store
from lkgrag.errors import ConfigError, DataError
from lkgrag.kg import LadybugStore, TableKG, load_kg, write_ladybug
from lkgrag.kg.store.writing import graph_digest, items_digest
from lkgrag.paths import GraphPaths, StoreFinder
from lkgrag.serving.catalogue import Catalogue
from lkgrag.serving.loading import check_files
from lkgrag.serving.saved_run import load_run
from lkgrag.utils.files import user_path
from lkgrag.utils.layout import CATALOGUE, KG, RANKER
from lkgrag.utils.progress import rename_activity

if TYPE_CHECKING:
    import os

    from torch_geometric.data import HeteroData

    from lkgrag.serving.context import Context

log = logging.getLogger(__name__)

#: Of a folder of ``lkgrag.count``: what says that it is one, and its graph.
COUNTED, COUNTED_GRAPH = "store.json", "graph"


def export_graph(run: str, out: str, overwrite: bool, memory: str) -> dict[str, int]:
    """Write the graph of a run, or one that was counted, into a database of ladybug.

    Args:
        run: folder of a finished run, or of ``lkgrag.count``.
        out: the file.
        overwrite: replace a file that is there.
        memory: of the database meanwhile.

    Returns:
        Number of edges by relation.

    Raises:
        LkgragError: as of :func:`~lkgrag.kg.write_ladybug`; the folder is neither, or a file of it is damaged.
    """
    folder = user_path(run, "run")
    rename_activity("load the graph")
    graph, items = _read_counted(folder) if (folder / COUNTED).is_file() else _read_run(run)
    rename_activity("write the graph")
    return write_ladybug(graph, user_path(out, "out"), items, overwrite, memory)


def _read_counted(folder: Path) -> tuple[TableKG, list[str]]:
    store = Store.open(folder)
    column = pq.read_table(store.folder / "items.parquet", columns=["id"])["id"]
    return TableKG(folder / COUNTED_GRAPH), column.cast(pa.string()).to_pylist()


def _read_run(run: str) -> tuple[HeteroData, list[str]]:
    folder, _ = load_run(run)
    check_files(folder / RANKER)
    items = Catalogue.load(folder / RANKER / CATALOGUE).ids
    return load_kg(folder / RANKER / KG), [str(item) for item in items]


def with_graph_store(
    context: Context, path: str | os.PathLike[str], cache: int | str, memory: int | str
) -> Context:
    """The same context as it reads paths from a database; parts are shared.

    Args:
        context: of the ranker.
        path: of the database.
        cache: of :class:`~lkgrag.paths.StoreFinder`.
        memory: of :class:`~lkgrag.kg.LadybugStore`.

    Raises:
        ConfigError: the ranker's paths are of another search, or of a kind that a store cannot give.
        DataError: the database cannot be opened, or holds another graph.
    """
    options = context.config.paths
    if options.search != "metapaths":
        raise ConfigError(
            f"paths.search={options.search}: a graph store gives paths of paths.search=metapaths only"
        )
    store = LadybugStore(user_path(path, "path"), memory)
    again = "write it again: python -m lkgrag.export format=ladybug overwrite=true run=..."
    here, there = len(context.catalogue), store.num_nodes("item")
    if here != there:
        raise DataError(f"{path}: {there:,} items, but this ranker has {here:,}; {again}")
    found = store.schema
    if found.items is None:
        log.warning(
            "%s: tells no ids of its items; they are taken in the order of this ranker's", path
        )
    elif found.items != items_digest(str(item) for item in context.catalogue.ids):
        raise DataError(f"{path}: its items are not those of this ranker; {again}")
    finder = StoreFinder(store, options, cache)
    if finder.metapaths != list(context.graph.metapaths):
        lacking = [m for m in context.graph.metapaths if m not in finder.metapaths]
        other = [m for m in finder.metapaths if m not in context.graph.metapaths]
        named = ", ".join("-".join(e[1] for e in m) for m in (lacking or other)[:3])
        what = "lacks paths of" if lacking else "has other paths, as"
        raise DataError(f"{path}: {what} {named or 'another order'}; {again}")
    if found.digest is not None and found.digest != graph_digest(context.data):
        raise DataError(f"{path}: its edges are not those of this ranker; {again}")
    return replace(context, graph=GraphPaths(context.data, finder))
