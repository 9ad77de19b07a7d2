"""Interactions, readers, splits and assets."""

from lkgrag.data.interactions import Interactions, Tables, natural_order, tie_report
from lkgrag.data.queries import Queries, log_softmax
from lkgrag.data.splits import Events, Split, make_split

__all__ = [
    "Events",
    "Interactions",
    "Queries",
    "Split",
    "Tables",
    "log_softmax",
    "make_split",
    "natural_order",
    "tie_report",
]
