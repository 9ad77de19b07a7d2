"""How often a relation leads from the history to the true item, and to items as popular."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData
    from torch_geometric.typing import EdgeType

    from lkgrag.data.interactions import Interactions
    from lkgrag.data.splits.base import Events

#: Latest history items that a path may start from.
HISTORY = 20
#: Items as popular that stand in for each true one.
CONTROLS = 20
#: Rows that are compared at a time.
BLOCK = 50_000


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
class Drawn:
    """Events, and for each some items as popular as true ones are.

    Attributes:
        events: predictions.
        controls: int64 ``[E, CONTROLS]``, the items; -1 where the drawn one is in the history, or true.
    """

    events: Events
    controls: NDArray[np.int64]


def draw_controls(
    interactions: Interactions, events: Events, train_end: NDArray[np.int64], seed: int
) -> Drawn:
    """Draw the controls by training popularity; none is in the history or the true item.

    Args:
        interactions: the sequences.
        events: predictions.
        train_end: int64 ``[num_users]``, number of training interactions of each user.
        seed: of the draw.
    """
    rng = np.random.default_rng([seed, 0xA0D1])
    mask = interactions.position < train_end[interactions.user]
    count = np.bincount(interactions.item[mask], minlength=interactions.num_items).astype(float)
    share = (count + 1e-9) / (count + 1e-9).sum()
    controls = rng.choice(interactions.num_items, (len(events), CONTROLS), p=share)
    history = _history(interactions, events, everything=True)
    rows = np.repeat(np.arange(len(events)), CONTROLS)
    seen = np.asarray(history[rows, controls.ravel()]).reshape(controls.shape) > 0
    seen |= controls == events.target[:, None]
    return Drawn(events, np.where(seen, -1, controls))


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


def measure_reach(
    data: HeteroData, edge_type: EdgeType, interactions: Interactions, drawn: Drawn
) -> Reach:
    """How often items are reached over one edge either way, or over a shared value.

    Args:
        data: the graph.
        edge_type: of the relation, from items.
        interactions: the sequences.
        drawn: events and controls.
    """
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
    each = np.arange(len(drawn.events))
    true = _hits(there, ends, each, drawn.events.target)
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
    for start in range(0, len(rows), BLOCK):
        part = slice(start, start + BLOCK)
        both = there[rows[part]].multiply(ends[items[part]])
        parts.append(np.asarray(both.sum(1)).ravel() > 0)
    return np.concatenate(parts)
