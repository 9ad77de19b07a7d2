"""Building a scorer from ``scorer.name`` and ``scorer.kwargs``."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import torch

from lkgrag.errors import ConfigError
from lkgrag.scorer.base import PathScorer
from lkgrag.utils.failures import guard_custom_code
from lkgrag.utils.plugins import Call, is_custom, resolve, source_hash

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

    from lkgrag.config import ScorerConfig
    from lkgrag.paths import GraphPaths
    from lkgrag.paths.batch import MetaPath

#: The scorers of this package, which are imported when they are used.
REGISTERED = {
    "graphsage": "lkgrag.scorer.graphsage:GraphSAGE",
    "hgt": "lkgrag.scorer.hgt:HGT",
    "kgat": "lkgrag.scorer.kgat:KGAT",
    "lightgcn": "lkgrag.scorer.lightgcn:LightGCN",
    "metapath_attention": "lkgrag.scorer.metapath_attention:MetapathAttention",
    "nbfnet": "lkgrag.scorer.nbfnet:NBFNet",
    "published": "lkgrag.scorer.published:PublishedPreference",
    "reference": "lkgrag.scorer.reference:ReferencePreference",
    "rgcn": "lkgrag.scorer.rgcn:RGCN",
    "shortest": "lkgrag.scorer.shortest:Shortest",
}
#: The group of the entry points by which other packages name their scorers.
GROUP = "lkgrag.scorers"
OPTION = "scorer.name"


def resolve_scorer(name: str) -> type[PathScorer]:
    """Find the class that ``scorer.name`` names.

    Args:
        name: a name of :data:`REGISTERED`, the name of an entry point of :data:`GROUP`, or
            ``package.module:Class``. A name of this package comes first.

    Raises:
        ConfigError: there is no such scorer, or it cannot be imported, or it is no scorer.
    """
    return resolve(name, REGISTERED, GROUP, OPTION, PathScorer, "scorer")


def build_scorer(config: ScorerConfig, data: HeteroData, metapaths: list[MetaPath]) -> PathScorer:
    """Build the scorer of a configuration for a graph.

    Args:
        config: ``name`` and ``kwargs``.
        data: the graph; only its types, numbers of nodes and widths of features are used.
        metapaths: those of the path finder.

    Raises:
        ConfigError: the scorer is unknown, it has no such option as in ``scorer.kwargs``, or its constructor
            does not take the arguments of the contract.
    """
    cls = resolve_scorer(config.name)
    kwargs = {str(key): value for key, value in config.kwargs.items()}
    constructor = f"the constructor of {cls.__name__}"
    graph = graph_arguments(cls, data)
    given = (*graph, "metapaths")
    Call(cls.__init__, cls, constructor, given, OPTION, "scorer.kwargs").check(kwargs)

    def tell(error: BaseException) -> str:
        options = ", ".join(f"{k}={v!r}" for k, v in kwargs.items()) or "nothing"
        cause = str(error) if isinstance(error, TypeError | ValueError) else repr(error)
        return (
            f"scorer.name={config.name}: {cls.__name__} cannot be built with scorer.kwargs "
            f"({options}): {cause}"
        )

    with guard_custom_code(tell), warnings.catch_warnings():
        # A graph without paths has layers of size 0, which is no fault.
        warnings.filterwarnings("ignore", "Initializing zero-element tensors")
        scorer = cls(**graph, metapaths=list(metapaths), **kwargs)
    # Attributes that only the base class sets.
    if not {"_parameters", "metapaths"} <= vars(scorer).keys():
        raise ConfigError(
            f"scorer.name={config.name}: {constructor} does not call "
            "super().__init__(metadata, num_nodes, metapaths); do so first"
        )
    return scorer


def check_search(config: ScorerConfig, search: str) -> None:
    """Refuse a scorer of this package that cannot do with paths of a search, before anything is computed.

    Args:
        config: ``name`` and ``kwargs``.
        search: ``paths.search``.

    Raises:
        ConfigError: there is no such scorer, or it needs all meta-paths before the search.
    """
    cls = resolve_scorer(config.name)
    is_open = cls.open_metapaths or config.kwargs.get("counts") is False
    # Others may say so in their constructors.
    if search == "shortest" and not is_open and not is_custom(cls):
        raise _needs_metapaths(config)


def _needs_metapaths(config: ScorerConfig) -> ConfigError:
    return ConfigError(
        f"scorer.name={config.name} needs all meta-paths before the search, but paths.search=shortest "
        "finds them during the search: set paths.search=metapaths, or scorer.name to nbfnet, published or "
        "shortest, or, for a network, scorer.kwargs={counts: false}"
    )


def graph_arguments(cls: type[PathScorer], data: HeteroData) -> dict[str, Any]:
    """The arguments of a scorer's constructor that tell of the graph.

    Args:
        cls: the scorer's class; see :attr:`PathScorer.takes_features`.
        data: the graph.
    """
    arguments = {
        "metadata": data.metadata(),
        "num_nodes": {t: int(data[t].num_nodes or 0) for t in data.node_types},
    }
    if cls.takes_features:
        arguments["num_features"] = {
            t: int(data[t].x.shape[1]) for t in data.node_types if "x" in data[t]
        }
    return arguments


def code_of(name: str) -> str | None:
    """Hash the source of the module that defines a custom scorer, because trained results depend on it.

    Args:
        name: as in :func:`resolve_scorer`.

    Returns:
        The hash; None for a scorer of this package, which has a version, and if the source is not available.

    Raises:
        ConfigError: as in :func:`resolve_scorer`.
    """
    return source_hash(resolve_scorer(name))


def new_scorer(config: ScorerConfig, search: str, graph: GraphPaths, seed: int) -> PathScorer:
    """Build a scorer whose initial weights follow from the run's seed.

    Args:
        config: ``name`` and ``kwargs``.
        search: ``paths.search``; with ``shortest`` the meta-paths are not known before the search.
        graph: the graph whose paths are scored; only its types and numbers of nodes are used.
        seed: of the initial weights.

    Raises:
        ConfigError: the scorer cannot be built, or it needs all meta-paths before the search, which does not
            know them.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        # Of a graph without paths some weights are empty, which torch warns of.
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Initializing zero-element tensors")
            scorer = build_scorer(config, graph.data, graph.metapaths)
    if search == "shortest" and not scorer.open_metapaths:
        raise _needs_metapaths(config)
    return scorer
