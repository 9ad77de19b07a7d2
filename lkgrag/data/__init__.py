"""The data: who chose what, when, and what is known of users and items.

``readers`` turn files into :class:`Tables`, ``cleaning`` checks and filters those, and
:class:`Interactions` holds the result as one sequence a user. ``splits`` say what trains and what is
predicted, :class:`Queries` holds the rankings to make. ``assets`` fetches built-in data sets and models.
"""

from lkgrag.data.dataset import Dataset
from lkgrag.data.interactions import Interactions, natural_order, tie_report
from lkgrag.data.queries import Queries, log_softmax
from lkgrag.data.splits import Events, Split, make_split
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
