"""The knowledge graph: relations and their words, and tables to ``HeteroData``."""

from lkgrag.kg.builder import build_kg
from lkgrag.kg.checks.leaks import check_no_leak, find_leaks
from lkgrag.kg.names import Names
from lkgrag.kg.naming import (
    REVERSE,
    base_name,
    inverse,
    phrase,
    phrase_metapath,
    short,
    short_metapath,
)
from lkgrag.kg.path_words import Audience, PathWords
from lkgrag.kg.remote import RemoteKG
from lkgrag.kg.storage import load_kg, save_kg
from lkgrag.kg.summary import KGRow, kg_table
from lkgrag.kg.temporal import as_of
from lkgrag.kg.vocabulary import SYMMETRIC, Relation

__all__ = [
    "REVERSE",
    "SYMMETRIC",
    "Audience",
    "KGRow",
    "Names",
    "PathWords",
    "Relation",
    "RemoteKG",
    "as_of",
    "base_name",
    "build_kg",
    "check_no_leak",
    "find_leaks",
    "inverse",
    "kg_table",
    "load_kg",
    "phrase",
    "phrase_metapath",
    "save_kg",
    "short",
    "short_metapath",
]
