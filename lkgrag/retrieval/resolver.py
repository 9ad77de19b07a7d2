"""From an element of ``retrieval.systems`` to a retriever.

A custom retriever needs no registration: ``retrieval.systems=[lrurec,package.module:Class]``. A package may
name its retrievers by entry points of the group ``lkgrag.retrievers``.
"""

from __future__ import annotations

import re

from lkgrag.errors import ConfigError
from lkgrag.retrieval.base import BuiltInRetriever, Retriever
from lkgrag.retrieval.ease import EASERetriever
from lkgrag.retrieval.graph import GraphRetriever
from lkgrag.retrieval.itemitem import ItemItemRetriever
from lkgrag.retrieval.lrurec.retriever import LRURecRetriever
from lkgrag.retrieval.popularity import PopularityRetriever
from lkgrag.retrieval.text.retriever import TextRetriever
from lkgrag.utils.layout import BESIDE, SYSTEM_ORDER
from lkgrag.utils.plugins import resolve

#: The retrievers of this package, in the order in which stage one fits and fuses them.
BUILT_INS: tuple[type[BuiltInRetriever], ...] = (
    LRURecRetriever,
    PopularityRetriever,
    ItemItemRetriever,
    GraphRetriever,
    EASERetriever,
    TextRetriever,
)
#: The same by name.
SYSTEMS: dict[str, type[BuiltInRetriever]] = {cls.name: cls for cls in BUILT_INS}
#: Entry points of other packages: name = "package.module:Class".
GROUP = "lkgrag.retrievers"
#: The option that names retrievers, and the option of the arguments of custom ones.
OPTION, KWARGS = "retrieval.systems", "retrieval.kwargs"
#: What ``fit`` is given by name.
CONTRACT = ("interactions", "data", "device", "seed")
#: A word for options, files and columns of tables.
NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")


def resolve_system(target: str) -> type[Retriever]:
    """The class that an element of ``retrieval.systems`` means.

    Args:
        target: a name of :data:`SYSTEMS`, the name of an entry point of :data:`GROUP`, or
            ``package.module:Class``.

    Raises:
        ConfigError: there is no such name, it cannot be imported, or it is no retriever; or the class has no
            ``fit``, or its ``name`` is invalid or taken.
    """
    built_ins = {name: f"{cls.__module__}:{cls.__qualname__}" for name, cls in SYSTEMS.items()}
    cls: type[Retriever] = resolve(target, built_ins, GROUP, OPTION, Retriever, "system")
    if target not in SYSTEMS:
        _check_custom(cls, f"{OPTION}={target}")
    return cls


def _check_custom(cls: type[Retriever], label: str) -> None:
    """Refuse a custom class without ``fit`` or with a name that a run cannot use."""
    name = getattr(cls, "name", None)
    if not isinstance(name, str) or NAME.fullmatch(name) is None:
        raise ConfigError(
            f"{label}: {cls.__name__} needs a class attribute 'name', a word of at most 32 small letters, "
            "digits and _"
        )
    if name in SYSTEMS or name in SYSTEM_ORDER:
        raise ConfigError(
            f"{label}: the name '{name}' of {cls.__name__} belongs to a system of the tables; choose another"
        )
    if name in BESIDE:
        raise ConfigError(
            f"{label}: the name '{name}' of {cls.__name__} belongs to another part of metrics.json; choose "
            "another"
        )
    if getattr(cls.fit, "__func__", None) in (None, Retriever.fit.__func__):  # type: ignore[attr-defined]
        raise ConfigError(f"{label}: {cls.__name__} has no class method fit (@classmethod)")
