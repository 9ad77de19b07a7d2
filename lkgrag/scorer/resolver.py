"""From ``scorer.name`` to a scorer."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch

from lkgrag.errors import ConfigError
from lkgrag.scorer.base import PathScorer
from lkgrag.utils.failures import guard_custom_code
from lkgrag.utils.plugins import Call, resolve, source_hash

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

    from lkgrag.config import ScorerConfig
    from lkgrag.paths import GraphPaths
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
    return resolve(name, REGISTERED, GROUP, OPTION, PathScorer, "scorer")


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
    constructor = f"the constructor of {cls.__name__}"
    Call(cls.__init__, cls, constructor, CONTRACT, OPTION, "scorer.kwargs").check(kwargs)
    num_nodes = {t: int(data[t].num_nodes or 0) for t in data.node_types}

    def tell(error: BaseException) -> str:
        given = ", ".join(f"{k}={v!r}" for k, v in kwargs.items()) or "nothing"
        cause = str(error) if isinstance(error, TypeError | ValueError) else repr(error)
        return (
            f"scorer.name={config.name}: {cls.__name__} cannot be built with scorer.kwargs "
            f"({given}): {cause}"
        )

    with guard_custom_code(tell):
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


def new_scorer(config: ScorerConfig, search: str, graph: GraphPaths, seed: int) -> PathScorer:
    """A fresh scorer whose initial weights follow from the run's seed.

    Args:
        config: ``name`` and ``kwargs``.
        search: ``paths.search``; ``shortest`` finds the meta-paths as it goes.
        graph: whose paths are to be scored; only its types and numbers of nodes are looked at.
        seed: of the initial weights.

    Raises:
        ConfigError: it cannot be built, or it must know all meta-paths beforehand and the search does not.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        scorer = build_scorer(config, graph.data, graph.metapaths)
    if search == "shortest" and not scorer.open_metapaths:
        raise ConfigError(
            f"scorer.name={config.name} must know all meta-paths beforehand, but "
            "paths.search=shortest finds them as it goes: set paths.search=metapaths, or scorer.name to "
            "published or shortest"
        )
    return scorer
