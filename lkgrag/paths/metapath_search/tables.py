"""The tables that short paths are read from: rows of sorted integers, in memory or mapped from files.

They are filled relation by relation, so that a graph larger than memory can be indexed as long as its
largest relation fits; and a prompt reads the rows of its own items alone, so that of mapped tables only
what is asked for is ever in memory.
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

    #: Gives the edges of a type; may be asked more than once.
    Edges = Callable[[EdgeType], Adjacency]
    #: Gives an array to fill: name, shape, type.
    Room = Callable[[str, tuple[int, ...], Any], NDArray]

#: Written last, so that a folder with it is whole.
META = "tables.json"
VERSION = 1


@dataclass(frozen=True)
class Tables:
    """Edges between items, and values that items share.

    Attributes:
        edge_ptr: int64 ``[R, I + 1]``, where each item's edges begin, by relation between items.
        edge_target: int32 ``[E]``, rising within a row.
        edge_weight: float32 ``[E]``.
        edge_time: float64 ``[E]``, or empty where no edge has a time to be minded.
        out_ptr: int64 ``[I + 1]``, where the values begin that paths lead to from each item.
        out_value: int32, values of all meta-paths numbered through, rising within a row.
        in_ptr: int64 ``[I + 1]``, likewise of the values that lead to each item.
        in_value: int32.
        owner: int32 ``[V]``, meta-path of each value.
        node: int32 ``[V]``, its index within its node type.
        degree: int32 ``[V]``, edges that enter it.
        by_rank: int32 ``[V]``, values from the rarest on.
        rank: int32 ``[V]``, its inverse.
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
        room: Room | None = None,
    ) -> Tables:
        """Fill the tables.

        Args:
            direct: meta-paths of one edge.
            shared: meta-paths of two edges over a value, by their number.
            edges: of a type.
            num_items: ``I``.
            room: where the arrays are; in memory by default.
        """
        room = room or (lambda name, shape, kind: np.empty(shape, kind))
        return cls(
            **_direct(direct, edges, num_items, room), **_shared(shared, edges, num_items, room)
        )

    @classmethod
    def open(cls, folder: Path) -> tuple[Tables, dict[str, Any]]:
        """Map the tables of a folder, and what was told of them; nothing is read before it is asked for.

        Raises:
            LkgragError: a file is missing or broken.
        """
        told = read_json(folder / META)
        if told.get("version") != VERSION:
            raise LkgragError(f"{folder / META}: of another version; make the tables again")
        arrays = {}
        for field in fields(cls):
            path = folder / f"{field.name}.npy"
            try:
                arrays[field.name] = np.load(path, mmap_mode="r", allow_pickle=False)
            except (OSError, ValueError) as error:
                raise LkgragError(f"{path}: broken ({error}); make the tables again") from error
            if list(arrays[field.name].shape) != told["shapes"][field.name]:
                raise LkgragError(f"{path}: not of these tables; make them again")
        return cls(**arrays), told

    def tell(self, folder: Path, told: dict[str, Any]) -> None:
        """Write what :meth:`open` needs beside the arrays."""
        shapes = {f.name: list(getattr(self, f.name).shape) for f in fields(self)}
        write_json(folder / META, {"version": VERSION, "shapes": shapes, **told})


def mapped(folder: Path) -> Room:
    """Room in the files of a folder."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / META).unlink(missing_ok=True)

    def room(name: str, shape: tuple[int, ...], kind: Any) -> NDArray:
        path = folder / f"{name}.npy"
        if 0 in shape:
            # Nothing cannot be mapped.
            np.save(path, np.empty(shape, kind))
            return np.empty(shape, kind)
        array: NDArray = np.lib.format.open_memmap(path, mode="w+", dtype=kind, shape=shape)
        return array

    return room


def _direct(direct: list[MetaPath], edges: Edges, num_items: int, room: Room) -> dict[str, NDArray]:
    ptr = room("edge_ptr", (len(direct), num_items + 1), np.int64)
    total, timed = 0, False
    for row, (edge_type,) in enumerate(direct):
        found = edges(edge_type)
        ptr[row] = found.indptr + total
        total += len(found.target)
        timed = timed or found.timed
    target = room("edge_target", (total,), np.int32)
    weight = room("edge_weight", (total,), np.float32)
    time = room("edge_time", (total if timed else 0,), np.float64)
    for row, (edge_type,) in enumerate(direct):
        found = edges(edge_type)
        part = slice(int(ptr[row, 0]), int(ptr[row, -1]))
        target[part], weight[part] = found.target, found.weight
        if timed:
            time[part] = found.time
    return {"edge_ptr": ptr, "edge_target": target, "edge_weight": weight, "edge_time": time}


def _shared(
    shared: dict[int, MetaPath], edges: Edges, num_items: int, room: Room
) -> dict[str, NDArray]:
    """Number the values of all meta-paths through, and list each item's.

    Two passes: one counts, one fills.
    """
    offset, owner, degree = [0], [], []
    count = np.zeros((2, num_items + 1), np.int64)
    for number, first, second in _ends(shared, edges):
        useful = _useful(first, second)
        for side, (item, value) in enumerate(_sides(first, second)):
            count[side, 1:] += np.bincount(item[useful[value]], minlength=num_items)
        owner.append(np.full(len(useful), number, np.int32))
        degree.append(first.degree.astype(np.int32))
        offset.append(offset[-1] + len(useful))
    out: dict[str, NDArray] = {}
    cursor = []
    for side, name in enumerate(("out", "in")):
        ptr = out[f"{name}_ptr"] = room(f"{name}_ptr", (num_items + 1,), np.int64)
        np.cumsum(count[side], out=ptr)
        out[f"{name}_value"] = room(f"{name}_value", (int(ptr[-1]),), np.int32)
        cursor.append(ptr[:-1].copy())
    for place, (_, first, second) in enumerate(_ends(shared, edges)):
        useful = _useful(first, second)
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
    whole = np.concatenate(degree or none)
    # Preference: rarer first, then meta-path and node, which is the numbering itself.
    by_rank = np.argsort(whole, kind="stable").astype(np.int32)
    rank = np.empty_like(by_rank)
    rank[by_rank] = np.arange(len(by_rank), dtype=np.int32)
    small = {
        "owner": np.concatenate(owner or none),
        "node": np.concatenate(node or none),
        "degree": whole,
        "by_rank": by_rank,
        "rank": rank,
    }
    for name, values in small.items():
        out[name] = room(name, values.shape, np.int32)
        out[name][...] = values
    return out


def _ends(shared: dict[int, MetaPath], edges: Edges) -> Iterator[tuple[int, Adjacency, Adjacency]]:
    """Of each meta-path its number, the edges to values, and the edges from values by item."""
    for number, (first, second) in shared.items():
        yield number, edges(first), edges(second).reversed()


def _sides(
    first: Adjacency, second: Adjacency
) -> tuple[tuple[NDArray, NDArray], tuple[NDArray, NDArray]]:
    """Items and values of either side, by item, then value."""
    return (first.source, first.target), (second.source, second.target)


def _useful(first: Adjacency, second: Adjacency) -> NDArray[np.bool_]:
    """Which values join two different items, bool ``[size]``."""
    size = len(first.degree)
    into, out = first.degree, np.bincount(second.target, minlength=size)
    # A value whose only item is the same on either side joins nothing.
    ends = np.full((2, size), -1, np.int64)
    ends[0, first.target] = first.source
    ends[1, second.target] = second.source
    lone = (into == 1) & (out == 1) & (ends[0] == ends[1])
    useful: NDArray[np.bool_] = (into > 0) & (out > 0) & ~lone
    return useful
