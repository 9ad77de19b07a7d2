"""Mapped tables of the paths of a graph in files."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lkgrag.config import PathsConfig
from lkgrag.paths.metapath_search.finder import PathFinder
from lkgrag.paths.metapath_search.tables import META
from lkgrag.utils.files import read_json, write_json

if TYPE_CHECKING:
    from lkgrag.kg.large.tables import TableKG

#: Beside the tables: which graph they are of. Written last.
SOURCE = "source.json"


def map_paths(graph: TableKG, folder: Path) -> Path | None:
    """Write the tables of paths of one edge, unless those of this graph are there.

    Args:
        graph: in files.
        folder: that :meth:`PathFinder.open` takes.

    Returns:
        The folder; None where no relation joins items.
    """
    if not any(e[0] == e[2] == "item" for e in graph.edge_types):
        return None
    source = folder / SOURCE
    done = source.exists() and (folder / META).exists()
    if not done or read_json(source).get("graph") != graph.key:
        source.unlink(missing_ok=True)
        PathFinder(graph, PathsConfig(), folder)
        write_json(source, {"graph": graph.key})
    return folder
