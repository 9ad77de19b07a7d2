"""The search in a graph store: it reads the rows of a batch's items, and keeps those that it read lately."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.errors import ConfigError
from lkgrag.kg.remote import RemoteKG
from lkgrag.kg.store.rows import RowReads, WholeRelations
from lkgrag.paths.metapath import ITEM, metapaths
from lkgrag.paths.metapath_search.local_tables import BatchItems, ReadRows, build_tables
from lkgrag.paths.metapath_search.more_edges import concatenate
from lkgrag.paths.metapath_search.row_cache import RowCache
from lkgrag.paths.metapath_search.search import BLOCK, MetaPathSearch
from lkgrag.paths.metapath_search.two_edges import Instances, ShortPaths
from lkgrag.utils.memory import parse_bytes

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data.graph_store import GraphStore
    from torch_geometric.typing import EdgeType

    from lkgrag.config import PathsConfig

#: Number of prompts whose rows are read together.
GROUP = 8 * BLOCK
#: Records of edges between items, without and with times, and of values.
EDGE = np.dtype([("read", np.int32), ("target", np.int32), ("weight", np.float32)])
TIMED = np.dtype([*[(n, EDGE[n]) for n in EDGE.names or ()], ("time", np.float64)])
VALUE = np.dtype([("read", np.int32), ("node", np.int32), ("degree", np.int32)])


class StoreFinder(MetaPathSearch):
    """Finds the path instances of a graph in a store, as :class:`PathFinder` does of one in memory.

    Of each relation, one query reads the rows of the items of :data:`GROUP` prompts. The finder takes paths of one edge
    and of two edges over a shared value, which is all that the default options ask for.

    Args:
        store: with :class:`~lkgrag.kg.RowReads`, as :class:`~lkgrag.kg.LadybugStore`. Of another ``GraphStore`` of PyG,
            or of a :class:`~lkgrag.kg.RemoteKG`, which knows weights, whole relations are read and kept in memory, with a
            warning for each.
        config: longest path and cap.
        cache: bytes of the rows that are kept, or in words as ``256MB``; 0 keeps none.

    Attributes:
        metapaths: the meta-paths of the graph, as in every :class:`~lkgrag.paths.PathBatch`.
        cache: the rows that are kept.

    Raises:
        ConfigError: an option is out of range, or a meta-path is longer, or leads through an item or over a value by
            edges with times.
        DataError: the store has no items.
    """

    def __init__(
        self,
        store: RowReads | RemoteKG | GraphStore,
        config: PathsConfig,
        cache: int | str = "256MB",
    ) -> None:
        if isinstance(store, RowReads):
            reads = store
        else:
            remote = store if isinstance(store, RemoteKG) else RemoteKG(None, store)
            reads = WholeRelations(remote)
        super().__init__(metapaths(reads.edge_types, config), reads.num_nodes(ITEM), config)
        self.store = reads
        self.cache = RowCache(parse_bytes(cache, "cache") if isinstance(cache, str) else cache)
        self._direct = [m for m, path in enumerate(self.metapaths) if len(path) == 1]
        for path in self.metapaths:
            is_value = len(path) == 2 and path[0][2] != ITEM
            if len(path) > 1 and not (is_value and not any(reads.has_times(e) for e in path)):
                raise ConfigError(
                    "a graph store gives only paths of one edge or over one shared value: set paths.max_length to 2, "
                    "paths.through_items=false and kg.temporal=false, or use a PathFinder in memory"
                )
        #: What is read of values, once each: stored edge type, and whether by its targets.
        self._reads: list[tuple[EdgeType, bool]] = []
        self._shared = [
            (m, self._read_of(path[0], False), self._read_of(path[1], True))
            for m, path in enumerate(self.metapaths)
            if len(path) == 2
        ]
        self._dtype = EDGE
        if any(reads.has_times(self.metapaths[m][0]) for m in self._direct):
            self._dtype = TIMED
        self._degrees: dict[EdgeType, NDArray[np.int32]] = {}

    def _read_of(self, edge_type: EdgeType, into: bool) -> int:
        """The number of a read of values."""
        kept, is_back = self.store.stored(edge_type)
        read = (kept, into != is_back)
        if read not in self._reads:
            self._reads.append(read)
        return self._reads.index(read)

    def _bounds(self, history: NDArray[np.int64], candidates: NDArray[np.int64]) -> list[int]:
        """Cut the prompts into groups whose rows are read together."""
        return [*range(0, len(history), GROUP), len(history)]

    def _search(
        self, history: NDArray[np.int64], candidates: NDArray[np.int64], time: NDArray[np.float64]
    ) -> Instances:
        """Read the rows of a group, and find its instances block by block."""
        batch = BatchItems.of(history, candidates)
        places = batch.history if self._direct else batch.history[:0]
        count, records = self.cache.get(
            "edges", batch.items[places], self._dtype, self._fetch_edges
        )
        edges = ReadRows(np.repeat(places, count), records)
        known = batch.items if self._shared else batch.items[:0]
        count, records = self.cache.get("values", known, VALUE, self._fetch_values)
        values = ReadRows(np.repeat(np.arange(len(known)), count), records)
        tables = build_tables(batch, len(self._direct), edges, self._shared, values)
        search = ShortPaths(self._direct, tables)
        history, candidates = batch.place(history), batch.place(candidates)
        parts = []
        per_prompt = history.shape[1] * candidates.shape[1]
        for start, end in pairwise([*range(0, len(history), BLOCK), len(history)]):
            part = slice(start, end)
            found = search(
                history[part], candidates[part], time[part], self.config.max_per_pair, self._width
            )
            parts.append(self._named(found, batch.items, start * per_prompt))
        return concatenate(parts)

    def _named(self, found: Instances, items: NDArray[np.int64], first_pair: int) -> Instances:
        """Name items by their index in the graph, and count pairs from the group's first."""
        nodes = found.nodes
        nodes[:, 0] = items[nodes[:, 0]]
        is_long = nodes[:, 2] >= 0 if self._width > 2 else np.zeros(len(nodes), bool)
        for rows, column in ((~is_long, 1), (is_long, 2)):
            if rows.any():
                nodes[rows, column] = items[nodes[rows, column]]
        return Instances(found.pair + first_pair, found.metapath, found.degree, nodes, found.weight)

    def _fetch_edges(self, items: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.void]]:
        """Read the edges between items of some items, by one query a relation."""
        parts, owners = [], []
        for read, m in enumerate(self._direct):
            (edge_type,) = self.metapaths[m]
            rows = self.store.get_rows(edge_type, items, False)
            records = np.empty(len(rows.other), self._dtype)
            records["read"], records["target"] = read, rows.other
            records["weight"] = 1 if rows.weight is None else rows.weight
            if self._dtype is TIMED:
                records["time"] = -np.inf if rows.time is None else rows.time
            parts.append(records)
            owners.append(np.repeat(np.arange(len(items)), np.diff(rows.indptr)))
        return _by_item(len(items), owners, parts, self._dtype)

    def _fetch_values(self, items: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.void]]:
        """Read the values of some items, by one query a relation."""
        parts, owners = [], []
        for read, (edge_type, into) in enumerate(self._reads):
            rows = self.store.get_rows(edge_type, items, into)
            records = np.empty(len(rows.other), VALUE)
            records["read"], records["node"] = read, rows.other
            records["degree"] = (
                self._degree_of(read)[rows.other] if rows.degree is None else rows.degree
            )
            parts.append(records)
            owners.append(np.repeat(np.arange(len(items)), np.diff(rows.indptr)))
        return _by_item(len(items), owners, parts, VALUE)

    def _degree_of(self, read: int) -> NDArray[np.int32]:
        """How many edges lead to each value of a read; counted once, where rows do not tell it."""
        # The way by which the search enters a value; reads that only leave it need none.
        for m, out, _ in self._shared:
            if out == read:
                edge_type = self.metapaths[m][0]
                if edge_type not in self._degrees:
                    self._degrees[edge_type] = self.store.get_degrees(edge_type)
                return self._degrees[edge_type]
        kept, into = self._reads[read]
        return np.zeros(self.store.num_nodes(kept[0 if into else 2]), np.int32)


def _by_item(
    number: int,
    owners: list[NDArray[np.int64]],
    parts: list[NDArray[np.void]],
    dtype: np.dtype[np.void],
) -> tuple[NDArray[np.int64], NDArray[np.void]]:
    """Order records of several reads by item, then read."""
    owner = np.concatenate([np.zeros(0, np.int64), *owners])
    records = np.concatenate([np.empty(0, dtype), *parts])
    order = np.argsort(owner, kind="stable")
    return np.bincount(owner, minlength=number), records[order]
