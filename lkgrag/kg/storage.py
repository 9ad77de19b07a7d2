"""Graphs on disk: one parquet file of edges, one of nodes, a schema in JSON, and vectors of nodes if there are any."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch
from torch_geometric.data import HeteroData

from lkgrag.errors import LkgragError
from lkgrag.kg.names import Names
from lkgrag.kg.naming import base_name
from lkgrag.kg.sources.resolver import custom_sources
from lkgrag.utils.files import (
    read_json,
    read_parquet,
    read_safetensors,
    write_json,
    write_parquet,
    write_safetensors,
)

if TYPE_CHECKING:
    import os

VERSION = 1
SCHEMA, NODES, EDGES = "schema.json", "nodes.parquet", "edges.parquet"
#: The vectors ``x`` of nodes, by type; a graph without any has no such file.
VECTORS = "x.safetensors"
ADVICE = "delete the folder and build the graph again"
#: Edge attributes and their types; absent ones are empty columns.
ATTRIBUTES = {
    "weight": np.float32,
    "count": np.float32,
    "rating": np.float32,
    "time": np.float64,
}


def save_kg(data: HeteroData, folder: str | os.PathLike[str]) -> None:
    """Write a graph as ``nodes.parquet``, ``edges.parquet`` and ``schema.json``.

    ``nodes`` has the columns ``type index name``; ``edges`` has ``type source target`` and the
    attributes ``weight count rating time``. ``type`` of an edge is its place in the schema's list. With
    custom relations the schema has ``custom``, their classes by name. Vectors ``x`` of nodes go to
    ``x.safetensors``, and the schema's ``vectors`` lists their types.

    Raises:
        LkgragError: the folder cannot be written.
    """
    folder = Path(folder)
    nodes = [
        pd.DataFrame(
            {"type": t, "index": np.arange(len(data[t].name)), "name": data[t].name.tolist()}
        )
        for t in data.node_types
    ]
    edges = []
    for number, edge_type in enumerate(data.edge_types):
        store = data[edge_type]
        frame = {
            "type": np.full(store.num_edges, number, np.int32),
            "source": store.edge_index[0].cpu().numpy(),
            "target": store.edge_index[1].cpu().numpy(),
        }
        for name, kind in ATTRIBUTES.items():
            absent = np.full(store.num_edges, np.nan, kind)
            frame[name] = store[name].cpu().numpy() if name in store else absent
        edges.append(pd.DataFrame(frame))
    write_parquet(folder / NODES, pd.concat(nodes, ignore_index=True))
    write_parquet(folder / EDGES, pd.concat(edges, ignore_index=True) if edges else pd.DataFrame())
    schema = {
        "version": VERSION,
        "nodes": [
            {"type": t, "count": data[t].num_nodes, "named": bool(data[t].get("named", True))}
            for t in data.node_types
        ],
        "edges": [
            {
                "type": list(t),
                "count": data[t].num_edges,
                "attributes": [name for name in ATTRIBUTES if name in data[t]],
            }
            for t in data.edge_types
        ],
        "merged": list(data.merged),
        "left_out": dict(data.left_out),
        "temporal": bool(data.temporal),
        "follow_window": int(data.follow_window),
    }
    if data.get("custom"):
        schema["custom"] = dict(data.custom)
    vectors = {t: data[t].x for t in data.node_types if "x" in data[t]}
    if vectors:
        schema["vectors"] = list(vectors)
        write_safetensors(folder / VECTORS, vectors)
    else:
        (folder / VECTORS).unlink(missing_ok=True)
    # Last, so that a folder with a schema is whole.
    write_json(folder / SCHEMA, schema)


def load_kg(folder: str | os.PathLike[str]) -> HeteroData:
    """Read a graph that :func:`save_kg` wrote.

    Raises:
        LkgragError: a file is missing, broken, or of another version, or the custom relation sources of
            the graph are not those of this process.
    """
    folder = Path(folder)
    schema = read_json(folder / SCHEMA)
    if not isinstance(schema, dict) or schema.get("version") != VERSION:
        raise LkgragError(f"{folder / SCHEMA}: not a graph of version {VERSION}; build it again")
    _check_custom(folder / SCHEMA, schema)
    nodes, edges = read_parquet(folder / NODES, ADVICE), read_parquet(folder / EDGES, ADVICE)
    data = HeteroData()
    names = {t: rows["name"].tolist() for t, rows in nodes.groupby("type", sort=False)}
    for node in schema["nodes"]:
        store = data[node["type"]]
        store.name = Names(names.get(node["type"], []))
        store.num_nodes = node["count"]
        if node["type"] not in ("item", "user"):
            store.named = node["named"]
    if "vectors" in schema:
        _read_vectors(data, folder / VECTORS, schema["vectors"])
    groups = edges.groupby("type").indices if len(edges) else {}
    for number, edge in enumerate(schema["edges"]):
        rows = edges.iloc[groups.get(number, [])]
        if len(rows) != edge["count"]:
            raise LkgragError(f"{folder / EDGES}: edges are missing; delete the folder")
        store = data[tuple(edge["type"])]
        pair = rows[["source", "target"]].to_numpy(np.int64).T
        store.edge_index = torch.from_numpy(pair.copy())
        for name in edge["attributes"]:
            store[name] = torch.from_numpy(rows[name].to_numpy(ATTRIBUTES[name], copy=True))
    data.merged = list(schema["merged"])
    data.left_out = dict(schema["left_out"])
    data.temporal = bool(schema["temporal"])
    data.follow_window = int(schema["follow_window"])
    if "custom" in schema:
        data.custom = dict(schema["custom"])
    return data


def _read_vectors(data: HeteroData, path: Path, node_types: list[str]) -> None:
    """Put the vectors of a file on the nodes of some types."""
    vectors = read_safetensors(path)
    for node_type in node_types:
        x = vectors.get(node_type)
        if x is None or len(x) != data[node_type].num_nodes:
            raise LkgragError(f"{path}: vectors of '{node_type}' are missing; {ADVICE}")
        data[node_type].x = x


def _check_custom(path: Path, schema: dict[str, Any]) -> None:
    """Refuse a graph whose custom relations would be read as others, or others as custom ones."""
    recorded = schema.get("custom", {})
    here = custom_sources()
    for name, address in recorded.items():
        if name not in here:
            raise LkgragError(
                f"{path}: the relation '{name}' is made by {address}, which is not registered; install "
                "its package, or import it and call lkgrag.kg.register_relation_source"
            )
    for edge in schema["edges"]:
        name = base_name(edge["type"][1])
        if name in here and name not in recorded:
            raise LkgragError(
                f"{path}: the relation '{name}' comes from the data, but a custom relation source has "
                "this name here; rename the custom one"
            )
