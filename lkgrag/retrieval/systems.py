"""The systems of stage one: which ones a configuration asks for, and all of them fitted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import torch

from lkgrag.errors import ConfigError
from lkgrag.retrieval.base import Retriever
from lkgrag.retrieval.custom import custom_systems
from lkgrag.retrieval.fusion.retriever import FusedRetriever
from lkgrag.retrieval.resolver import OPTION, SYSTEMS, resolve_system
from lkgrag.utils.progress import activity

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

    from lkgrag.config import RetrievalConfig
    from lkgrag.data.interactions import Interactions


def check_systems(config: RetrievalConfig) -> None:
    """Refuse what cannot be fused or folded, before anything is trained.

    Raises:
        ConfigError: ``retrieval.systems`` is empty or names an unknown system; or ``retrieval.crossfit_folds``
            leaves nothing to fit on; or a custom retriever or its options do not keep the contract.
    """
    least = 2 if config.crossfit == "users" else 1
    if config.crossfit_folds is not None and config.crossfit_folds < least:
        raise ConfigError(
            f"retrieval.crossfit_folds must be at least {least} with retrieval.crossfit={config.crossfit}, "
            f"got {config.crossfit_folds}"
        )
    if config.systems is not None and not config.systems:
        raise ConfigError(f"{OPTION} is empty; choose from {', '.join(SYSTEMS)}")
    custom_systems(config)


def check_data(config: RetrievalConfig, interactions: Interactions) -> None:
    """Refuse data that a fused built-in system cannot be fitted on.

    Raises:
        DataError: there are too many items for it, or something that it needs is missing.
    """
    for name in fused_systems(config, interactions):
        if name in SYSTEMS:
            SYSTEMS[name].check_data(interactions)


def fused_systems(config: RetrievalConfig, interactions: Interactions) -> list[str]:
    """Names of the systems that are fused.

    They are those of the configuration; by default all built-in ones that suit the data.

    Raises:
        ConfigError: as :func:`~lkgrag.retrieval.resolver.resolve_system`.
    """
    if config.systems is not None:
        return [resolve_system(target).name for target in config.systems]
    return [name for name, cls in SYSTEMS.items() if cls.is_default(interactions)]


def fit_systems(
    interactions: Interactions,
    data: HeteroData,
    config: RetrievalConfig,
    seed: int,
    fitted: Sequence[Retriever] = (),
    device: torch.device | None = None,
) -> FusedRetriever:
    """Fit the built-in systems that are fused or always fitted; weights are even until they are fitted.

    Args:
        interactions: training interactions only.
        data: the graph of the same interactions.
        config: names the systems that are fused, and has the options of all.
        seed: of the run.
        fitted: systems that were fitted on the same interactions already: LRURec, which a run stops on
            validation and caches, and the custom ones.
        device: to fit on (default: the CPU).

    Returns:
        Built-in systems in the order of :data:`~lkgrag.retrieval.SYSTEMS`, then all others of ``fitted``.
    """
    fused = fused_systems(config, interactions)
    systems: dict[str, Retriever] = {}
    ready = {system.name: system for system in fitted}
    for name, cls in SYSTEMS.items():
        if name in ready:
            systems[name] = ready[name]
        elif cls.is_always_fitted or name in fused:
            with activity(f"fit {name}"):
                systems[name] = cls.fit(
                    interactions=interactions,
                    data=data,
                    device=device or torch.device("cpu"),
                    seed=seed,
                    **cls.options_of(config),
                )
    even = {name: 1.0 / len(fused) for name in fused}
    return FusedRetriever(
        {**systems, **ready}, even, config.mask_seen, custom_systems(config), config.new_items
    )
