"""Stage one: retrievers, their fusion, candidate lists and cross-fitting.

A custom retriever needs no registration: ``retrieval.systems=[lrurec,package.module:Class]``. A package may
name its retrievers by entry points of the group ``lkgrag.retrievers``.
"""

from lkgrag.retrieval.base import BuiltInRetriever, Retriever, log_shares
from lkgrag.retrieval.candidates import CandidateLists, candidate_lists
from lkgrag.retrieval.crossfit import crossfitted_lists
from lkgrag.retrieval.ease import EASERetriever
from lkgrag.retrieval.fusion.fitting import Fold, Weights, fit_fusion
from lkgrag.retrieval.fusion.retriever import FusedRetriever
from lkgrag.retrieval.graph import GraphRetriever
from lkgrag.retrieval.itemitem import ItemItemRetriever
from lkgrag.retrieval.lrurec.network import LRURec
from lkgrag.retrieval.lrurec.options import LRURecOptions
from lkgrag.retrieval.lrurec.retriever import LRURecRetriever, fit_lrurec
from lkgrag.retrieval.lrurec.state import Progress
from lkgrag.retrieval.lrurec.validation import ValidationEvents
from lkgrag.retrieval.popularity import PopularityRetriever
from lkgrag.retrieval.resolver import SYSTEMS
from lkgrag.retrieval.stage_one import Fits, StageOne, fit_stage_one, summary
from lkgrag.retrieval.systems import fit_systems
from lkgrag.retrieval.text.retriever import TextRetriever

__all__ = [
    "SYSTEMS",
    "BuiltInRetriever",
    "CandidateLists",
    "EASERetriever",
    "Fits",
    "Fold",
    "FusedRetriever",
    "GraphRetriever",
    "ItemItemRetriever",
    "LRURec",
    "LRURecOptions",
    "LRURecRetriever",
    "PopularityRetriever",
    "Progress",
    "Retriever",
    "StageOne",
    "TextRetriever",
    "ValidationEvents",
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
