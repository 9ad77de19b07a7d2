"""The knowledge graph: from tables to a PyG ``HeteroData``, and its relations in words.

``base.py`` has the contracts, foremost :class:`RelationSource`: a class that makes one relation.
``sources`` holds those of this package and what reads relations off the data, ``builder.py`` makes the
graph of them, and ``checks`` looks at what it knows. ``naming.py`` and ``path_words.py`` put relations and
whole paths into words. A custom relation needs no change here: register its source
(:func:`register_relation_source`), or name it by an entry point of the group ``lkgrag.relations``.
"""

from lkgrag.kg.audience import Audience
from lkgrag.kg.base import REVERSE, Edges, MetaPath, Relation, RelationSource, Training
from lkgrag.kg.builder import build_kg
from lkgrag.kg.checks.leaks import check_no_leak, find_leaks
from lkgrag.kg.large.making import make_graph
from lkgrag.kg.large.tables import TableKG
from lkgrag.kg.names import Names
from lkgrag.kg.naming import (
    base_name,
    inverse,
    phrase,
    phrase_metapath,
    short,
    short_metapath,
)
from lkgrag.kg.path_words import PathWords
from lkgrag.kg.remote import RemoteKG
from lkgrag.kg.sources.counting import Pairs, count_users
from lkgrag.kg.sources.resolver import (
    SYMMETRIC,
    custom_relation_code,
    is_symmetric,
    register_relation_source,
    relation_sources,
    unregister_relation_source,
)
from lkgrag.kg.storage import load_kg, save_kg
from lkgrag.kg.store.ladybug import LadybugStore
from lkgrag.kg.store.rows import RowReads, Rows
from lkgrag.kg.store.writing import write_ladybug
from lkgrag.kg.summary import KGRow, kg_table
from lkgrag.kg.temporal import as_of

__all__ = [
    "REVERSE",
    "SYMMETRIC",
    "Audience",
    "Edges",
    "KGRow",
    "LadybugStore",
    "MetaPath",
    "Names",
    "Pairs",
    "PathWords",
    "Relation",
    "RelationSource",
    "RemoteKG",
    "RowReads",
    "Rows",
    "TableKG",
    "Training",
    "as_of",
    "base_name",
    "build_kg",
    "check_no_leak",
    "count_users",
    "custom_relation_code",
    "find_leaks",
    "inverse",
    "is_symmetric",
    "kg_table",
    "load_kg",
    "make_graph",
    "phrase",
    "phrase_metapath",
    "register_relation_source",
    "relation_sources",
    "save_kg",
    "short",
    "short_metapath",
    "unregister_relation_source",
    "write_ladybug",
]
