"""What a user would pick instead to find paths: igraph, a graph database with Cypher, networkx."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from lkgrag.paths import ShortestPaths

#: Longest path that is asked for, in edges.
LONGEST = 4


class Peer(Protocol):
    """Finds the lengths of shortest paths of a prompt, and a witness for each."""

    name: str
    #: Prompts that it is timed on.
    prompts: int

    def __call__(self, history: list[int], candidates: list[int]) -> dict[tuple[int, int], int]:
        """``{(history item, candidate): length}`` of the pairs within :data:`LONGEST`."""


class Igraph:
    """igraph: breadth-first search from every history item, with the edges of the paths."""

    name, prompts = "igraph", 40

    def __init__(self, finder: ShortestPaths) -> None:
        import igraph

        edges = np.stack([finder.source, finder.target], 1)
        self.offset = finder.offset("item")
        self.graph = igraph.Graph(int(edges.max()) + 1, edges.tolist(), directed=True)
        self.graph.es["kind"] = finder.kind.tolist()

    def __call__(self, history: list[int], candidates: list[int]) -> dict[tuple[int, int], int]:
        """One call a history item."""
        out = {}
        to = [c + self.offset for c in candidates]
        for h in history:
            paths = self.graph.get_shortest_paths(h + self.offset, to, mode="out", output="epath")
            for c, path in zip(candidates, paths, strict=True):
                if 0 < len(path) <= LONGEST:
                    out[h, c] = len(path)
        return out


class Cypher:
    """ladybug (the graph database kuzu), embedded: one query a prompt."""

    name, prompts = "Cypher, a query a prompt", 10

    def __init__(self, finder: ShortestPaths) -> None:
        import ladybug
        import pandas as pd

        self.offset = finder.offset("item")
        self._folder = tempfile.TemporaryDirectory()
        root = Path(self._folder.name)
        self.base = ladybug.Database(str(root / "graph"))
        self.run = ladybug.Connection(self.base, num_threads=1)
        size = int(max(finder.source.max(), finder.target.max())) + 1
        pd.DataFrame({"id": np.arange(size)}).to_csv(root / "n.csv", index=False, header=False)
        table = {"a": finder.source, "b": finder.target, "kind": finder.kind}
        pd.DataFrame(table).to_csv(root / "e.csv", index=False, header=False)
        self.run.execute("CREATE NODE TABLE N(id INT64, PRIMARY KEY(id))")
        self.run.execute("CREATE REL TABLE E(FROM N TO N, kind INT64)")
        self.run.execute(f'COPY N FROM "{root / "n.csv"}"')
        self.run.execute(f'COPY E FROM "{root / "e.csv"}"')

    def query(self, history: list[int], candidates: list[int]) -> dict[tuple[int, int], int]:
        """All pairs of some history items and candidates."""
        found: Any = self.run.execute(
            f"MATCH p = (a:N)-[e:E* SHORTEST 1..{LONGEST}]->(b:N) WHERE a.id IN $h AND b.id IN $c "
            "RETURN a.id, b.id, length(p), list_transform(rels(p), r -> r.kind)",
            {
                "h": [h + self.offset for h in history],
                "c": [c + self.offset for c in candidates],
            },
        )
        out = {}
        while found.has_next():
            a, b, length, _ = found.get_next()
            if a != b:
                out[a - self.offset, b - self.offset] = int(length)
        return out

    def __call__(self, history: list[int], candidates: list[int]) -> dict[tuple[int, int], int]:
        """One query."""
        return self.query(history, candidates)


class CypherPairs(Cypher):
    """The same with a query for each pair, as the published code has it."""

    name, prompts = "Cypher, a query a pair", 1

    def __call__(self, history: list[int], candidates: list[int]) -> dict[tuple[int, int], int]:
        """A query for each pair."""
        out: dict[tuple[int, int], int] = {}
        for h in history:
            for c in candidates:
                out |= self.query([h], [c])
        return out


class Networkx:
    """networkx: bidirectional search for each pair."""

    name, prompts = "networkx", 2

    def __init__(self, finder: ShortestPaths) -> None:
        import networkx

        self.nx: Any = networkx
        self.offset = finder.offset("item")
        self.graph = networkx.DiGraph()
        self.graph.add_edges_from(zip(finder.source.tolist(), finder.target.tolist(), strict=True))

    def __call__(self, history: list[int], candidates: list[int]) -> dict[tuple[int, int], int]:
        """A search for each pair."""
        out = {}
        for h in history:
            for c in candidates:
                if h == c:
                    continue
                try:
                    path = self.nx.shortest_path(self.graph, h + self.offset, c + self.offset)
                except (self.nx.NetworkXNoPath, self.nx.NodeNotFound):
                    continue
                if len(path) - 1 <= LONGEST:
                    out[h, c] = len(path) - 1
        return out


class TorchSparse:
    """torch: products of a sparse matrix with the sets that the history items reach, lengths only."""

    name, prompts = "torch, sparse products (lengths)", 40

    def __init__(self, finder: ShortestPaths) -> None:
        import torch

        self.torch: Any = torch
        self.offset = finder.offset("item")
        size = int(max(finder.source.max(initial=0), finder.target.max(initial=0))) + 1
        index = torch.from_numpy(np.stack([finder.target.astype(np.int64), finder.source]))
        edges = torch.sparse_coo_tensor(index, torch.ones(index.shape[1]), (size, size))
        self.size, self.edges = size, edges.coalesce().to_sparse_csr()

    def __call__(self, history: list[int], candidates: list[int]) -> dict[tuple[int, int], int]:
        """All history items at once, a product a step."""
        front = self.torch.zeros(self.size, len(history))
        front[[h + self.offset for h in history], range(len(history))] = 1.0
        seen = front > 0
        ends = [c + self.offset for c in candidates]
        out: dict[tuple[int, int], int] = {}
        for length in range(1, LONGEST + 1):
            reached = (self.edges @ front > 0) & ~seen
            seen |= reached
            front = reached.float()
            for c, h in reached[ends].nonzero().tolist():
                out[history[h], candidates[c]] = length
        return out


PEERS = (Igraph, TorchSparse, Cypher, CypherPairs, Networkx)
