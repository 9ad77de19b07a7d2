"""A graph in a database of ladybug: PyG's ``GraphStore``, and reads of rows by one query for a relation."""

from __future__ import annotations

import os
from pathlib import Path
from threading import RLock
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch_geometric.data.graph_store import EdgeAttr, EdgeLayout, GraphStore

from lkgrag.errors import ConfigError, DataError
from lkgrag.kg.base import REVERSE
from lkgrag.kg.store.library import LEAST, answer, explained, open_database
from lkgrag.kg.store.rows import RowReads, Rows
from lkgrag.kg.store.schema import DEGREE, TIME, WEIGHT, Schema, Table, quoted, read_schema
from lkgrag.utils.memory import parse_bytes

if TYPE_CHECKING:
    import ladybug
    from numpy.typing import NDArray
    from torch_geometric.typing import EdgeTensorType, EdgeType

#: Nodes of a type whose degrees are counted at a time.
COUNTED = 1 << 16
#: Bytes of the pages that a table takes, and a prepared statement.
TABLE, STATEMENT = 1 << 20, 2 << 20
#: Bytes of the pages while the tables are counted. Those that are not used take nothing.
FIRST = 1 << 30


class LadybugStore(GraphStore, RowReads):
    """Reads a graph from a database of `ladybug <https://pypi.org/project/ladybug/>`_, without holding a relation.

    A database that ``lkgrag.export format=ladybug`` wrote gives the paths of that graph. In another one, the node table
    ``item`` must be there. Its relations are read in both directions, and a column ``weight`` of a relation between
    items weighs its edges. A node's index is its place in its table.

    Args:
        path: of the database.
        memory: bytes of the pages that the database keeps, or in words as ``256MB``; at least 32 MiB, and 1 MiB for each
            table.
        threads: of a query.

    Attributes:
        path: of the database.
        schema: its graph.
        edge_types: as of :class:`~lkgrag.kg.RowReads`.

    Raises:
        ConfigError: ladybug is not installed, or ``memory`` is no amount.
        DataError: there is no such database, or it is locked, damaged, of another version, or lacks a table.
    """

    def __init__(
        self, path: str | os.PathLike[str], memory: int | str = "256MB", threads: int = 1
    ) -> None:
        super().__init__()
        self.path = Path(path)
        self.name = str(self.path)
        self.memory = parse_bytes(memory, "memory") if isinstance(memory, str) else memory
        self.threads = threads
        self._lock = RLock()
        self._connection: ladybug.Connection | None = None
        self._prepared: set[str] = set()
        # Statements of a connection, before the tables are counted.
        self._most = FIRST // STATEMENT
        self._open()

    def _open(self) -> None:
        # Each table takes memory, and only the open database tells their number.
        self._database = open_database(self.path, max(self.memory, FIRST), self.threads)
        self._connect()
        self.schema: Schema = read_schema(self.path, self._ask)
        tables = len(self.schema.tables) + len(self.schema.node_tables)
        pages = max(self.memory, LEAST + tables * TABLE)
        self._most = (pages - LEAST // 2 - tables * TABLE) // STATEMENT
        if pages < FIRST:
            self.close()
            self._connection = None
            self._database = open_database(self.path, pages, self.threads)
            self._connect()
        self.edge_types = self.schema.edge_types
        self._sizes: dict[str, int] = {}
        for node in self.schema.node_tables:
            self.num_nodes(node)

    def _connect(self) -> None:
        """Open a connection, and close the one before with all statements that it has prepared."""
        # Only here: it belongs to an extra, which is installed.
        from ladybug import Connection

        with explained(self.path, "cannot be opened"):
            if self._connection is not None:
                self._connection.close()
            self._connection = Connection(self._database, num_threads=self.threads)
        self._prepared = set()

    def _answer(self, query: str, parameters: dict[str, Any] | None = None) -> ladybug.QueryResult:
        """Run a statement. The caller holds the lock.

        A connection keeps each statement that it has prepared, with buffers, as long as it lives.
        """
        if query not in self._prepared:
            if len(self._prepared) >= self._most:
                self._connect()
            self._prepared.add(query)
        assert self._connection is not None
        return answer(self._connection, query, parameters)

    def __getstate__(self) -> dict[str, Any]:
        """The arguments: a copy in another process opens the database again."""
        return {"path": self.path, "memory": self.memory, "threads": self.threads}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Open the database of a pickled store."""
        LadybugStore.__init__(self, **state)

    def close(self) -> None:
        """Close the database."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._database.close()

    def num_nodes(self, node_type: str) -> int:
        """Number of nodes of a type.

        Raises:
            DataError: there is no such type.
        """
        if node_type not in self._sizes:
            table = self.schema.node_tables.get(node_type)
            if table is None:
                raise DataError(f"{self.path}: there are no nodes {node_type}")
            ((self._sizes[node_type],),) = self._ask(f"MATCH (n:{quoted(table)}) RETURN count(*)")
        return self._sizes[node_type]

    def has_times(self, edge_type: EdgeType) -> bool:
        """Whether edges of a type exist only from a time on."""
        return TIME in self._table(edge_type)[0].properties

    def stored(self, edge_type: EdgeType) -> tuple[EdgeType, bool]:
        """The edge type of the table that a type is read from, and whether it is read backwards."""
        table, is_back = self._table(edge_type)
        return table.edge_type, is_back

    def _table(self, edge_type: EdgeType) -> tuple[Table, bool]:
        tables = self.schema.tables
        if edge_type in tables:
            return tables[edge_type], False
        forward = (edge_type[2], edge_type[1].removeprefix(REVERSE), edge_type[0])
        if forward not in tables:
            raise DataError(f"{self.path}: there is no relation {'-'.join(edge_type)}")
        return tables[forward], True

    def get_rows(self, edge_type: EdgeType, nodes: NDArray[np.int64], into: bool) -> Rows:
        """Read the edges of some nodes by one query, whose cost follows their rows.

        Args:
            edge_type: one of :attr:`edge_types`.
            nodes: int64 ``[N]``, rising.
            into: read the edges that lead to ``nodes``.

        Raises:
            DataError: the database could not answer.
        """
        table, is_back = self._table(edge_type)
        turned = into != is_back
        near, far = table.edge_type[:: -2 if turned else 2]
        query = _rows_query(table, self.schema, near, far, turned)
        with self._lock, explained(self.path, f"the rows of {table.name} cannot be read"):
            found = self._answer(query, {"nodes": nodes.tolist()}).get_as_arrow(-1)
        columns = [column.to_numpy() for column in found.columns]
        # A node without edges has a line without another end.
        keep = ~np.isnan(columns[1]) if columns[1].dtype.kind == "f" else slice(None)
        ends = tuple(x[keep].astype(np.int64) for x in columns[:2])
        extra = dict(zip(table.properties, (x[keep] for x in columns[2:]), strict=True))
        for name, values in extra.items():
            if name != TIME and np.isnan(values.astype(np.float64)).any():
                raise DataError(
                    f"{self.path}: an edge of {table.name} has no {name}; fill the column, or drop it"
                )
        weight, time, degree = (extra.get(name) for name in (WEIGHT, TIME, DEGREE))
        return Rows.of(
            nodes,
            (ends[0], ends[1]),
            near == far,
            None if weight is None else weight.astype(np.float32),
            None if time is None else np.where(np.isnan(time), -np.inf, time.astype(np.float64)),
            # The column counts the edges of the end that is no item.
            None if degree is None or far == "item" else degree.astype(np.int64),
        )

    def get_degrees(self, edge_type: EdgeType) -> NDArray[np.int32]:
        """Count the edges that lead to each target, in one pass by ranges of targets."""
        table, is_back = self._table(edge_type)
        source, target = edge_type[0], edge_type[2]
        out = np.zeros(self.num_nodes(target), np.int32)
        arrow = f"-[e:{quoted(table.name)}]-"
        arrow = f"{arrow}>" if is_back else f"<{arrow}"
        query = (
            f"MATCH (n:{self._label(target)}){arrow}(m:{self._label(source)}) "
            "WHERE offset(id(n)) >= $first AND offset(id(n)) < $last "
            "RETURN offset(id(n)), count(DISTINCT id(m))"
        )
        for first in range(0, len(out), COUNTED):
            bounds = {"first": first, "last": first + COUNTED}
            with self._lock, explained(self.path, f"{table.name} cannot be counted"):
                found = self._answer(query, bounds).get_as_arrow(-1)
            node, count = (column.to_numpy() for column in found.columns)
            out[node] = count
        return out

    def _label(self, node_type: str) -> str:
        return quoted(self.schema.node_tables[node_type])

    def _ask(self, query: str) -> list[list[Any]]:
        """The rows of a small result."""
        with self._lock, explained(self.path, "cannot be read"):
            rows = self._answer(query).get_all()
        return [list(row) for row in rows]

    def get_all_edge_attrs(self) -> list[EdgeAttr]:
        """The relations of the database, for PyG."""
        return [
            EdgeAttr(e, EdgeLayout.COO, False, (self.num_nodes(e[0]), self.num_nodes(e[2])))
            for e in self.schema.tables
        ]

    def _get_edge_index(self, edge_attr: EdgeAttr) -> EdgeTensorType | None:
        """A whole relation, as PyG asks for it; it must fit into memory."""
        table = self.schema.tables.get(edge_attr.edge_type)
        if table is None or edge_attr.layout != EdgeLayout.COO:
            return None
        source, _, target = table.edge_type
        query = (
            f"MATCH (a:{self._label(source)})-[e:{quoted(table.name)}]->(b:{self._label(target)}) "
            "RETURN offset(id(a)), offset(id(b))"
        )
        with self._lock, explained(self.path, f"{table.name} cannot be read"):
            found = self._answer(query).get_as_arrow(-1)
        row, column = (torch.from_numpy(c.to_numpy().astype(np.int64)) for c in found.columns)
        return row, column

    def _put_edge_index(self, edge_index: EdgeTensorType, edge_attr: EdgeAttr) -> bool:
        raise ConfigError(f"{self.path}: open for reading only; write a graph by lkgrag.export")

    def _remove_edge_index(self, edge_attr: EdgeAttr) -> bool:
        raise ConfigError(f"{self.path}: open for reading only; write a graph by lkgrag.export")


def _rows_query(table: Table, schema: Schema, near: str, far: str, turned: bool) -> str:
    """The query of the rows of some nodes.

    ``OPTIONAL MATCH`` makes the database look up the keys, mark their nodes, and scan the marked rows only; a plain
    ``MATCH`` of a list of keys scans the relation or all keys.
    """
    label, key = quoted(schema.node_tables[near]), schema.keys.get(near)
    arrow = f"-[e:{quoted(table.name)}]-"
    arrow = f"<{arrow}" if turned else f"{arrow}>"
    end = f"{arrow}(m:{quoted(schema.node_tables[far])})"
    columns = "".join(f", e.{quoted(name)}" for name in table.properties)
    if key is None:
        start = f"MATCH (n:{label}){end} WHERE offset(id(n)) IN $nodes"
    else:
        start = f"UNWIND $nodes AS x MATCH (n:{label} {{{quoted(key)}: x}}) OPTIONAL MATCH (n){end}"
    return f"{start} RETURN offset(id(n)), offset(id(m)){columns}"
