"""Whole paths in plain English, as reasons for a candidate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from lkgrag.kg.audience import Audience, audience_of
from lkgrag.kg.base import REVERSE
from lkgrag.kg.naming import base_name, inverse, phrase, same_value_words, shares_value
from lkgrag.kg.safe_names import shown
from lkgrag.kg.sources.resolver import relation_sources

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType

    from lkgrag.kg.base import MetaPath, PathInstances
    from lkgrag.kg.names import Names

    #: Words one reason of a path, whose nodes it gets.
    Reason = Callable[[Sequence[int]], str]


class PathWords:
    """Words the paths of a graph.

    A sentence speaks of the candidate, whose name it leaves out: "seen next by 12 viewers of Star
    Wars (1977)", "shares director Ridley Scott with Alien (1979)". A value whose name is a mere
    identifier is not shown: "has the same director as Alien (1979)".

    Args:
        data: the graph; ``count`` of its behaviour edges is read.
        audience: what users are called; by the graph's relations if not given.
    """

    def __init__(self, data: HeteroData, audience: Audience | None = None) -> None:
        self.audience = audience or audience_of(data.edge_types)
        self._data = data
        self._counts: dict[EdgeType, tuple[np.ndarray, np.ndarray, int] | None] = {}
        #: What words the parts of each meta-path, by the sources whose words they use.
        self._reasons: dict[MetaPath, list[Reason]] = {}
        self._sources = relation_sources()
        #: Readable names by node type; None for a type without any. Looking into a graph takes longer.
        self._names: dict[str, Names | None] = {}

    def batch(self, paths: PathInstances, index: Sequence[int] | None = None) -> list[str]:
        """Word the paths of a batch (a :class:`~lkgrag.paths.PathBatch`), or those at ``index``."""
        rows = range(len(paths)) if index is None else index
        nodes, metapath = paths.nodes.tolist(), paths.metapath.tolist()
        return [self.sentence(paths.metapaths[metapath[i]], nodes[i]) for i in rows]

    def sentence(self, metapath: MetaPath, nodes: Sequence[int]) -> str:
        """Word one path.

        Args:
            metapath: its edge types, from the history item to the candidate.
            nodes: its nodes, one more than edges; padding may follow.

        Raises:
            ValueError: the graph counts users behind such edges, and has no such edge.
        """
        if self._sources is not relation_sources():
            # A source was registered, which may have other words.
            self._sources, self._reasons = relation_sources(), {}
        if metapath not in self._reasons:
            self._reasons[metapath] = self._reasons_of(metapath)
        first, *others = (reason(nodes) for reason in self._reasons[metapath])
        return ", which ".join([first, *map(_finite, others)]) if others else first

    def _reasons_of(self, metapath: MetaPath) -> list[Reason]:
        """What words the reasons of a meta-path's instances, the reason for the candidate first."""
        reasons = []
        end = len(metapath)
        while end:
            # Two edges that meet in a value are one reason; everything else is worded edge by edge.
            pair = metapath[end - 2 : end] if end >= 2 else ()
            if shares_value(pair):
                reasons.append(self._shared_value(pair[0], end - 2))
                end -= 2
            else:
                reasons.append(self._step(metapath[end - 1], end - 1))
                end -= 1
        return reasons

    def _shared_value(self, edge_type: EdgeType, place: int) -> Reason:
        """Words a value that the nodes before and after it share; the first of them is at ``place``."""
        before, after, unnamed = same_value_words(edge_type)

        def word(nodes: Sequence[int]) -> str:
            value = self.name(edge_type[2], nodes[place + 1])
            shared = f"{before} {value}{after}" if value else unnamed
            return f"{shared} {self.name('item', nodes[place])}"

        return word

    def _step(self, edge_type: EdgeType, place: int) -> Reason:
        """Words one edge as a reason for its target; its source is at ``place``."""
        maker = relation_sources().get(base_name(edge_type[1]))
        backward = edge_type[1].startswith(REVERSE)
        verb = phrase(inverse(edge_type))
        unnamed = f"a {shown(edge_type[0])}"

        def word(nodes: Sequence[int]) -> str:
            other = self.name(edge_type[0], nodes[place]) or unnamed
            count = self._count(edge_type, nodes[place], nodes[place + 1])
            words = None
            if maker is not None:
                words = maker.sentence(self.audience, count, other, backward=backward)
            return f"{verb} {other}" if words is None else words

        return word

    def name(self, node_type: str, node: int) -> str | None:
        """A node's name, None where it has none that a person can read."""
        if node_type not in self._names:
            store = self._data[node_type]
            is_named = "name" in store and store.get("named", True)
            self._names[node_type] = store.name if is_named else None
        names = self._names[node_type]
        if names is None:
            return None if node_type != "item" else f"item {node}"
        return names[node]

    def _count(self, edge_type: EdgeType, source: int, target: int) -> int | None:
        """Number of users behind an edge, None for edges without a count."""
        if edge_type not in self._counts:
            self._counts[edge_type] = self._sorted_counts(edge_type)
        found = self._counts[edge_type]
        if found is None:
            return None
        keys, counts, width = found
        wanted = source * width + target
        place = int(keys.searchsorted(wanted))
        if place == len(keys) or keys[place] != wanted:
            raise ValueError(f"the graph has no edge {edge_type} from {source} to {target}")
        return int(counts[place])

    def _sorted_counts(self, edge_type: EdgeType) -> tuple[np.ndarray, np.ndarray, int] | None:
        """The edges as numbers ``source * width + target``, rising, their counts, and ``width``."""
        store = self._data[edge_type]
        if "count" not in store:
            return None
        index, width = store.edge_index.cpu().numpy(), int(self._data[edge_type[2]].num_nodes)
        key = index[0] * width + index[1]
        order = np.argsort(key)
        return key[order], store["count"].cpu().numpy()[order], width


def _finite(part: str) -> str:
    """A reason as the continuation of "which"."""
    return part if part.startswith(("has ", "shares ")) else f"was {part}"
