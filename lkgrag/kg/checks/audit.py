"""Which relations of a graph could know the future, or the answer, with figures.

What relation sources count on interactions, or make of titles, is made again and compared edge by edge.
What other relations were made of cannot be known. But one that was made after the purchases, or of them,
leads to the true items far more often than to others as popular.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.data.splits.base import Events
from lkgrag.errors import ConfigError
from lkgrag.kg.base import REVERSE, RelationSource, Training
from lkgrag.kg.checks.leaks import find_leaks
from lkgrag.kg.checks.reach import Reach, draw_controls, measure_reach
from lkgrag.kg.naming import base_name
from lkgrag.kg.sources.making import make_edges
from lkgrag.kg.sources.resolver import relation_sources

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType

    from lkgrag.config import KGConfig
    from lkgrag.data.interactions import Interactions
    from lkgrag.data.splits.base import Split

#: A relation between items is suspect if its reach is at least so many times that of items as popular.
SUSPECT = 3.0
#: A relation knows the test if its reach exceeds that of items as popular by so many times more on the
#: test than in training.
KNOWS = 1.3
#: Standard errors that a difference must have to count.
SURE = 4.0

CHECKED, NO_SIGN, SUSPECTED, LEAK = "training only", "no sign", "suspect", "LEAK"


@dataclass(frozen=True)
class Finding:
    """What the audit says of one relation.

    Attributes:
        relation: its name.
        edges: of the forward direction.
        later: mean share of the edges that came to stand only at or after a prediction of the test;
            NaN where that cannot be known.
        test: reach of the test's items; None for relations that no path can use.
        train: of the last training items.
        over: edges or counts beyond what training gives, for behaviour.
        verdict: one of ``training only``, ``no sign``, ``suspect``, ``LEAK``.
        why: the verdict in words.
    """

    relation: str
    edges: int
    later: float
    test: Reach | None
    train: Reach | None
    over: int
    verdict: str
    why: str


def audit(
    data: HeteroData, interactions: Interactions, split: Split, config: KGConfig, seed: int = 0
) -> list[Finding]:
    """Look at every relation of a graph.

    Args:
        data: of :func:`~lkgrag.kg.build_kg`, as it serves.
        interactions: the sequences.
        split: what trains and tests.
        config: that the graph was built with.
        seed: of the items that stand in.

    Returns:
        One finding a relation, worst first.
    """
    test = draw_controls(interactions, split.test, split.train_end, seed)
    last = np.flatnonzero(split.train_end >= 2)
    train_events = Events.at(interactions, last, split.train_end[last] - 1)
    train = draw_controls(interactions, train_events, split.train_end, seed + 1)
    beyond = _beyond(data, interactions, split.train_end, config)
    times = _edge_times(data, interactions, split.train_end, config)
    sources = relation_sources()
    findings = []
    for edge_type in data.edge_types:
        name = edge_type[1]
        if name.startswith(REVERSE):
            continue
        made_of = sources[name].made_of if name in sources else None
        reaches = None
        if edge_type[0] == "item":
            reaches = [
                measure_reach(data, edge_type, interactions, drawn) for drawn in (test, train)
            ]
        later = float("nan")
        if made_of == "interactions":
            # With `kg.temporal` such edges are kept out of every path, whatever their number.
            temporal = data.get("temporal", False)
            later = 0.0 if temporal else _share_later(times.get(name), interactions, split.test)
        over = beyond.get(name, 0)
        verdict, why = _verdict(edge_type, made_of, reaches, over)
        of_test, of_train = reaches or (None, None)
        edges = int(data[edge_type].edge_index.shape[1])
        findings.append(Finding(name, edges, later, of_test, of_train, over, verdict, why))
    rank = [LEAK, SUSPECTED, NO_SIGN, CHECKED]
    return sorted(findings, key=lambda f: (rank.index(f.verdict), f.relation))


def _beyond(
    data: HeteroData, interactions: Interactions, train_end: NDArray[np.int64], config: KGConfig
) -> dict[str, int]:
    """Edges that hold more than training, or the titles, give, by relation."""
    beyond: dict[str, int] = {}
    for leak in find_leaks(data, interactions, train_end, config):
        name = base_name(leak.edge_type[1])
        beyond[name] = max(beyond.get(name, 0), leak.edges)
    training = Training.of(interactions, train_end)
    for source in _sources_of("titles"):
        if source.edge_type not in data.edge_types:
            continue
        made = make_edges(source, training, config).index
        there = data[source.edge_type].edge_index.cpu().numpy()
        width = training.num_items
        new = ~np.isin(there[0] * width + there[1], made[0] * width + made[1])
        if new.any():
            beyond[source.name] = int(new.sum())
    return beyond


def _sources_of(made_of: str) -> list[RelationSource]:
    return [source for source in relation_sources().values() if source.made_of == made_of]


def _edge_times(
    data: HeteroData, interactions: Interactions, train_end: NDArray[np.int64], config: KGConfig
) -> dict[str, NDArray[np.float64]]:
    """When edges that rest on interactions came to stand, float64 ``[E]`` by relation, rising.

    Empty where no time is known, or times are mere positions.
    """
    if not np.isfinite(interactions.time).any() or not interactions.dated:
        return {}
    training, temporal = Training.of(interactions, train_end), replace(config, temporal=True)
    times = {}
    for source in _sources_of("interactions"):
        if source.edge_type not in data.edge_types:
            continue
        try:
            time = make_edges(source, training, temporal).time
        except ConfigError:
            # A custom source without times: what came later stays unknown.
            continue
        if time is not None:
            times[source.name] = np.sort(time[np.isfinite(time)])
    return times


def _share_later(
    time: NDArray[np.float64] | None, interactions: Interactions, test: Events
) -> float:
    """Mean share of edges that stood only at or after a test prediction; NaN where unknown."""
    when = interactions.time[interactions.indptr[test.user] + test.position]
    when = when[np.isfinite(when)]
    if time is None or not len(time) or not len(when):
        return float("nan")
    return float(1 - np.searchsorted(time, when, "left").mean() / len(time))


def _verdict(
    edge_type: EdgeType, made_of: str | None, reaches: list[Reach] | None, beyond: int
) -> tuple[str, str]:
    """The verdict on a relation, and why.

    Args:
        edge_type: of the relation.
        made_of: as of its source; None for a relation of the data's files.
        reaches: of the test's items and of training's; None for relations of users.
        beyond: edges that hold more than training, or the titles, give.
    """
    if made_of == "interactions":
        if beyond:
            return LEAK, f"{beyond:,} edges hold more than the training interactions give"
        return CHECKED, "counted again: nothing beyond the training interactions"
    if made_of == "titles":
        if beyond:
            return LEAK, f"{beyond:,} edges do not follow from the titles"
        return NO_SIGN, "made again: of the titles alone, which do not know who chose what"
    if reaches is None:
        return NO_SIGN, "of users: no path goes over it"
    test, train = reaches
    more = (test.excess - train.excess) / float(np.hypot(test.error, train.error))
    if more > SURE and test.excess > KNOWS * train.excess:
        return LEAK, (
            "reaches the test's items far more often than those before them: made of what came later"
        )
    if edge_type[2] == "item" and test.excess > SURE * test.error and test.lift >= SUSPECT:
        return SUSPECTED, "no time known, and it leads to the true items: made after the choices?"
    return NO_SIGN, "no time known; its reach is that of items as popular, or of training's"
