"""A custom graph of the interactions on disk: tensors, and one JSON file with the names."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import torch

from lkgrag.data.own_graph import OwnGraph
from lkgrag.errors import LkgragError
from lkgrag.utils.files import read_json, read_safetensors, write_json, write_safetensors

if TYPE_CHECKING:
    from pathlib import Path

NAMES, EDGES = "graph.json", "graph.safetensors"


def save_graph(graph: OwnGraph, folder: Path) -> None:
    """Write the graph.

    Raises:
        LkgragError: the folder cannot be written.
    """
    types = list(graph.edges)
    tensors = {
        f"edges.{n}": torch.from_numpy(np.ascontiguousarray(graph.edges[t]))
        for n, t in enumerate(types)
    }
    tensors |= {f"weights.{types.index(t)}": torch.from_numpy(w) for t, w in graph.weights.items()}
    write_safetensors(folder / EDGES, tensors)
    names = {
        "types": [list(t) for t in types],
        "names": graph.names,
        "counts": graph.counts,
        "merged": graph.merged,
        "left_out": graph.left_out,
    }
    write_json(folder / NAMES, names)


def load_graph(folder: Path) -> OwnGraph | None:
    """Read what :func:`save_graph` wrote; None where there is nothing.

    Raises:
        LkgragError: a file is missing or broken.
    """
    if not (folder / NAMES).is_file():
        return None
    meta, tensors = read_json(folder / NAMES), read_safetensors(folder / EDGES)
    try:
        types = [(source, name, target) for source, name, target in meta["types"]]
        return OwnGraph(
            names=meta["names"],
            counts=meta["counts"],
            edges={t: tensors[f"edges.{n}"].numpy() for n, t in enumerate(types)},
            weights={
                t: tensors[f"weights.{n}"].numpy()
                for n, t in enumerate(types)
                if f"weights.{n}" in tensors
            },
            merged=meta["merged"],
            left_out=meta["left_out"],
        )
    except (KeyError, ValueError, TypeError) as error:
        raise LkgragError(f"{folder / NAMES}: no stored graph ({error}); train again") from error
