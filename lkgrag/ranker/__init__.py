"""The ranker as a torch module: language model, path scorer and prior, fused into one score.

:class:`lkgrag.Ranker` in :mod:`lkgrag.serving` serves people with it.
"""

from lkgrag.ranker.batch import RankerBatch, RankerOutput
from lkgrag.ranker.fusion import Fusion, centre, list_cross_entropy
from lkgrag.ranker.fusion_weights import TermLists, cross_fit_weights, fit_weights
from lkgrag.ranker.model import RankerModel
from lkgrag.ranker.scoring import Predictions, score_queries

__all__ = [
    "Fusion",
    "Predictions",
    "RankerBatch",
    "RankerModel",
    "RankerOutput",
    "TermLists",
    "centre",
    "cross_fit_weights",
    "fit_weights",
    "list_cross_entropy",
    "score_queries",
]
