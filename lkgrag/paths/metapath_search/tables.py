"""The tables from which short paths are read: rows of sorted integers, in memory or in mapped files.

The tables are filled relation by relation. So a graph may be larger than memory, as long as its largest
relation fits. A prompt reads only the rows of its items, so that memory never holds all of a mapped table.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, fields
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lkgrag.errors import LkgragError
from lkgrag.utils.files import read_json, write_json

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.typing import EdgeType

    from lkgrag.paths.adjacency import Adjacency
    from lkgrag.paths.batch import MetaPath

    #: Reads the edges of a type; may be called more than once for one type.
    Edges = Callable[[EdgeType], Adjacency]
    #: Allocates an array to fill, by its name, shape and type.
    Allocate = Callable[[str, tuple[int, ...], type[np.generic]], NDArray]

#: Written last, so that the tables of a folder with this file are complete.
META = "tables.json"
VERSION = 1


@dataclass(frozen=True)
class PathTables:
    """Edges between items, and values that items share.

    A value is a pair of a meta-path and its inner node. All of them are numbered from 0 to ``V - 1``.

    Attributes:
        edge_ptr: int64 ``[R, I + 1]``, where each item's edges begin, by relation between items.
        edge_target: int32 ``[E]``, rising within a row.
        edge_weight: float32 ``[E]``.
        edge_time: float64 ``[E]``, from when on the edge exists; empty if no edge has a time.
        out_ptr: int64 ``[I + 1]``, where the values begin to which each item leads.
        out_value: int32, these values, rising within a row.
        in_ptr: int64 ``[I + 1]``, where the values begin that lead to each item.
        in_value: int32, these values, rising within a row.
        owner: int32 ``[V]``, meta-path of each value.
        node: int32 ``[V]``, its index within its node type.
        degree: int32 ``[V]``, number of edges that lead to it.
        by_rank: int32 ``[V]``, values from the rarest on.
        rank: int32 ``[V]``, the inverse of ``by_rank``.
    """

    edge_ptr: NDArray[np.int64]
    edge_target: NDArray[np.int32]
    edge_weight: NDArray[np.float32]
    edge_time: NDArray[np.float64]
    out_ptr: NDArray[np.int64]
    out_value: NDArray[np.int32]
    in_ptr: NDArray[np.int64]
    in_value: NDArray[np.int32]
    owner: NDArray[np.int32]
    node: NDArray[np.int32]
    degree: NDArray[np.int32]
    by_rank: NDArray[np.int32]
    rank: NDArray[np.int32]

    @classmethod
    def build(
        cls,
        direct: list[MetaPath],
        shared: dict[int, MetaPath],
        edges: Edges,
        num_items: int,
        allocate: Allocate | None = None,
    ) -> PathTables:
        """Fill the tables.

        Args:
            direct: meta-paths of one edge.
            shared: meta-paths of two edges over a value, by their number.
            edges: reads the edges of a type.
            num_items: ``I``.
            allocate: creates the arrays; in memory by default.
        """
        allocate = allocate or (lambda name, shape, kind: np.empty(shape, kind))
        return cls(
            **_fill_edges(direct, edges, num_items, allocate),
            **fill_values(shared, edges, num_items, allocate),
        )

    @classmethod
    def open(cls, folder: Path) -> tuple[PathTables, dict[str, Any]]:
        """Map the tables of a folder, without reading them.

        Returns:
            The tables, and the header that :meth:`write_header` stored.

        Raises:
            LkgragError: a file is missing or broken.
        """
        header = read_json(folder / META)
        if header.get("version") != VERSION:
            raise LkgragError(f"{folder / META}: of another version; make the tables again")
        arrays = {}
        for field in fields(cls):
            path = folder / f"{field.name}.npy"
            try:
                arrays[field.name] = np.load(path, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError) as error:
                raise LkgragError(f"{path}: broken ({error}); make the tables again") from error
            if list(arrays[field.name].shape) != header["shapes"][field.name]:
                raise LkgragError(f"{path}: not of these tables; make them again")
        return cls(**arrays), header

    def write_header(self, folder: Path, header: dict[str, Any]) -> None:
        """Write the file that :meth:`open` needs beside the arrays: their shapes, and further values."""
        shapes = {f.name: list(getattr(self, f.name).shape) for f in fields(self)}
        write_json(folder / META, {"version": VERSION, "shapes": shapes, **header})


def allocate_files(folder: Path) -> Allocate:
    """Return a function that creates arrays in the files of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / META).unlink(missing_ok=True)

    def allocate(name: str, shape: tuple[int, ...], kind: type[np.generic]) -> NDArray:
        path = folder / f"{name}.npy"
        if 0 in shape:
            # An empty array cannot be mapped.
            np.save(path, np.empty(shape, kind))
            return np.empty(shape, kind)
        array: NDArray = np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=shape)
        return array

    return allocate


def _fill_edges(
    direct: list[MetaPath], edges: Edges, num_items: int, allocate: Allocate
) -> dict[str, NDArray]:
    """Fill the tables of edges between items, in two passes: one counts, one fills."""
    ptr = allocate("edge_ptr", (len(direct), num_items + 1), np.int64)
    total, has_times = 0, False
    for row, (edge_type,) in enumerate(direct):
        adjacency = edges(edge_type)
        ptr[row] = adjacency.indptr + total
        total += len(adjacency.target)
        has_times = has_times or adjacency.has_times
    target = allocate("edge_target", (total,), np.int32)
    weight = allocate("edge_weight", (total,), np.float32)
    time = allocate("edge_time", (total if has_times else 0,), np.float64)
    for row, (edge_type,) in enumerate(direct):
        adjacency = edges(edge_type)
        part = slice(int(ptr[row, 0]), int(ptr[row, -1]))
        target[part], weight[part] = adjacency.target, adjacency.weight
        if has_times:
            time[part] = adjacency.time
    return {"edge_ptr": ptr, "edge_target": target, "edge_weight": weight, "edge_time": time}


def fill_values(
    shared: dict[int, MetaPath], edges: Edges, num_items: int, allocate: Allocate
) -> dict[str, NDArray]:
    """Number the values of all meta-paths, and list the values of each item.

    There are two passes: one counts, one fills.
    """
    offset, owner, degree = [0], [], []
    count = np.zeros((2, num_items + 1), np.int64)
    for number, first, second in _ends(shared, edges):
        useful = _find_useful(first, second)
        for side, (item, value) in enumerate(_sides(first, second)):
            count[side, 1:] += np.bincount(item[useful[value]], minlength=num_items)
        owner.append(np.full(len(useful), number, np.int32))
        degree.append(first.degree.astype(np.int32))
        offset.append(offset[-1] + len(useful))
    out: dict[str, NDArray] = {}
    cursor = []
    for side, name in enumerate(("out", "in")):
        ptr = out[f"{name}_ptr"] = allocate(f"{name}_ptr", (num_items + 1,), np.int64)
        np.cumsum(count[side], out=ptr)
        out[f"{name}_value"] = allocate(f"{name}_value", (int(ptr[-1]),), np.int32)
        cursor.append(ptr[:-1].copy())
    for place, (_, first, second) in enumerate(_ends(shared, edges)):
        useful = _find_useful(first, second)
        for side, (name, (item, value)) in enumerate(
            zip(("out", "in"), _sides(first, second), strict=True)
        ):
            keep = useful[value]
            item, value = item[keep], value[keep]
            size = np.bincount(item, minlength=num_items)
            within = np.arange(len(item)) - np.repeat(np.cumsum(size) - size, size)
            out[f"{name}_value"][cursor[side][item] + within] = value + offset[place]
            cursor[side] += size
    none = [np.zeros(0, np.int32)]
    node = [np.arange(b - a, dtype=np.int32) for a, b in pairwise(offset)]
    degrees = np.concatenate(degree or none)
    # Rarer values come first, then the order of meta-path and node, which is that of the numbers.
    by_rank = np.argsort(degrees, kind="stable").astype(np.int32)
    rank = np.empty_like(by_rank)
    rank[by_rank] = np.arange(len(by_rank), dtype=np.int32)
    small = {
        "owner": np.concatenate(owner or none),
        "node": np.concatenate(node or none),
        "degree": degrees,
        "by_rank": by_rank,
        "rank": rank,
    }
    for name, values in small.items():
        out[name] = allocate(name, values.shape, np.int32)
        out[name][...] = values
    return out


def _ends(shared: dict[int, MetaPath], edges: Edges) -> Iterator[tuple[int, Adjacency, Adjacency]]:
    """Yield of each meta-path its number, the edges to values, and the edges from values sorted by item."""
    for number, (first, second) in shared.items():
        yield number, edges(first), edges(second).reversed()


def _sides(
    first: Adjacency, second: Adjacency
) -> tuple[tuple[NDArray, NDArray], tuple[NDArray, NDArray]]:
    """Return the items and values of both sides, each sorted by item, then value."""
    return (first.source, first.target), (second.source, second.target)


def _find_useful(first: Adjacency, second: Adjacency) -> NDArray[np.bool_]:
    """Mark the values that join two different items, bool ``[size]``."""
    size = len(first.degree)
    into, out = first.degree, np.bincount(second.target, minlength=size)
    # A value with the same single item on both sides joins nothing.
    ends = np.full((2, size), -1, np.int64)
    ends[0, first.target] = first.source
    ends[1, second.target] = second.source
    lone = (into == 1) & (out == 1) & (ends[0] == ends[1])
    useful: NDArray[np.bool_] = (into > 0) & (out > 0) & ~lone
    return useful
