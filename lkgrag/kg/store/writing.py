"""Write a graph into a database of ladybug: under a temporary name, relation by relation, then renamed."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from torch_geometric.data import HeteroData

from lkgrag.errors import ConfigError, DataError, LkgragError
from lkgrag.kg.base import REVERSE
from lkgrag.kg.clean_edges import clean_order
from lkgrag.kg.large.tables import TableKG
from lkgrag.kg.store.library import answer, explained, import_ladybug, make_database
from lkgrag.kg.store.schema import DEGREE, ITEM, META, TIME, USER, VERSION, WEIGHT, quoted
from lkgrag.utils.locks import clear, locked
from lkgrag.utils.memory import parse_bytes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from torch_geometric.typing import EdgeType

    #: Columns of some edges or nodes, of one length.
    Columns = dict[str, Any]

#: Rows of a file that are made at a time.
BLOCK = 1 << 20
#: Types of the columns in the database.
KINDS = {WEIGHT: "FLOAT", TIME: "DOUBLE", DEGREE: "INT64", "name": "STRING", "key": "STRING"}


def items_digest(ids: Iterable[str]) -> str:
    """A short text that differs for other items, or items in another order."""
    digest = hashlib.sha256()
    for item in ids:
        digest.update(json.dumps(item).encode() + b"\n")
    return digest.hexdigest()[:16]


def graph_digest(graph: HeteroData) -> str:
    """A short text that differs for other edges of a graph in memory; users do not count."""
    digest = hashlib.sha256()
    for edge_type in graph.edge_types:
        if USER in (edge_type[0], edge_type[2]):
            continue
        store = graph[edge_type]
        digest.update(json.dumps(edge_type).encode())
        for name in ("edge_index", "weight", "time"):
            if name in store:
                digest.update(np.ascontiguousarray(store[name].cpu().numpy()).data)
    return digest.hexdigest()[:16]


def write_ladybug(
    graph: HeteroData | TableKG,
    path: str | os.PathLike[str],
    items: Sequence[str] | None = None,
    overwrite: bool = False,
    memory: int | str = "1GB",
) -> dict[str, int]:
    """Write a graph into a database that :class:`~lkgrag.kg.LadybugStore` opens.

    Users and what they did stay out, because no path leads through them. Edges are written without loops and repetitions;
    inverses that only repeat a relation are not written. A relation between items and other nodes has a column
    ``degree``: how many edges the other node has.

    Args:
        graph: in memory, or in Parquet files, of which a block at a time is in memory.
        path: of the new file.
        items: ids of the items, by which :meth:`~lkgrag.Ranker.with_graph_store` knows them; also a column ``key``.
        overwrite: replace a database that is there.
        memory: bytes that the database may take meanwhile, or in words as ``1GB``.

    Returns:
        Number of edges by relation.

    Raises:
        ConfigError: ladybug is not installed, or there is such a file already.
        LkgragError: the folder cannot be written, or the disk is full.
    """
    path = Path(path)
    import_ladybug()
    if path.is_dir():
        raise ConfigError(f"out={path}: a folder; a database is a file, so name a file")
    if path.exists() and not overwrite:
        raise ConfigError(f"out={path}: is there already; add overwrite=true, or name another file")
    if items is not None and len(items) != int(graph[ITEM].num_nodes):
        raise DataError(f"{len(items)} ids of items, but the graph has {graph[ITEM].num_nodes}")
    limit = parse_bytes(memory, "memory") if isinstance(memory, str) else memory
    advice = "free space, give more memory=, or choose another out="
    folder = path.with_name(f".{path.name}.tmp")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with locked(folder / ".lock", wait=False, what=f"out={path}"):
            try:
                # What a process that was killed has left.
                clear(folder)
                with explained(path, "cannot be written", advice):
                    counts = _Writer(graph, folder, limit).write(items)
                made = folder / _Writer.FILE
                with open(made, "rb") as file:
                    os.fsync(file.fileno())
                os.replace(made, path)
            finally:
                shutil.rmtree(folder, ignore_errors=True)
    except OSError as error:
        raise LkgragError(
            f"cannot write {path}: {error.strerror or error}; free space, or choose another out="
        ) from error
    return counts


class _Writer:
    """Fills a database in a folder."""

    FILE = "graph"

    def __init__(self, graph: HeteroData | TableKG, folder: Path, memory: int) -> None:
        self.graph, self.folder = graph, folder
        self.types = [e for e in graph.edge_types if USER not in (e[0], e[2])]
        self.nodes = [t for t in graph.node_types if t != USER]
        self.taken = {META}
        self.has_times = bool(graph.get("temporal", False))
        # One thread copies rows in their order, so that a node's place in its table is its index.
        self.database = make_database(folder / self.FILE, memory)
        # Only here: it belongs to an extra, which is installed.
        from ladybug import Connection

        self.connection = Connection(self.database, num_threads=1)

    def write(self, items: Sequence[str] | None) -> dict[str, int]:
        """Write nodes, relations, and what graph it is; the number of edges by relation."""
        try:
            node_tables = {t: self._write_nodes(t, items) for t in self.nodes}
            tables, counts = [], {}
            for edge_type in self._stored():
                name, properties, number = self._write_edges(edge_type, node_tables)
                tables.append((name, edge_type, properties))
                counts[name] = number
            meta = {
                "version": VERSION,
                "edge_types": self.types,
                "tables": tables,
                "nodes": node_tables,
                "edges": counts,
                "items": None if items is None else items_digest(items),
                "digest": graph_digest(self.graph) if isinstance(self.graph, HeteroData) else None,
            }
            self.connection.execute(f"CREATE NODE TABLE {META}(graph STRING, PRIMARY KEY(graph))")
            self.connection.execute(f"CREATE (:{META} {{graph: $g}})", {"g": json.dumps(meta)})
        finally:
            self.connection.close()
            self.database.close()
        return counts

    def _named(self, *wishes: str) -> str:
        """A free name of a table: the database takes no two that differ in case alone."""
        words = [re.sub(r"\W", "_", wish) for wish in wishes]
        numbered = (f"{words[-1]}_{n}" for n in range(2, len(self.taken) + 3))
        name = next(w for w in (*words, *numbered) if w.lower() not in self.taken)
        self.taken.add(name.lower())
        return name

    def _write_nodes(self, node_type: str, items: Sequence[str] | None) -> str:
        """Write the nodes of a type; the name of their table."""
        name = self._named(node_type)
        store = self.graph[node_type]
        number = int(store.num_nodes)
        texts: dict[str, Sequence[str]] = {}
        if isinstance(self.graph, HeteroData) and "name" in store:
            texts["name"] = store.name
        if node_type == ITEM and items is not None:
            texts["key"] = items

        def blocks() -> Iterator[Columns]:
            for first in range(0, number, BLOCK):
                last = min(first + BLOCK, number)
                part = {key: [text[n] for n in range(first, last)] for key, text in texts.items()}
                yield {"id": np.arange(first, last), **part}

        columns = "".join(f", {quoted(key)} {KINDS[key]}" for key in texts)
        table = quoted(name)
        self.connection.execute(f"CREATE NODE TABLE {table}(id INT64{columns}, PRIMARY KEY(id))")
        self._copy(name, blocks())
        wrong = f"MATCH (n:{table}) WHERE n.id <> offset(id(n)) RETURN count(*)"
        if answer(self.connection, wrong).get_next() != [0]:
            raise LkgragError(f"the database does not keep the order of {node_type}: report it")
        return name

    def _stored(self) -> list[EdgeType]:
        """The relations that are written: without inverses that only repeat another."""
        if isinstance(self.graph, TableKG):
            return [e for e in self.types if e[1] in self.graph.sizes]
        out = []
        for edge_type in self.types:
            source, relation, target = edge_type
            forward = (target, relation.removeprefix(REVERSE), source)
            if not (
                forward != edge_type and forward in self.types and self._repeats(edge_type, forward)
            ):
                out.append(edge_type)
        return out

    def _repeats(self, edge_type: EdgeType, forward: EdgeType) -> bool:
        """Whether a relation has the edges of another one, turned."""
        one, other = self._clean(edge_type), self._clean(forward)
        if len(one["from"]) != len(other["from"]) or one.keys() != other.keys():
            return False
        order = np.lexsort((other["from"], other["to"]))
        return all(
            np.array_equal(one[key], other[turned][order], equal_nan=key == TIME)
            for key, turned in zip(one, ("to", "from", *[*one][2:]), strict=True)
        )

    def _clean(self, edge_type: EdgeType) -> Columns:
        """The edges of a relation in memory, as paths count them."""
        store, joins_one_type = self.graph[edge_type], edge_type[0] == edge_type[2]
        source, target = (x.cpu().numpy().astype(np.int64) for x in store.edge_index)
        out: Columns = {"from": source, "to": target}
        if joins_one_type and "weight" in store:
            out[WEIGHT] = store.weight.cpu().numpy().astype(np.float32)
        if self.has_times and "time" in store:
            out[TIME] = store.time.cpu().numpy().astype(np.float64)
        size = int(self.graph[edge_type[2]].num_nodes)
        weight = out.get(WEIGHT, np.broadcast_to(np.float32(1), len(source)))
        order = clean_order(source, target, weight, size, joins_one_type)
        return out if order is None else {key: values[order] for key, values in out.items()}

    def _blocks(self, edge_type: EdgeType) -> Iterator[Columns]:
        """The columns of a relation, block by block."""
        if isinstance(self.graph, TableKG):
            names = ["source", "target", WEIGHT] + ([TIME] if self.has_times else [])
            for block in self.graph.blocks(edge_type[1], names):
                yield {"from": block.pop("source"), "to": block.pop("target"), **block}
            return
        edges = self._clean(edge_type)
        if (edges_of := (edge_type[0] == ITEM) - (edge_type[2] == ITEM)) != 0:
            ends = edges["to" if edges_of > 0 else "from"]
            edges[DEGREE] = np.bincount(ends)[ends] if len(ends) else ends
        for first in range(0, len(edges["from"]), BLOCK) or (0,):
            yield {key: values[first : first + BLOCK] for key, values in edges.items()}

    def _write_edges(
        self, edge_type: EdgeType, node_tables: dict[str, str]
    ) -> tuple[str, list[str], int]:
        """Write a relation: the name of its table, its properties, and the number of edges."""
        source, relation, target = edge_type
        name = self._named(relation, f"{source}_{relation}_{target}")
        ends = " TO ".join(quoted(node_tables[n]) for n in (source, target))
        blocks = self._blocks(edge_type)
        first = next(blocks, None)
        properties = [key for key in first or () if key not in ("from", "to")]
        columns = "".join(f", {quoted(key)} {KINDS[key]}" for key in properties)
        table = quoted(name)
        self.connection.execute(f"CREATE REL TABLE {table}(FROM {ends}{columns})")
        number = self._copy(name, _chained(first, blocks))
        count = f"MATCH ()-[e:{table}]->() RETURN count(*)"
        if answer(self.connection, count).get_next() != [number]:
            raise LkgragError(f"the database did not keep all {number} edges of {name}: report it")
        return name, properties, number

    def _copy(self, name: str, blocks: Iterator[Columns]) -> int:
        """Copy columns into a table by way of a Parquet file; the number of rows."""
        file, number = self.folder / "part.parquet", 0
        writer = None
        try:
            for block in blocks:
                table = pa.table({key: _arrow(key, values) for key, values in block.items()})
                writer = writer or pq.ParquetWriter(file, table.schema)
                writer.write_table(table)
                number += len(table)
        finally:
            if writer is not None:
                writer.close()
        if number:
            self.connection.execute(f"COPY {quoted(name)} FROM {json.dumps(str(file))}")
        file.unlink(missing_ok=True)
        return number


def _arrow(key: str, values: Any) -> pa.Array:
    """A column as it is copied; an unknown time is null."""
    return pa.array(values, from_pandas=key == TIME)


def _chained(first: Columns | None, rest: Iterator[Columns]) -> Iterator[Columns]:
    """Blocks of which the first was looked at."""
    if first is not None:
        yield first
        yield from rest
