"""The registry of relation sources: those of this package, and custom ones.

A custom source is registered by :func:`register_relation_source`, or by an entry point of the group
``lkgrag.relations`` in an installed package. From then on its relation is in every graph, unless
``kg.relations`` or ``kg.exclude`` leaves it out.
"""

from __future__ import annotations

import functools
import inspect
import re
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import entry_points
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from lkgrag.errors import ConfigError
from lkgrag.kg.base import REVERSE, Relation, RelationSource
from lkgrag.kg.reserved import GRAPH, NODES
from lkgrag.kg.sources.co_rated import CoRated
from lkgrag.kg.sources.followed_by import FollowedBy
from lkgrag.kg.sources.rated import Rated
from lkgrag.kg.sources.similar_title import SimilarTitle
from lkgrag.kg.vocabulary import well_known
from lkgrag.utils.plugins import import_class, source_hash

if TYPE_CHECKING:
    from collections.abc import Mapping

#: Sources of this package, in the order of their edge types in the graph.
BUILT_IN: tuple[type[RelationSource], ...] = (Rated, FollowedBy, CoRated, SimilarTitle)
#: Relations of this package that are their own inverse; :func:`is_symmetric` knows custom ones too.
SYMMETRIC = frozenset(source.relation.name for source in BUILT_IN if source.symmetric)
#: Entry points of other packages: name = "package.module:Class".
GROUP = "lkgrag.relations"
#: A word for options, files and edge types.
NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")

Source = TypeVar("Source", bound=type[RelationSource])

_BUILT_IN: dict[str, RelationSource] = {cls.relation.name: cls() for cls in BUILT_IN}
_REGISTERED: dict[str, RelationSource] = {}


@functools.cache
def relation_sources() -> Mapping[str, RelationSource]:
    """All sources by the name of their relation, in the order of their edge types in the graph.

    Those of this package come first, then custom ones by name.

    Raises:
        ConfigError: an entry point cannot be imported, or two sources have one name.
    """
    custom = dict(_installed())
    for name, source in _REGISTERED.items():
        _refuse_second(name, custom.get(name), source)
        custom[name] = source
    return MappingProxyType({**_BUILT_IN, **dict(sorted(custom.items()))})


def custom_sources() -> dict[str, RelationSource]:
    """The custom sources by the name of their relation.

    Raises:
        ConfigError: as :func:`relation_sources`.
    """
    return {name: s for name, s in relation_sources().items() if name not in _BUILT_IN}


def is_symmetric(relation: str) -> bool:
    """Whether a relation holds both directions in one edge type and has no inverse."""
    source = relation_sources().get(relation)
    return source is not None and source.symmetric


def register_relation_source(source: Source) -> Source:
    """Make a custom source known in this process; may be used as a decorator.

    Args:
        source: the class. Registered again, as by a notebook's cell, it replaces its former self.

    Raises:
        ConfigError: the class does not keep the contract, or its relation's name is taken.
    """
    check_source(source)
    made = source()
    _refuse_second(made.name, _REGISTERED.get(made.name), made)
    _REGISTERED[made.name] = made
    relation_sources.cache_clear()
    return source


def unregister_relation_source(name: str) -> None:
    """Forget a custom source that was registered in this process; others stay."""
    _REGISTERED.pop(name, None)
    relation_sources.cache_clear()


@contextmanager
def registered(source: type[RelationSource]) -> Iterator[None]:
    """Register a source within a ``with`` block, as tests do; one that is there anyway stays."""
    check_source(source)
    name = source.relation.name
    there = source in BUILT_IN or type(_REGISTERED.get(name)) is source
    if not there:
        register_relation_source(source)
    try:
        yield
    finally:
        if not there:
            unregister_relation_source(name)


def check_source(source: type[RelationSource]) -> None:
    """Refuse a class that is no source, or whose relation's name is taken or no plain word.

    Raises:
        ConfigError: naming the class and what to change.
    """
    if not (inspect.isclass(source) and issubclass(source, RelationSource)):
        raise ConfigError(f"{source!r} is no subclass of lkgrag.kg.RelationSource")
    label = class_name(source)
    missing = ", ".join(sorted(getattr(source, "__abstractmethods__", ())))
    if missing:
        raise ConfigError(f"{label} has no method {missing}")
    relation = getattr(source, "relation", None)
    if not isinstance(relation, Relation) or relation.node != "item":
        raise ConfigError(f"{label}: set `relation` to a lkgrag.kg.Relation whose node is 'item'")
    allowed = {"owner": ("item", "user"), "made_of": ("interactions", "titles", "elsewhere")}
    for attribute, words in allowed.items():
        if getattr(source, attribute) not in words:
            raise ConfigError(f"{label}: `{attribute}` must be one of {', '.join(words)}")
    if source.symmetric and source.owner != "item":
        raise ConfigError(f"{label}: a relation from users to items cannot be symmetric")
    _check_name(relation.name, source)


def custom_relation_code() -> dict[str, str]:
    """What graphs depend on beside data and options: by custom source a hash of its module.

    Returns:
        Empty without custom sources. Where no source code is available, the class's name stands for it.

    Raises:
        ConfigError: as :func:`relation_sources`.
    """
    return {
        f"kg.relations.{name}": source_hash(type(source)) or class_name(type(source))
        for name, source in custom_sources().items()
    }


def class_name(source: type[RelationSource]) -> str:
    """The address of a class, ``package.module:Class``."""
    return f"{source.__module__}:{source.__qualname__}"


def _check_name(name: str, source: type[RelationSource]) -> None:
    label = class_name(source)
    if not NAME.fullmatch(name) or name.startswith(REVERSE):
        raise ConfigError(
            f"{label}: the relation's name '{name}' must be at most 32 small letters, digits and _, "
            f"begin with a letter and not with '{REVERSE}'"
        )
    if name in (*NODES, *GRAPH):
        raise ConfigError(
            f"{label}: a graph has an attribute or node type '{name}'; choose another name"
        )
    if name in _BUILT_IN and source not in BUILT_IN:
        raise ConfigError(f"{label}: this package has a relation '{name}'; choose another name")
    if well_known(name) is not None:
        raise ConfigError(
            f"{label}: '{name}' is a relation of columns and triples; choose another name"
        )


def _refuse_second(name: str, first: RelationSource | None, second: RelationSource) -> None:
    if first is not None and class_name(type(first)) != class_name(type(second)):
        raise ConfigError(
            f"{class_name(type(second))}: the relation '{name}' is that of "
            f"{class_name(type(first))}; rename one"
        )


@functools.cache
def _installed() -> dict[str, RelationSource]:
    """The sources of installed packages, by the name of their relation."""
    sources: dict[str, RelationSource] = {}
    for point in sorted(entry_points(group=GROUP), key=lambda p: (p.name, p.value)):
        cls: type[RelationSource] = import_class(point.value, GROUP, RelationSource, point.name)
        check_source(cls)
        source = cls()
        _refuse_second(source.name, sources.get(source.name), source)
        sources[source.name] = source
    return sources
