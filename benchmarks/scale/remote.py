"""A graph behind PyG's remote interfaces: in a graph database, and ranked from mapped files."""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd
import torch

from benchmarks.common import say
from benchmarks.scale.graph import asked
from benchmarks.scale.memory import alone, anonymous_mib
from benchmarks.scale.synthetic import make, prompts
from lkgrag.config import KGConfig, PathsConfig
from lkgrag.errors import LkgragError
from lkgrag.kg import RemoteKG, build_kg
from lkgrag.paths import PathFinder

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

#: No cap, whose choice among equals would depend on the order of the relations.
EVERY = PathsConfig(max_per_pair=64)


def measure(scale: int, quick: bool, seed: int) -> dict[str, Any]:
    """Put a graph into ladybug, read it by PyG's interfaces, and compare the paths with those in memory.

    Args:
        scale: number of communities of Beauty's size.
        quick: fewer prompts.
        seed: of data and prompts.
    """
    try:
        import ladybug  # noqa: F401
    except ImportError:
        say("remote: ladybug is not installed; left out")
        return {}
    found = alone(one, scale, quick, seed)
    say(
        f"remote: {found['edges']:,} edges from ladybug, indexed in {found['index_seconds']:.1f} s, "
        f"{found['prompts']} prompts with the same {found['paths']:,} paths"
    )
    return found


def one(scale: int, quick: bool, seed: int) -> dict[str, Any]:
    """The whole of it; the paths must be equal.

    Raises:
        LkgragError: they are not.
    """
    import ladybug

    torch.set_num_threads(1)
    made = make(scale, seed)
    x = made.interactions
    config = KGConfig(behaviour=False, users=False)
    data = build_kg(x, np.diff(x.indptr), config)
    queries = asked(*prompts(made, 32 if quick else 512, seed))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder)
        edges = _fill(ladybug, data, path)
        features, graph = ladybug.Database(str(path / "db")).get_torch_geometric_remote_backend(1)
        before, start = anonymous_mib(), time.perf_counter()
        PathFinder(RemoteKG(features, graph), EVERY, path / "index")
        took = time.perf_counter() - start
        held = anonymous_mib() - before
        finder = PathFinder.open(path / "index")
        start = time.perf_counter()
        found = finder(queries)
        asked_in = time.perf_counter() - start
        want = PathFinder(data, EVERY)(queries)
        if _told(found) != _told(want):
            raise LkgragError("the paths of the graph database are not those in memory")
    return {
        "edges": edges,
        "index_seconds": took,
        "index_anonymous_mib": held,
        "prompts": len(queries),
        "paths": len(want),
        "prompts_a_second": len(queries) / asked_in,
    }


def _told(found: Any) -> set[tuple[Any, ...]]:
    """Paths by what they are, since the stores may number the kinds in another order."""
    kinds = found.metapaths
    return {
        (s, c, h, kinds[m], *n)
        for s, c, h, m, n in zip(
            found.sample.tolist(),
            found.candidate.tolist(),
            found.history.tolist(),
            found.metapath.tolist(),
            found.nodes.tolist(),
            strict=True,
        )
    }


def _fill(ladybug: Any, data: HeteroData, folder: Path) -> int:
    """Copy nodes and relations into a database; the number of edges."""
    # One thread copies the rows in their order, so that a node's place in the database is its index.
    database = ladybug.Database(str(folder / "db"), max_num_threads=1)
    connection = ladybug.Connection(database, num_threads=1)
    edges = 0
    for node in data.node_types:
        connection.execute(f"CREATE NODE TABLE {node}(id INT64, PRIMARY KEY(id))")
        table = pd.DataFrame({"id": np.arange(int(data[node].num_nodes))})
        table.to_csv(folder / f"{node}.csv", index=False)
        connection.execute(f'COPY {node} FROM "{folder / node}.csv" (header=true)')
    for source, relation, target in data.edge_types:
        if relation.startswith("rev_"):
            continue
        connection.execute(f"CREATE REL TABLE {relation}(FROM {source} TO {target})")
        index = data[source, relation, target].edge_index.numpy()
        pd.DataFrame(index.T, columns=["from", "to"]).to_csv(
            folder / f"{relation}.csv", index=False
        )
        connection.execute(f'COPY {relation} FROM "{folder / relation}.csv" (header=true)')
        edges += index.shape[1]
    connection.close()
    return edges
