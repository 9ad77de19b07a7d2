"""Where edges come from: columns and triples of the data, and relation sources.

A relation source (:class:`~lkgrag.kg.RelationSource`) makes one relation from the training interactions,
from the items' titles, or from anything else. Each stands in a file of its own, ``resolver.py`` lists them,
and ``making.py`` checks what they give. ``columns.py``, ``triples.py`` and ``attributes.py`` read relations
off the tables.
"""

from lkgrag.kg.sources.resolver import (
    BUILT_IN,
    GROUP,
    check_source,
    custom_relation_code,
    custom_sources,
    is_symmetric,
    register_relation_source,
    registered,
    relation_sources,
    unregister_relation_source,
)

__all__ = [
    "BUILT_IN",
    "GROUP",
    "check_source",
    "custom_relation_code",
    "custom_sources",
    "is_symmetric",
    "register_relation_source",
    "registered",
    "relation_sources",
    "unregister_relation_source",
]
