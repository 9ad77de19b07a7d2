"""Retrievers of your own in stage one: found by ``retrieval.systems``, fitted, and tried before they are used.

One needs no registration: ``retrieval.systems=[lrurec,package.module:Class]``. A package may give its
retrievers names by entry points of the group ``lkgrag.retrievers``.
"""

from __future__ import annotations

import copy
import os
import random
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
import torch

from lkgrag.errors import ConfigError, nearest
from lkgrag.retrieval.base import Retriever
from lkgrag.retrieval.fusion.retriever import SYSTEMS
from lkgrag.retrieval.trial import few, try_out
from lkgrag.utils.failures import foreign
from lkgrag.utils.layout import BESIDE
from lkgrag.utils.layout import SYSTEM_ORDER as TAKEN
from lkgrag.utils.plugins import Call, resolve, source_hash

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData

    from lkgrag.config import RetrievalConfig
    from lkgrag.data.interactions import Interactions

#: Entry points of other packages: name = "package.module:Class".
GROUP = "lkgrag.retrievers"
OPTION, KWARGS = "retrieval.systems", "retrieval.kwargs"
#: What ``fit`` of a retriever of one's own is given, by name.
CONTRACT = ("interactions", "data", "device", "seed")
#: A word for options, files and columns of tables.
NAME = re.compile(r"[a-z][a-z0-9_]{0,31}")
#: Histories that a fitted retriever is tried with, besides the empty one.
TRIED = 16


class FitOwn(Protocol):
    """Fits the retriever that ``retrieval.systems`` names; see :func:`fit_own`."""

    def __call__(self, target: str, train_end: NDArray[np.int64], data: HeteroData) -> Retriever:
        """The fitted retriever."""


def resolve_system(target: str) -> type[Retriever]:
    """The class that an element of ``retrieval.systems`` means.

    Args:
        target: a name of :data:`~lkgrag.retrieval.SYSTEMS`, of an entry point of :data:`GROUP`, or
            ``package.module:Class``.

    Raises:
        ConfigError: there is none, it cannot be imported, it is no retriever, or its ``name`` is none or
            another system's.
    """
    known = {name: f"{cls.__module__}:{cls.__qualname__}" for name, cls in SYSTEMS.items()}
    cls: type[Retriever] = resolve(target, known, GROUP, OPTION, Retriever, "system")
    if target in SYSTEMS:
        return cls
    label = f"{OPTION}={target}"
    name = getattr(cls, "name", None)
    if not isinstance(name, str) or NAME.fullmatch(name) is None:
        raise ConfigError(
            f"{label}: {cls.__name__} needs a class attribute 'name', a word of at most 32 small letters, "
            "digits and _"
        )
    if name in TAKEN:
        raise ConfigError(
            f"{label}: the name '{name}' of {cls.__name__} is that of a system of the tables; choose another"
        )
    if name in BESIDE:
        raise ConfigError(
            f"{label}: the name '{name}' of {cls.__name__} is that of another part of metrics.json; choose "
            "another"
        )
    if getattr(cls.fit, "__func__", None) in (None, Retriever.fit.__func__):  # type: ignore[attr-defined]
        raise ConfigError(f"{label}: {cls.__name__} has no class method fit (@classmethod)")
    return cls


def own_systems(config: RetrievalConfig) -> dict[str, str]:
    """The retrievers of one's own: for each name of a system, what ``retrieval.systems`` calls it.

    Raises:
        ConfigError: as :func:`resolve_system`; or two have one name, or ``retrieval.kwargs`` has options
            for another system, or such as its ``fit`` does not take.
    """
    own: dict[str, str] = {}
    for target in config.systems or []:
        if target in SYSTEMS:
            continue
        cls = resolve_system(target)
        if own.setdefault(cls.name, target) != target:
            raise ConfigError(
                f"{OPTION}: {own[cls.name]} and {target} have the same name '{cls.name}'"
            )
    for name in config.kwargs:
        if name not in own:
            raise ConfigError(
                f"{KWARGS}: no retriever of your own is called '{name}'.{nearest(name, list(own))} "
                f"It takes {{name: {{option: value}}}} for those of {OPTION}"
            )
    for name, target in own.items():
        cls = resolve_system(target)
        _fit_of(cls, target).check(_kwargs(config, name))
    return own


def code_of_systems(config: RetrievalConfig) -> dict[str, str | None]:
    """A hash of the module of each retriever of one's own, by what to call it in messages."""
    return {
        f"{OPTION}={target}": source_hash(resolve_system(target))
        for target in own_systems(config).values()
    }


def fit_own(
    interactions: Interactions,
    config: RetrievalConfig,
    seed: int,
    target: str,
    train_end: NDArray[np.int64],
    data: HeteroData,
    device: torch.device | None = None,
) -> Retriever:
    """Fit a retriever of one's own, and see whether it keeps the contract.

    It is shown the training interactions only, so that it cannot learn from others.

    Args:
        interactions: the sequences.
        config: options of retrieval.
        seed: of the run.
        target: as ``retrieval.systems`` calls it.
        train_end: int64 ``[num_users]``, how many interactions of each user it may learn from.
        data: the graph of the same interactions.
        device: to fit on (default: the CPU).

    Raises:
        ConfigError: it fails, or its scores do not keep the contract; the message names its class.
    """
    cls = resolve_system(target)
    kwargs = _kwargs(config, cls.name)
    # A copy of the tables and ids, too: what it does to them is nobody else's.
    known = copy.deepcopy(interactions.first(train_end))
    label = f"{OPTION}={target}"

    def tell(error: BaseException) -> str:
        given = ", ".join(f"{k}={v!r}" for k, v in kwargs.items()) or "nothing"
        cause = f"{type(error).__name__}: {error}"
        return (
            f"{label}: fit() of {cls.__name__} fails with {KWARGS} ({given}): {cause}; "
            "--debug shows where"
        )

    place = device or torch.device("cpu")
    with foreign(tell), _seeded(seed, place):
        found: Any = cls.fit(interactions=known, data=data, device=place, seed=seed, **kwargs)
    if not isinstance(found, cls):
        raise ConfigError(
            f"{label}: fit() must return a {cls.__name__}, got {type(found).__name__}"
        )
    longest = np.argsort(-np.diff(known.indptr), kind="stable")[:TRIED]
    try_out(found, [known.sequence(int(u)) for u in longest], interactions.num_items, label)
    return found


def save_own(retriever: Retriever, folder: str | os.PathLike[str], target: str) -> None:
    """Write a retriever of one's own, and see whether what was written gives the same scores.

    Args:
        retriever: fitted.
        folder: to write into.
        target: as ``retrieval.systems`` calls it.

    Raises:
        ConfigError: it cannot be saved or loaded, or scores differ after it.
    """
    label, name = f"{OPTION}={target}", type(retriever).__name__
    Path(folder).mkdir(parents=True, exist_ok=True)
    with foreign(lambda e: f"{label}: save() of {name} fails ({type(e).__name__}: {e})"):
        retriever.save(folder)
    if not os.listdir(folder):
        raise ConfigError(f"{label}: save() of {name} writes nothing into the folder")
    again = load_own(folder, target)
    histories = few(retriever.num_items)
    if not np.array_equal(retriever.evidence(histories), again.evidence(histories)):
        raise ConfigError(f"{label}: {name} has other scores after save() and load()")


def load_own(folder: str | os.PathLike[str], target: str) -> Retriever:
    """Read what :func:`save_own` wrote.

    Raises:
        ConfigError: the class is not to be had, or cannot read it.
    """
    cls = resolve_system(target)
    where = Path(folder)
    with foreign(
        lambda e: f"{OPTION}={target}: {cls.__name__} cannot load {where} ({type(e).__name__}: {e})"
    ):
        found: Any = cls.load(where)
    if not isinstance(found, cls):
        raise ConfigError(
            f"{OPTION}={target}: load() must return a {cls.__name__}, got {type(found).__name__}"
        )
    return found


@contextmanager
def _seeded(seed: int, device: torch.device) -> Iterator[None]:
    """What is drawn within, from any global generator, depends on the seed, and changes no draw outside."""
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
    given = config.kwargs.get(name) or {}
    if not isinstance(given, dict):
        raise ConfigError(f"{KWARGS}: '{name}' takes {{option: value}}, got {given!r}")
    return {str(key): value for key, value in given.items()}


def _fit_of(cls: type[Retriever], target: str) -> Call:
    return Call(cls.fit, cls, f"fit() of {cls.__name__}", CONTRACT, f"{OPTION}={target}", KWARGS)
