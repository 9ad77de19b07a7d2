"""The knowledge graph: relations and their words, and tables to ``HeteroData``."""

from lkgrag.kg.builder import build_kg
from lkgrag.kg.leaks import check_no_leak, find_leaks
from lkgrag.kg.names import Names
from lkgrag.kg.remote import RemoteKG
from lkgrag.kg.schema import (
    REVERSE,
    base_name,
    inverse,
    phrase,
    phrase_metapath,
    short,
    short_metapath,
)
from lkgrag.kg.storage import load_kg, save_kg
from lkgrag.kg.table import KGRow, kg_table
from lkgrag.kg.temporal import as_of
from lkgrag.kg.vocabulary import SYMMETRIC, Relation
from lkgrag.kg.words import Audience, PathWords

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
