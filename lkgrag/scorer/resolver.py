"""From ``scorer.name`` to a scorer."""

from __future__ import annotations

import inspect
from importlib.metadata import EntryPoint, entry_points
from typing import TYPE_CHECKING, Any

from lkgrag.crash import foreign
from lkgrag.errors import ConfigError, nearest
from lkgrag.importing import imported, source_hash
from lkgrag.scorer.base import PathScorer

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

    from lkgrag.config import ScorerConfig
    from lkgrag.paths.batch import MetaPath

#: Scorers of this package; imported when asked for.
REGISTERED = {
    "metapath_attention": "lkgrag.scorer.metapath_attention:MetapathAttention",
    "published": "lkgrag.scorer.published:PublishedPreference",
    "reference": "lkgrag.scorer.reference:ReferencePreference",
    "shortest": "lkgrag.scorer.shortest:Shortest",
}
#: Entry points of other packages: name = "package.module:Class".
GROUP = "lkgrag.scorers"
OPTION = "scorer.name"
#: What every scorer's constructor takes, by name.
CONTRACT = ("metadata", "num_nodes", "metapaths")


def resolve_scorer(name: str) -> type[PathScorer]:
    """The class that ``scorer.name`` means.

    Args:
        name: a name of :data:`REGISTERED`, the name of an entry point of :data:`GROUP`, or
            ``package.module:Class``. This package's names come first.

    Raises:
        ConfigError: no such scorer, it cannot be imported, or it is no scorer.
    """
    if name in REGISTERED:
        return imported(REGISTERED[name], OPTION, PathScorer, name)
    if ":" in name:
        return imported(name, OPTION, PathScorer)
    found: dict[str, EntryPoint] = {point.name: point for point in entry_points(group=GROUP)}
    if name in found:
        return imported(found[name].value, OPTION, PathScorer, name)
    known = sorted({*REGISTERED, *found})
    raise ConfigError(
        f"scorer.name: no scorer '{name}'.{nearest(name, known)} There are {', '.join(known)}; "
        "write your own as package.module:Class"
    )


def build_scorer(config: ScorerConfig, data: HeteroData, metapaths: list[MetaPath]) -> PathScorer:
    """Build the scorer of a configuration for a graph.

    Args:
        config: ``name`` and ``kwargs``.
        data: the graph; only its types and numbers of nodes are looked at.
        metapaths: as of the path finder.

    Raises:
        ConfigError: the scorer is unknown, an option of ``scorer.kwargs`` is not its own, or its
            constructor does not take what the contract gives.
    """
    cls = resolve_scorer(config.name)
    kwargs = {str(key): value for key, value in config.kwargs.items()}
    _check_arguments(cls, kwargs)
    num_nodes = {t: int(data[t].num_nodes or 0) for t in data.node_types}

    def tell(error: Exception) -> str:
        given = ", ".join(f"{k}={v!r}" for k, v in kwargs.items()) or "nothing"
        cause = str(error) if isinstance(error, TypeError | ValueError) else repr(error)
        return (
            f"scorer.name={config.name}: {cls.__name__} cannot be built with scorer.kwargs "
            f"({given}): {cause}"
        )

    with foreign(tell):
        return cls(
            metadata=data.metadata(), num_nodes=num_nodes, metapaths=list(metapaths), **kwargs
        )


def code_of(name: str) -> str | None:
    """A hash of the module that a scorer of someone else's is written in.

    What was trained with it depends on it; this package's own scorers follow its version.

    Args:
        name: as of :func:`resolve_scorer`.

    Returns:
        None for a scorer of this package, and where the source is not to be had.

    Raises:
        ConfigError: as :func:`resolve_scorer`.
    """
    return source_hash(resolve_scorer(name))


def _check_arguments(cls: type[PathScorer], kwargs: dict[str, Any]) -> None:
    parameters = inspect.signature(cls.__init__).parameters
    kinds = inspect.Parameter
    by_name = [
        n
        for n, p in parameters.items()
        if n != "self" and p.kind in (kinds.POSITIONAL_OR_KEYWORD, kinds.KEYWORD_ONLY)
    ]
    open_ended = any(p.kind is kinds.VAR_KEYWORD for p in parameters.values())
    for name in CONTRACT:
        if name in kwargs:
            raise ConfigError(f"scorer.kwargs: '{name}' is given by the program; leave it out")
        if name not in by_name and not open_ended:
            raise ConfigError(
                f"scorer.name: the constructor of {cls.__name__} must take {', '.join(CONTRACT)} "
                f"by name; it has no '{name}'"
            )
    own = [n for n in by_name if n not in CONTRACT]
    for name in kwargs:
        if name not in own and not open_ended:
            has = f"it has {', '.join(own)}" if own else "it has none"
            raise ConfigError(
                f"scorer.kwargs: {cls.__name__} has no option '{name}'.{nearest(name, own)} ({has})"
            )
    for name in own:
        if parameters[name].default is kinds.empty and name not in kwargs:
            raise ConfigError(f"scorer.kwargs: {cls.__name__} needs the option '{name}'; give it")
