"""Mapped tables of the paths of a graph in files."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lkgrag.config import PathsConfig
from lkgrag.paths.metapath import metapaths
from lkgrag.paths.metapath_search.finder import PathFinder, header_of
from lkgrag.paths.metapath_search.tables import META, PathTables, allocate_files, fill_values
from lkgrag.utils.files import read_json, write_json
from lkgrag.utils.parts import count_rows, load_arrays, read_part, save_arrays
from lkgrag.utils.progress import rename_activity
from lkgrag.utils.steps import Hands, Task, hands_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.kg.large.tables import TableKG
    from lkgrag.paths.batch import MetaPath
    from lkgrag.utils.duck import Duck

#: Beside the tables: which graph they are of. Written last.
SOURCE = "source.json"
#: Columns of edges and the types of their tables.
COLUMNS: dict[str, type[np.generic]] = {
    "target": np.int32,
    "weight": np.float32,
    "time": np.float64,
}


def map_paths(hands: Hands | Duck, graph: TableKG, folder: Path) -> Path | None:
    """Write the tables of paths of one edge, unless those of this graph are there.

    Args:
        hands: who writes the parts; of a database, this process.
        graph: in files.
        folder: that :meth:`PathFinder.open` takes.

    Returns:
        The folder; None where no relation joins items.
    """
    if not any(e[0] == e[2] == "item" for e in graph.edge_types):
        return None
    hands, folder = hands_of(hands), folder.absolute()
    source = folder / SOURCE
    done = source.exists() and (folder / META).exists()
    if not done or read_json(source).get("graph") != graph.key:
        source.unlink(missing_ok=True)
        found = metapaths(graph.edge_types, PathsConfig())
        if hands.is_spread and all(len(path) == 1 for path in found):
            _write_tables(hands, graph, found, folder)
        else:
            rename_activity("map the paths")
            PathFinder(graph, PathsConfig(), folder)
        write_json(source, {"graph": graph.key})
    return folder


def _write_tables(hands: Hands, graph: TableKG, direct: list[MetaPath], folder: Path) -> None:
    """Write the tables: each file of edges into its own rows of them.

    Args:
        hands: who writes.
        graph: in files.
        direct: meta-paths, of one edge each.
        folder: of the tables.
    """
    work, size = folder / "work", int(graph["item"].num_nodes)
    files = [path for (edge_type,) in direct for path in graph.files(edge_type[1])]
    rows = [count_rows(path) for path in files]
    names = [name for name in COLUMNS if name != "time" or graph.get("temporal")]
    allocate = allocate_files(folder)
    begun, key = work / "key.json", {"graph": graph.key, "rows": rows}
    if not begun.exists() or read_json(begun) != key:
        shutil.rmtree(work, ignore_errors=True)
        for name in names:
            allocate(f"edge_{name}", (sum(rows),), COLUMNS[name])
        write_json(begun, key)
    begins = np.cumsum([0, *rows])
    parts = hands.do(
        "map the paths",
        [
            Task(
                out := work / f"{number:05}.npz",
                write_slice,
                (path, folder, names, int(begins[number]), out),
            )
            for number, path in enumerate(files)
        ],
    )
    ptr = allocate("edge_ptr", (len(direct), size + 1), np.int64)
    place, has_times = 0, False
    for row, (edge_type,) in enumerate(direct):
        count = np.zeros(size + 1, np.int64)
        count[0] = begins[place]
        for _ in graph.files(edge_type[1]):
            found = load_arrays(parts[place])
            count[found["source"] + 1] += found["count"]
            has_times |= bool(found["has_times"])
            place += 1
        np.cumsum(count, out=ptr[row])
    if not has_times:
        allocate("edge_time", (0,), np.float64)
    edges = {f"edge_{name}": np.load(folder / f"edge_{name}.npy", "r") for name in COLUMNS}
    tables = PathTables(edge_ptr=ptr, **edges, **fill_values({}, _no_edges, size, allocate))
    tables.write_header(folder, header_of(direct, PathsConfig(), size))
    shutil.rmtree(work, ignore_errors=True)


def _no_edges(edge_type: Any) -> Any:
    raise AssertionError("paths of one edge share no value")


def write_slice(
    duck: Duck, edges: Path, folder: Path, names: list[str], begin: int, path: Path
) -> None:
    """Write a file of edges into its rows of the tables.

    Args:
        duck: not used.
        edges: the file.
        folder: of the tables, which are as long as they will be.
        names: of the columns.
        begin: first row.
        path: written last, of each source of the file its number of edges, and whether an edge has a time.
    """
    table = read_part(edges, ["source", *names])
    has_times = False
    for name in names:
        values: NDArray = table[name].to_numpy().astype(COLUMNS[name])
        if name == "time":
            values[np.isnan(values)] = -np.inf
            has_times = bool(np.isfinite(values).any())
        _put(folder / f"edge_{name}.npy", values, begin)
    source, count = np.unique(table["source"].to_numpy(), return_counts=True)
    found = {"source": source, "count": count, "has_times": np.array(has_times)}
    save_arrays(path, found)


def _put(path: Path, values: NDArray, begin: int) -> None:
    """Write values into a stored array. Not mapped, as another machine may write the same page of the file."""
    if not len(values):
        return
    start = np.load(path, mmap_mode="r").offset
    with open(path, "r+b") as file:
        file.seek(start + begin * values.itemsize)
        file.write(values.tobytes())
        file.flush()
        os.fsync(file.fileno())
