"""Stage one for data that have grown: each system for more users, items and interactions, with the learned weights."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np
import torch

from lkgrag.errors import ConfigError
from lkgrag.retrieval.base import Retriever
from lkgrag.retrieval.custom import fit_custom
from lkgrag.retrieval.resolver import OPTION, SYSTEMS
from lkgrag.retrieval.trial import try_out
from lkgrag.utils.failures import guard_custom_code
from lkgrag.utils.progress import activity

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData

    from lkgrag.config import RetrievalConfig
    from lkgrag.data.interactions import Interactions
    from lkgrag.retrieval.fusion.retriever import FusedRetriever

log = logging.getLogger(__name__)


def grow_retriever(
    retriever: FusedRetriever,
    interactions: Interactions,
    data: HeteroData,
    config: RetrievalConfig,
    seed: int,
    device: torch.device | None = None,
) -> FusedRetriever:
    """Extend all systems (:meth:`Retriever.extend`); the weights of fusion stay.

    A custom system without that method is fitted again.

    Args:
        retriever: of before.
        interactions: all that is known now; known items have the indices that they had.
        data: the graph of these interactions.
        config: options of retrieval.
        seed: of the run.
        device: to compute on (default: the CPU).

    Raises:
        DataError: there are too many items now for a system.
        ConfigError: a custom retriever fails, or what it gives does not keep the contract.
    """
    for name in retriever.weights:
        if name in SYSTEMS and SYSTEMS[name].default_items is not None:
            SYSTEMS[name].check_data(interactions)
    place = device or torch.device("cpu")
    systems: dict[str, Retriever] = {}
    for name, system in retriever.systems.items():
        with activity(f"update {name}"):
            target = retriever.custom.get(name)
            if target is None:
                systems[name] = system.extend(interactions, data, place, seed)
            else:
                systems[name] = _grow_custom(
                    system, target, interactions, data, config, seed, place
                )
    return retriever.replaced(systems)


def _grow_custom(
    system: Retriever,
    target: str,
    interactions: Interactions,
    data: HeteroData,
    config: RetrievalConfig,
    seed: int,
    device: torch.device,
) -> Retriever:
    """A custom system, extended or fitted again."""
    cls, label = type(system), f"{OPTION}={target}"
    if cls.extend is Retriever.extend:
        log.warning("%s has no method extend: it is fitted again", label)
        whole = np.diff(interactions.indptr)
        return fit_custom(interactions, config, seed, target, whole, data, device)

    def tell(error: BaseException) -> str:
        cause = f"{type(error).__name__}: {error}"
        return f"{label}: extend() of {cls.__name__} fails ({cause}); --debug shows where"

    with guard_custom_code(tell):
        grown = system.extend(interactions, data, device, seed)
    if not isinstance(grown, cls):
        raise ConfigError(
            f"{label}: extend() must return a {cls.__name__}, got {type(grown).__name__}"
        )
    histories = [interactions.sequence(u) for u in range(min(16, interactions.num_users))]
    try_out(grown, histories, interactions.num_items, label)
    return grown
