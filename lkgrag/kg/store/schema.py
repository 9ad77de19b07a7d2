"""What a database holds of a graph: tables of nodes and relations, and how they are read."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lkgrag.errors import DataError
from lkgrag.kg.base import REVERSE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from torch_geometric.typing import EdgeType

#: The table that says which graph a database holds; its only row is JSON.
META, VERSION = "lkgrag_graph", 1
ITEM, USER = "item", "user"
#: Properties of relations that are read.
WEIGHT, TIME, DEGREE = "weight", "time", "degree"


def quoted(name: str) -> str:
    """A name in a query."""
    return f"`{name}`"


@dataclass(frozen=True)
class Table:
    """A relation's table.

    Attributes:
        name: in the database.
        edge_type: that it holds.
        properties: those of :data:`WEIGHT`, :data:`TIME` and :data:`DEGREE` that it has.
    """

    name: str
    edge_type: EdgeType
    properties: tuple[str, ...]


@dataclass(frozen=True)
class Schema:
    """The graph of a database.

    Attributes:
        edge_types: in the order by which meta-paths are numbered.
        tables: by the edge type that each holds.
        node_tables: name of the table by node type.
        keys: name of the column by node type whose value is a node's index; absent where no column is.
        items: digest of the items' ids; None if unknown.
        digest: of the edges; None if unknown.
    """

    edge_types: list[EdgeType]
    tables: dict[EdgeType, Table]
    node_tables: dict[str, str]
    keys: dict[str, str]
    items: str | None = None
    digest: str | None = None


def read_schema(path: Path, ask: Callable[[str], list[list[Any]]]) -> Schema:
    """Find out which graph a database holds.

    Args:
        path: of the database, for messages.
        ask: runs a query, and gives the rows of its result.

    Raises:
        DataError: a table is missing, or there is no node type ``item``, or another version wrote it.
    """
    kinds = {name: kind for name, kind in ask("CALL show_tables() RETURN name, type")}
    if META in kinds:
        return _of_ours(path, ask, kinds)
    return _of_others(path, ask, kinds)


def _of_ours(path: Path, ask: Callable[[str], list[list[Any]]], kinds: dict[str, str]) -> Schema:
    """The schema that the writer stored."""
    rows = ask(f"MATCH (m:{META}) RETURN m.graph")
    try:
        meta = json.loads(rows[0][0])
        version = meta["version"]
    except (IndexError, TypeError, ValueError, KeyError):
        meta, version = {}, None
    if version != VERSION:
        raise DataError(
            f"{path}: a graph of format {version}, but this lkgrag reads {VERSION}; write it again: "
            "python -m lkgrag.export format=ladybug overwrite=true"
        )
    tables = {}
    for name, (source, relation, target), properties in meta["tables"]:
        edge_type = (source, relation, target)
        tables[edge_type] = Table(name, edge_type, tuple(properties))
    wanted = {t.name: "relation" for t in tables.values()}
    wanted |= {name: "node" for name in meta["nodes"].values()}
    for name, kind in wanted.items():
        if name not in kinds:
            raise DataError(
                f"{path}: the {kind} table {name} is missing; write it again: "
                "python -m lkgrag.export format=ladybug overwrite=true"
            )
    return Schema(
        [(s, r, t) for s, r, t in meta["edge_types"]],
        tables,
        meta["nodes"],
        dict.fromkeys(meta["nodes"], "id"),
        meta["items"],
        meta["digest"],
    )


def _of_others(path: Path, ask: Callable[[str], list[list[Any]]], kinds: dict[str, str]) -> Schema:
    """The tables as they are, named as by PyG's backend; inverses are read backwards."""
    nodes = [name for name, kind in kinds.items() if kind == "NODE"]
    if ITEM not in nodes:
        raise DataError(
            f"{path}: no node table 'item', only {', '.join(sorted(nodes)) or 'nothing'}; name the items' table item"
        )
    tables = {}
    for name in sorted(n for n, kind in kinds.items() if kind == "REL"):
        columns = [row[0] for row in ask(f"CALL table_info('{name}') RETURN name")]
        for source, target in ask(
            f"CALL show_connection('{name}') RETURN `source table name`, `destination table name`"
        ):
            edge_type = (source, name, target)
            weighs = source == target and WEIGHT in columns
            tables[edge_type] = Table(name, edge_type, (WEIGHT,) if weighs else ())
    edge_types: list[EdgeType] = []
    for source, relation, target in sorted(tables):
        edge_types.append((source, relation, target))
        back = (target, REVERSE + relation, source)
        if back not in tables and not relation.startswith(REVERSE):
            edge_types.append(back)
    keys = {}
    for node in nodes:
        columns = ask(f"CALL table_info('{node}') RETURN name, type, `primary key`")
        (key,) = [name for name, kind, is_key in columns if is_key and kind == "INT64"] or [None]
        # Indices are places in the table, which may equal the key.
        if key is not None:
            where = f"n.{quoted(key)} <> offset(id(n))"
            if not ask(f"MATCH (n:{quoted(node)}) WHERE {where} RETURN count(*)")[0][0]:
                keys[node] = key
    return Schema(edge_types, tables, {n: n for n in nodes}, keys)
