"""Data: sequences of interactions, what is known of items and users, splits, readers, and assets."""

from lkgrag.data.dataset import Dataset
from lkgrag.data.interactions import Interactions, natural_order, tie_report
from lkgrag.data.queries import Queries, log_softmax
from lkgrag.data.splits.base import Events, Split
from lkgrag.data.splits.sequence import make_split
from lkgrag.data.tables import Tables

__all__ = [
    "Dataset",
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
