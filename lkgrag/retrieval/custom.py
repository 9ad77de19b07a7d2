"""Custom retrievers: named by the user, fitted, tried before anything depends on them, saved and loaded."""

from __future__ import annotations

import copy
import os
import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lkgrag.errors import ConfigError, nearest
from lkgrag.retrieval.resolver import CONTRACT, KWARGS, OPTION, SYSTEMS, resolve_system
from lkgrag.retrieval.trial import odd_histories, try_out
from lkgrag.text.absence import advise_on_vectors
from lkgrag.utils.failures import guard_custom_code
from lkgrag.utils.plugins import Call, source_hash

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData

    from lkgrag.config import RetrievalConfig
    from lkgrag.data.interactions import Interactions
    from lkgrag.retrieval.base import Retriever

#: Most users whose histories a fitted retriever is tried with.
TRIED = 16


def custom_systems(config: RetrievalConfig) -> dict[str, str]:
    """The custom retrievers: by the name of the system, the element of ``retrieval.systems``.

    Raises:
        ConfigError: as :func:`~lkgrag.retrieval.resolver.resolve_system`; or two have the same name; or
            ``retrieval.kwargs`` has options for another system, or options that its ``fit`` does not take.
    """
    targets: dict[str, str] = {}
    for target in config.systems or []:
        if target in SYSTEMS:
            continue
        cls = resolve_system(target)
        if targets.setdefault(cls.name, target) != target:
            raise ConfigError(
                f"{OPTION}: {targets[cls.name]} and {target} have the same name '{cls.name}'"
            )
    for name in config.kwargs:
        if name not in targets:
            raise ConfigError(
                f"{KWARGS}: no custom retriever is called '{name}'.{nearest(name, list(targets))} "
                f"It takes {{name: {{option: value}}}} for those of {OPTION}"
            )
    for name, target in targets.items():
        cls = resolve_system(target)
        fit = Call(cls.fit, cls, f"fit() of {cls.__name__}", CONTRACT, f"{OPTION}={target}", KWARGS)
        fit.check(_kwargs(config, name))
    return targets


def custom_code(config: RetrievalConfig) -> dict[str, str | None]:
    """A hash of each custom retriever's module, by the option that names it."""
    return {
        f"{OPTION}={target}": source_hash(resolve_system(target))
        for target in custom_systems(config).values()
    }


def fit_custom(
    interactions: Interactions,
    config: RetrievalConfig,
    seed: int,
    target: str,
    train_end: NDArray[np.int64],
    data: HeteroData,
    device: torch.device | None = None,
) -> Retriever:
    """Fit a custom retriever, and check whether it keeps the contract.

    It gets the training interactions only, so that it cannot learn from others.

    Args:
        interactions: the sequences.
        config: options of retrieval.
        seed: of the run.
        target: the element of ``retrieval.systems``.
        train_end: int64 ``[num_users]``, how many interactions of each user it may learn from.
        data: the graph of the same interactions.
        device: to fit on (default: the CPU).

    Raises:
        ConfigError: it fails, or its scores do not keep the contract; the message names its class.
    """
    cls = resolve_system(target)
    kwargs = _kwargs(config, cls.name)
    # A copy of tables and ids, too: a custom retriever may change them.
    training = copy.deepcopy(interactions.first(train_end))
    label = f"{OPTION}={target}"

    def tell(error: BaseException) -> str:
        given = ", ".join(f"{k}={v!r}" for k, v in kwargs.items()) or "nothing"
        cause = f"{type(error).__name__}: {error}"
        return (
            f"{label}: fit() of {cls.__name__} fails with {KWARGS} ({given}): {cause}; "
            + advise_on_vectors(error, data)
        )

    place = device or torch.device("cpu")
    with guard_custom_code(tell), _seeded(seed, place):
        fitted = cls.fit(interactions=training, data=data, device=place, seed=seed, **kwargs)
    if not isinstance(fitted, cls):
        raise ConfigError(
            f"{label}: fit() must return a {cls.__name__}, got {type(fitted).__name__}"
        )
    longest = np.argsort(-np.diff(training.indptr), kind="stable")[:TRIED]
    histories = [training.sequence(int(user)) for user in longest]
    try_out(fitted, histories, interactions.num_items, label)
    return fitted


def save_custom(retriever: Retriever, folder: str | os.PathLike[str], target: str) -> None:
    """Write a custom retriever, and check that its scores survive.

    Args:
        retriever: fitted.
        folder: to write into.
        target: the element of ``retrieval.systems``.

    Raises:
        ConfigError: it cannot be saved or loaded, or its scores differ afterwards.
    """
    label, name = f"{OPTION}={target}", type(retriever).__name__
    Path(folder).mkdir(parents=True, exist_ok=True)
    with guard_custom_code(lambda e: f"{label}: save() of {name} fails ({type(e).__name__}: {e})"):
        retriever.save(folder)
    if not os.listdir(folder):
        raise ConfigError(f"{label}: save() of {name} writes nothing into the folder")
    loaded = load_custom(folder, target)
    histories = odd_histories(retriever.num_items)
    if not np.array_equal(retriever.evidence(histories), loaded.evidence(histories)):
        raise ConfigError(f"{label}: {name} has other scores after save() and load()")


def load_custom(folder: str | os.PathLike[str], target: str) -> Retriever:
    """Read what :func:`save_custom` wrote.

    Args:
        folder: to read from.
        target: the element of ``retrieval.systems``.

    Raises:
        ConfigError: the class is not available, or cannot read the folder.
    """
    cls = resolve_system(target)
    where = Path(folder)
    with guard_custom_code(
        lambda e: f"{OPTION}={target}: {cls.__name__} cannot load {where} ({type(e).__name__}: {e})"
    ):
        loaded = cls.load(where)
    if not isinstance(loaded, cls):
        raise ConfigError(
            f"{OPTION}={target}: load() must return a {cls.__name__}, got {type(loaded).__name__}"
        )
    return loaded


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """Seed all global generators within, and restore them afterwards."""
    before, numbers = random.getstate(), np.random.get_state()
    devices = [] if device.type == "cpu" else [device]
    # Gradients that are switched off within are on again afterwards.
    with torch.random.fork_rng(devices=devices), torch.enable_grad():
        torch.manual_seed(seed)
        random.seed(seed)
        np.random.seed(seed % 2**32)
        try:
            yield
        finally:
            random.setstate(before)
            np.random.set_state(numbers)


def _kwargs(config: RetrievalConfig, name: str) -> dict[str, Any]:
    """The options of a custom retriever."""
    given = config.kwargs.get(name) or {}
    if not isinstance(given, dict):
        raise ConfigError(f"{KWARGS}: '{name}' takes {{option: value}}, got {given!r}")
    return {str(key): value for key, value in given.items()}
