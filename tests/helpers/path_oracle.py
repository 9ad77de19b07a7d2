"""All paths of a small graph by trying every node at every place, to compare the searches with."""

import itertools
import math

import numpy as np
import torch
from torch_geometric.data import HeteroData

from lkgrag.paths.adjacency import Adjacency
from lkgrag.paths.metapath_search.best_paths import BestPaths
from lkgrag.paths.metapath_search.more_edges import LongPaths
from lkgrag.paths.metapath_search.tables import PathTables
from lkgrag.paths.metapath_search.two_edges import ShortPaths


def graph(edges, sizes, temporal=False, weight=None, time=None):
    """A graph by hand.

    ``edges`` maps an edge type to pairs, ``weight`` and ``time`` an edge type to a value a pair.
    """
    data = HeteroData()
    data.temporal = temporal
    for name, size in sizes.items():
        data[name].num_nodes = size
    for edge_type, pairs in edges.items():
        index = torch.tensor(pairs, dtype=torch.int64).reshape(-1, 2).T.contiguous()
        data[edge_type].edge_index = index
    for name, values in (("weight", weight), ("time", time)):
        for edge_type, given in (values or {}).items():
            kind = torch.float32 if name == "weight" else torch.float64
            data[edge_type][name] = torch.tensor(given, dtype=kind)
    return data


class Oracle:
    """Every path of a graph without repeated edges, slowly."""

    def __init__(self, data):
        self.data = data
        self.edges, self.degree = {}, {}
        for edge_type in data.edge_types:
            store = data[edge_type]
            weight = store.weight.tolist() if "weight" in store else None
            time = store.time.tolist() if data.temporal and "time" in store else None
            known = {}
            for k, (s, t) in enumerate(store.edge_index.T.tolist()):
                if edge_type[0] != edge_type[2] or s != t:
                    known[s, t] = (weight[k] if weight else 1.0, time[k] if time else math.nan)
            self.edges[edge_type] = known
            targets = [t for _, t in known]
            self.degree[edge_type] = {t: targets.count(t) for t in targets}

    def between(self, metapath, start, end, time=math.nan):
        """The nodes, the largest inner degree and the weight of each path of one meta-path."""
        kinds = [metapath[0][0], *(step[2] for step in metapath)]
        inner = [range(int(self.data[kind].num_nodes)) for kind in kinds[1:-1]]
        for middle in itertools.product(*inner):
            nodes = (start, *middle, end)
            if len(set(zip(kinds, nodes, strict=True))) < len(nodes):
                continue
            steps = [
                self.edges[step].get(pair)
                for step, pair in zip(metapath, itertools.pairwise(nodes), strict=True)
            ]
            if any(step is None or step[1] >= time for step in steps):
                continue
            degrees = [
                self.degree[step][node] for step, node in zip(metapath[:-1], middle, strict=True)
            ]
            weight = math.prod(step[0] for step in steps)
            for kind, degree in zip(kinds[1:-1], degrees, strict=True):
                weight *= 1.0 if kind == "item" else 1 / math.log2(1 + degree)
            yield nodes, max(degrees, default=0), weight

    def __call__(self, metapaths, history, candidates, time, most):
        """The best ``most`` paths of each pair of slots: ``(b, h, c, meta-path, nodes) -> weight``.

        ``metapaths`` maps numbers to meta-paths.
        """
        kept = {}
        for b, (row, asked) in enumerate(zip(history, candidates, strict=True)):
            for (h, start), (c, end) in itertools.product(enumerate(row), enumerate(asked)):
                if start < 0 or end < 0:
                    continue
                paths = [
                    (len(metapath), degree, m, nodes, weight)
                    for m, metapath in metapaths.items()
                    for nodes, degree, weight in self.between(metapath, start, end, time[b])
                ]
                for _, _, m, nodes, weight in sorted(paths)[:most]:
                    kept[b, h, c, m, nodes] = weight
        return kept


def named(found, num_history, num_candidates):
    """The columns of a ``Instances`` as :class:`Oracle` gives them."""
    out = {}
    for pair, m, nodes, weight in zip(
        found.pair.tolist(),
        found.metapath.tolist(),
        found.nodes.tolist(),
        found.weight.tolist(),
        strict=True,
    ):
        slot, h = divmod(pair, num_history)
        b, c = divmod(slot, num_candidates)
        path = (b, h, c, m, tuple(n for n in nodes if n >= 0))
        assert path not in out, "a path occurs twice"
        out[path] = weight
    return out


def arrays(history, candidates, time):
    """Rows as the searches take them; no time is an unknown one."""
    history = np.array(history, np.int64)
    time = np.full(len(history), np.nan) if time is None else np.array(time, float)
    return history, np.array(candidates, np.int64), time


def short_paths(data, metapaths, history, candidates, time=None, most=8):
    """What :class:`ShortPaths` gives for numbered meta-paths of one edge or over a value."""
    direct = {m: path for m, path in metapaths.items() if len(path) == 1}
    shared = {m: path for m, path in metapaths.items() if len(path) == 2}
    tables = PathTables.build(
        list(direct.values()),
        shared,
        lambda edge_type: Adjacency.of(data, edge_type),
        int(data["item"].num_nodes),
    )
    history, candidates, time = arrays(history, candidates, time)
    found = ShortPaths(list(direct), tables)(history, candidates, time, most, 3)
    return named(found, history.shape[1], candidates.shape[1])


def long_paths(data, metapath, history, candidates, time=None, most=8, full=None):
    """What :class:`LongPaths` gives for meta-path 0; ``full`` are pairs that need no paths."""
    adjacency = {e: Adjacency.of(data, e) for e in metapath}
    backward = {e: edges.reversed() for e, edges in adjacency.items()}
    history, candidates, time = arrays(history, candidates, time)
    if full is None:
        equal = candidates[:, :, None] == history[:, None, :]
        full = equal | (candidates < 0)[:, :, None] | (history < 0)[:, None, :]
    best = BestPaths(np.where(full.reshape(-1), 0, most), len(metapath) + 1)
    LongPaths(0, metapath, adjacency, backward)(history, candidates, time, best)
    return named(best.instances(len(metapath) + 1), history.shape[1], candidates.shape[1])
