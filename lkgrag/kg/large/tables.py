"""A graph in Parquet files, read relation by relation."""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from lkgrag.errors import DataError, RunError
from lkgrag.kg.base import REVERSE
from lkgrag.utils.files import read_json
from lkgrag.utils.parquet import open_parquet
from lkgrag.utils.parts import count_rows

if TYPE_CHECKING:
    from collections.abc import Iterator

    from numpy.typing import NDArray
    from torch import Tensor
    from torch_geometric.typing import EdgeType

#: Written last, so that a folder with it is complete.
META = "graph.json"
VERSION = 1
#: Rows that are read at a time.
BLOCK = 1 << 20
ATTRIBUTES = ("weight", "count", "rating", "time")


@dataclass
class _Nodes:
    num_nodes: int


class _Edges(dict[str, "Tensor"]):
    """The tensors of an edge type, as attributes."""

    def __getattr__(self, name: str) -> Tensor:
        try:
            return self[name]
        except KeyError:
            raise AttributeError(name) from None


@dataclass(frozen=True)
class SortedEdges:
    """Edges by source, then target, without loops and repetitions.

    Attributes:
        indptr: int64 ``[num_sources + 1]``.
        target: int32 ``[E]``, mapped from a file without a name.
        weight: float32 ``[E]``, likewise.
        time: float64 ``[E]``, likewise; None if the graph is not temporal.
    """

    indptr: NDArray[np.int64]
    target: NDArray[np.int32]
    weight: NDArray[np.float32]
    time: NDArray[np.float64] | None


class TableKG:
    """A graph whose relations are in Parquet files, as ``lkgrag.count`` writes them.

    :class:`~lkgrag.paths.PathFinder` reads it in place of a ``HeteroData``. ``graph[edge_type]`` holds
    ``edge_index`` (int64 ``[2, E]``) and the attributes of :func:`~lkgrag.kg.build_kg` for that relation, and
    ``graph["item"]`` its ``num_nodes``.

    Args:
        folder: that holds ``graph.json`` and a folder for each relation.

    Attributes:
        edge_types: in the order of :func:`~lkgrag.kg.build_kg`.
        node_types: ``item`` and, with users, ``user``.
        sizes: number of edges by relation, of those that have files.
        key: that tells this graph from others.

    Raises:
        RunError: the folder holds no finished graph, or one of another version.
    """

    def __init__(self, folder: str | os.PathLike[str]) -> None:
        self.folder = Path(folder)
        if not (self.folder / META).is_file():
            raise RunError(
                f"{self.folder}: holds no finished graph; run lkgrag.count again, and it goes on"
            )
        meta = read_json(self.folder / META)
        if not isinstance(meta, dict) or meta.get("version") != VERSION:
            raise RunError(
                f"{self.folder / META}: of another version; count anew with overwrite=true"
            )
        self._sizes: dict[str, int] = meta["nodes"]
        self._files: dict[str, list[str]] = meta["files"]
        self._settings = {key: meta[key] for key in ("temporal", "follow_window")}
        self.sizes: dict[str, int] = meta["edges"]
        self.key: str = meta["key"]
        self.node_types = list(self._sizes)
        self.edge_types: list[EdgeType] = [(s, r, t) for s, r, t in meta["edge_types"]]

    def get(self, name: str, default: Any = None) -> Any:
        """A setting of the graph, ``temporal`` or ``follow_window``."""
        return self._settings.get(name, default)

    def files(self, relation: str) -> list[Path]:
        """The files of a relation, in the order of its edges.

        Raises:
            DataError: one is missing.
        """
        paths = [self.folder / relation / name for name in self._files[relation]]
        for path in paths:
            if not path.is_file():
                raise DataError(f"{path}: missing; count anew with overwrite=true")
        return paths

    @cached_property
    def _forward(self) -> dict[EdgeType, EdgeType]:
        """The stored edge type of each one that is read from another's files."""
        return {
            (s, r, t): (t, r.removeprefix(REVERSE), s)
            for s, r, t in self.edge_types
            if r not in self._files
        }

    def __getitem__(self, key: str | EdgeType) -> Any:
        """The nodes or edges of a type; edges are read from the files into memory."""
        if isinstance(key, str):
            return _Nodes(self._sizes[key])
        forward = self._forward.get(key, key)
        tables = [_read(path) for path in self.files(forward[1])]
        table = pa.concat_tables(tables, promote_options="permissive")
        index = np.stack([table[end].to_numpy().astype(np.int64) for end in ("source", "target")])
        order = np.arange(index.shape[1])
        if forward != key:
            index = index[::-1]
            order = np.lexsort((index[1], index[0]))
        out = _Edges(edge_index=torch.from_numpy(np.ascontiguousarray(index[:, order])))
        for name in ATTRIBUTES:
            if name in table.column_names and (name != "time" or self._has_time(forward)):
                values = table[name].to_numpy()
                kind = np.float32 if name == "count" else values.dtype
                out[name] = torch.from_numpy(np.ascontiguousarray(values.astype(kind)[order]))
        return out

    def _has_time(self, edge_type: EdgeType) -> bool:
        return edge_type[1] == "rated" or bool(self._settings["temporal"])

    def blocks(self, relation: str, columns: list[str]) -> Iterator[dict[str, NDArray]]:
        """Some columns of a relation's edges, block by block; unknown values are NaN."""
        for path in self.files(relation):
            try:
                with open_parquet(path) as file:
                    for batch in file.iter_batches(BLOCK, columns=columns):
                        yield {n: batch[n].to_numpy(zero_copy_only=False) for n in columns}
            except (pa.ArrowException, OSError, ValueError) as error:
                raise _broken(path, error) from error

    def sorted_edges(self, edge_type: EdgeType) -> SortedEdges | None:
        """The edges of a relation between items, without holding them in memory.

        Returns:
            None where the relation is stored in another order.
        """
        relation = edge_type[1]
        if edge_type[0] != "item" or edge_type[2] != "item" or relation not in self._files:
            return None
        number = sum(map(count_rows, self.files(relation)))
        names = ["target", "weight"] + (["time"] if self._settings["temporal"] else [])
        kinds = {"target": np.int32, "weight": np.float32, "time": np.float64}
        arrays = {name: _mapped(self.folder, number, kinds[name]) for name in names}
        size = np.zeros(self._sizes["item"] + 1, np.int64)
        begin = 0
        for block in self.blocks(relation, ["source", *names]):
            source = block["source"]
            end = begin + len(source)
            if end > number:
                break
            first = np.flatnonzero(np.diff(source, prepend=-1))
            # A source may go on in the next block.
            size[source[first] + 1] += np.diff(first, append=len(source))
            for name in names:
                arrays[name][begin:end] = block[name]
            begin = end
        return SortedEdges(np.cumsum(size), arrays["target"], arrays["weight"], arrays.get("time"))


def _mapped(folder: Path, number: int, kind: Any) -> NDArray[Any]:
    """An array in a file of its own, which is gone when nothing refers to the array."""
    if not number:
        return np.zeros(0, kind)
    # Not closed here: the mapping keeps it.
    file = tempfile.TemporaryFile(dir=folder)  # noqa: SIM115
    return np.memmap(file, dtype=kind, mode="w+", shape=(number,))


def _read(path: Path) -> pa.Table:
    try:
        return pq.read_table(path)
    except (pa.ArrowException, OSError, ValueError) as error:
        raise _broken(path, error) from error


def _broken(path: Path, error: Exception) -> DataError:
    first = str(error).splitlines()[0] if str(error) else type(error).__name__
    return DataError(f"{path}: broken ({first}); delete it, and count again")
