"""Stage one: retrievers, their fusion, candidate lists and cross-fitting.

A retriever of your own needs no registration: ``retrieval.systems=[lrurec,package.module:Class]``. A
package may give its retrievers names by entry points of the group ``lkgrag.retrievers``.
"""

from lkgrag.retrieval.base import Retriever, log_shares
from lkgrag.retrieval.candidates import CandidateLists, candidate_lists
from lkgrag.retrieval.crossfit import (
    Fold,
    StageOne,
    Weights,
    crossfitted_lists,
    fit_fusion,
    fit_stage_one,
    fit_systems,
    summary,
)
from lkgrag.retrieval.ease import EASERetriever
from lkgrag.retrieval.fusion.retriever import SYSTEMS, FusedRetriever
from lkgrag.retrieval.graph import GraphRetriever
from lkgrag.retrieval.itemitem import ItemItemRetriever
from lkgrag.retrieval.lrurec.network import LRURec
from lkgrag.retrieval.lrurec.retriever import LRURecRetriever
from lkgrag.retrieval.lrurec.state import Progress
from lkgrag.retrieval.lrurec.training import fit_lrurec
from lkgrag.retrieval.popularity import PopularityRetriever

__all__ = [
    "SYSTEMS",
    "CandidateLists",
    "EASERetriever",
    "Fold",
    "FusedRetriever",
    "GraphRetriever",
    "ItemItemRetriever",
    "LRURec",
    "LRURecRetriever",
    "PopularityRetriever",
    "Progress",
    "Retriever",
    "StageOne",
    "Weights",
    "candidate_lists",
    "crossfitted_lists",
    "fit_fusion",
    "fit_lrurec",
    "fit_stage_one",
    "fit_systems",
    "log_shares",
    "summary",
]
