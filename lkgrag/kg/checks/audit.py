"""Which relations of a graph could know the future, or the answer, with figures.

Behaviour and likeness of titles are counted by this package, so they are counted again, from the training
interactions and from the titles, and compared edge by edge. What other relations were made of cannot be known; but one that was made after the purchases,
or of them, leads to the true items far more often than to others as popular.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from lkgrag.data.splits.base import Events
from lkgrag.kg.builder import build_kg
from lkgrag.kg.checks.leaks import find_leaks
from lkgrag.kg.naming import REVERSE, base_name
from lkgrag.kg.sources.titles import similar_titles
from lkgrag.kg.vocabulary import CO_RATED, FOLLOWED_BY, RATED, SIMILAR_TITLE

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType

    from lkgrag.config import KGConfig
    from lkgrag.data.interactions import Interactions
    from lkgrag.data.splits.base import Split

#: Latest history items that a path may start from.
HISTORY = 20
#: Items as popular that stand in for each true one.
CONTROLS = 20
#: From this many times the reach of as popular items on, a relation between items is suspect.
SUSPECT = 3.0
#: A relation whose reach exceeds that of items as popular by so many times more on the test than in
#: training knows the test.
KNOWS = 1.3
#: Standard errors that a difference must have to count.
SURE = 4.0

CHECKED, NO_SIGN, SUSPECTED, LEAK = "training only", "no sign", "suspect", "LEAK"
BEHAVIOUR = (RATED.name, FOLLOWED_BY.name, CO_RATED.name)


@dataclass(frozen=True)
class Reach:
    """How often a relation leads from the history to the true item.

    Attributes:
        events: predictions looked at.
        true: share of them whose true item is reached.
        control: share of items as popular that are reached.
        error: standard error of ``true - control``.
    """

    events: int
    true: float
    control: float
    error: float

    @property
    def excess(self) -> float:
        """``true - control``."""
        return self.true - self.control

    @property
    def lift(self) -> float:
        """``true / control``; infinite where no control is reached, NaN where nothing is."""
        if self.control == 0:
            return float("inf") if self.true > 0 else float("nan")
        return self.true / self.control


@dataclass(frozen=True)
class Finding:
    """What was found of one relation.

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
    test = _sampled(interactions, split.test, split.train_end, seed)
    last = np.flatnonzero(split.train_end >= 2)
    train_events = Events.at(interactions, last, split.train_end[last] - 1)
    train = _sampled(interactions, train_events, split.train_end, seed + 1)
    over = _over(data, interactions, split.train_end, config)
    timed = _timed(data, interactions, split, config)
    out = []
    for edge_type in data.edge_types:
        if edge_type[1].startswith(REVERSE):
            continue
        edges = int(data[edge_type].edge_index.shape[1])
        reaches = None
        if edge_type[0] == "item":
            reaches = [_reach(data, edge_type, interactions, drawn) for drawn in (test, train)]
        later = _later(data, timed, edge_type, interactions, split.test)
        found = over.get(edge_type[1], 0)
        verdict, why = _verdict(edge_type, reaches, found)
        first, second = reaches or (None, None)
        out.append(Finding(edge_type[1], edges, later, first, second, found, verdict, why))
    rank = [LEAK, SUSPECTED, NO_SIGN, CHECKED]
    return sorted(out, key=lambda f: (rank.index(f.verdict), f.relation))


@dataclass(frozen=True)
class _Sampled:
    """Events, and for each some items as popular as true ones are."""

    events: Events
    controls: NDArray[np.int64]


def _sampled(
    interactions: Interactions, events: Events, train_end: NDArray[np.int64], seed: int
) -> _Sampled:
    """Draw the controls by training popularity; none is in the history or the true item."""
    rng = np.random.default_rng([seed, 0xA0D1])
    mask = interactions.position < train_end[interactions.user]
    count = np.bincount(interactions.item[mask], minlength=interactions.num_items).astype(float)
    share = (count + 1e-9) / (count + 1e-9).sum()
    controls = rng.choice(interactions.num_items, (len(events), CONTROLS), p=share)
    history = _history(interactions, events, everything=True)
    rows = np.repeat(np.arange(len(events)), CONTROLS)
    seen = np.asarray(history[rows, controls.ravel()]).reshape(controls.shape) > 0
    seen |= controls == events.target[:, None]
    return _Sampled(events, np.where(seen, -1, controls))


def _history(
    interactions: Interactions, events: Events, everything: bool = False
) -> sparse.csr_matrix:
    """Which items precede each event, bool ``[E, I]``; the latest :data:`HISTORY` or all."""
    length = events.position if everything else np.minimum(events.position, HISTORY)
    row = np.repeat(np.arange(len(events)), length)
    offset = np.arange(len(row)) - np.repeat(np.cumsum(length) - length, length)
    start = interactions.indptr[events.user] + events.position - length
    item = interactions.item[np.repeat(start, length) + offset]
    shape = (len(events), interactions.num_items)
    return sparse.csr_matrix((np.ones(len(row), np.float32), (row, item)), shape)


def _reach(
    data: HeteroData, edge_type: EdgeType, interactions: Interactions, drawn: _Sampled
) -> Reach:
    """Over one edge either way, or over a shared value."""
    source, target = data[edge_type].edge_index.cpu().numpy()
    num, other = (int(data[edge_type[end]].num_nodes) for end in (0, 2))
    ones = np.ones(len(source), np.float32)
    edges = sparse.csr_matrix((ones, (source, target)), (num, other))
    history = _history(interactions, drawn.events)
    if edge_type[2] == "item":
        there = history @ (edges + edges.T)
        ends = sparse.identity(num, np.float32, "csr")
    else:
        # Reached is what shares a value with the history.
        there, ends = history @ edges, edges
    events = np.arange(len(drawn.events))
    true = _hits(there, ends, events, drawn.events.target)
    rows, slots = np.nonzero(drawn.controls >= 0)
    control = _hits(there, ends, rows, drawn.controls[rows, slots])
    n, p = len(true), float(true.mean()) if len(true) else 0.0
    q = float(control.mean()) if len(control) else 0.0
    error = np.sqrt((p * (1 - p) + q * (1 - q) / CONTROLS) / max(n, 1)) + 1e-12
    return Reach(n, p, q, float(error))


def _hits(
    there: sparse.csr_matrix,
    ends: sparse.csr_matrix,
    rows: NDArray[np.int64],
    items: NDArray[np.int64],
) -> NDArray[np.bool_]:
    """Whether an item's ends are among what each row reaches, a block of rows at a time."""
    parts = [np.zeros(0, bool)]
    for start in range(0, len(rows), 50_000):
        part = slice(start, start + 50_000)
        both = there[rows[part]].multiply(ends[items[part]])
        parts.append(np.asarray(both.sum(1)).ravel() > 0)
    return np.concatenate(parts)


def _over(
    data: HeteroData, interactions: Interactions, train_end: NDArray[np.int64], config: KGConfig
) -> dict[str, int]:
    """Edges that hold more than training, or the titles, give, by relation."""
    out: dict[str, int] = {}
    for leak in find_leaks(data, interactions, train_end):
        name = base_name(leak.edge_type[1])
        out[name] = max(out.get(name, 0), leak.edges)
    alike = ("item", SIMILAR_TITLE.name, "item")
    if alike in data.edge_types:
        num = interactions.num_items
        made = similar_titles(interactions.items["title"].tolist(), config.similar_titles).index
        there = data[alike].edge_index.cpu().numpy()
        new = ~np.isin(there[0] * num + there[1], made[0] * num + made[1])
        if new.any():
            out[SIMILAR_TITLE.name] = int(new.sum())
    return out


def _timed(
    data: HeteroData, interactions: Interactions, split: Split, config: KGConfig
) -> HeteroData | None:
    """The graph with the times of behaviour edges; None where interactions have no times or positions only."""
    if not np.isfinite(interactions.time).any() or not interactions.dated:
        return None
    if config.temporal:
        return data
    from dataclasses import replace

    return build_kg(interactions, split.train_end, replace(config, temporal=True))


def _later(
    data: HeteroData,
    timed: HeteroData | None,
    edge_type: EdgeType,
    interactions: Interactions,
    test: Events,
) -> float:
    """Mean share of a relation's edges that stood only at or after a test prediction."""
    if edge_type[1] not in BEHAVIOUR:
        return float("nan")
    if data.get("temporal", False):
        # Such edges are kept out of every path, whatever their number.
        return 0.0
    if timed is None or edge_type not in timed.edge_types or "time" not in timed[edge_type]:
        return float("nan")
    time = np.sort(timed[edge_type].time.cpu().numpy().astype(float))
    time = time[np.isfinite(time)]
    when = interactions.time[interactions.indptr[test.user] + test.position]
    when = when[np.isfinite(when)]
    if not len(time) or not len(when):
        return float("nan")
    return float(1 - np.searchsorted(time, when, "left").mean() / len(time))


def _verdict(edge_type: EdgeType, reaches: list[Reach] | None, over: int) -> tuple[str, str]:
    """The verdict on a relation, and why."""
    if edge_type[1] in BEHAVIOUR:
        if over:
            return LEAK, f"{over:,} edges hold more than the training interactions give"
        return CHECKED, "counted again: nothing beyond the training interactions"
    if edge_type[1] == SIMILAR_TITLE.name:
        if over:
            return LEAK, f"{over:,} edges do not follow from the titles"
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
