"""The stages of a run up to the candidates: data, graph, stage one. Each is cached by what it depends on."""

from __future__ import annotations

import hashlib
import logging
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from lkgrag.config.identity import to_dict
from lkgrag.data import Interactions, Queries, make_split
from lkgrag.data.memory import check_same, content_digest
from lkgrag.data.readers import read_tables
from lkgrag.errors import DataError
from lkgrag.kg import build_kg, load_kg, save_kg
from lkgrag.retrieval import (
    CandidateLists,
    Fits,
    FusedRetriever,
    LRURecOptions,
    LRURecRetriever,
    Progress,
    StageOne,
    ValidationEvents,
    fit_lrurec,
    fit_stage_one,
)
from lkgrag.retrieval.custom import custom_code, fit_custom, load_custom, save_custom
from lkgrag.retrieval.resolver import resolve_system
from lkgrag.run.cache import StageCache
from lkgrag.utils.files import read_json, read_safetensors, write_json, write_safetensors
from lkgrag.utils.plugins import source_hash

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData

    from lkgrag.config import Config
    from lkgrag.data import Split
    from lkgrag.data.splits.base import Events
    from lkgrag.retrieval import Retriever

log = logging.getLogger(__name__)


@dataclass
class Loaded:
    """The data of a run.

    Attributes:
        interactions: the sequences.
        split: what trains, validates and tests.
        key: what every later stage depends on: the options of the data and a hash of the files.
    """

    interactions: Interactions
    split: Split
    key: dict[str, Any]


def load_data(config: Config, interactions: Interactions | None = None) -> Loaded:
    """Read, filter, order and split the interactions.

    Args:
        config: of the run.
        interactions: data in memory, in place of files; they are only split.

    Raises:
        DataError: a file is missing or broken, too little is left, or an option needs points in time where
            the times are mere positions, or none is known.
        AssetError: the data set could not be fetched.
    """
    if interactions is not None:
        check_same(config, interactions)
        sha = content_digest(interactions)
    else:
        tables, sha = read_tables(config.data)
        interactions = Interactions.from_tables(tables, config.data)
    for option, needs in {
        "kg.temporal=true": config.kg.temporal,
        "data.split=time": config.data.split == "time",
    }.items():
        if needs and not interactions.dated:
            raise DataError(
                f"{option} compares the times of different users, but those of data.name={config.data.name} "
                "are positions in each user's history (nearly all begin at 0 or 1); leave it out"
            )
    if config.kg.temporal:
        _check_times(interactions)
    options = {k: v for k, v in to_dict(config.data).items() if k != "root"}
    return Loaded(
        interactions, make_split(interactions, config.data), {"data": options, "files": sha}
    )


def _check_times(interactions: Interactions) -> None:
    """Refuse ``kg.temporal`` where no time is known; warn where some are not.

    Raises:
        DataError: there is no time.
    """
    unknown = int(np.isnan(interactions.time).sum())
    if unknown == len(interactions):
        raise DataError(
            "kg.temporal=true keeps edges from predictions that are earlier, but no interaction has a "
            "time; leave it out, or name the column of times by data.columns={time: ...}"
        )
    if unknown:
        log.warning(
            "kg.temporal=true: %d of %d interactions have no time; edges that rest on them always stand, "
            "and predictions of them use all edges",
            unknown,
            len(interactions),
        )


def stage_kg(
    cache: StageCache, config: Config, loaded: Loaded, train_end: NDArray[np.int64]
) -> HeteroData:
    """The graph that the first ``train_end[user]`` interactions of each user give."""
    depends = {**loaded.key, "kg": to_dict(config.kg), "train_end": _digest(train_end)}
    return cache.stage(
        "kg",
        depends,
        lambda folder: save_kg(build_kg(loaded.interactions, train_end, config.kg), folder / "kg"),
        lambda folder: load_kg(folder / "kg"),
    )


def stage_lrurec(
    cache: StageCache,
    config: Config,
    loaded: Loaded,
    device: torch.device,
    train_end: NDArray[np.int64],
    *,
    val: Events | None,
    epochs: int | None,
) -> tuple[LRURecRetriever, Progress]:
    """LRURec on the first ``train_end[user]`` interactions; it needs no graph.

    Args:
        cache: of stages.
        config: of the run.
        loaded: its data.
        device: to train on.
        train_end: int64 ``[num_users]``.
        val: the validation events of the run's split, to stop on, or none.
        epochs: number of epochs (default: ``retrieval.epochs``).
    """
    options = LRURecOptions.of(config.retrieval)

    def build(folder: Path) -> None:
        lrurec, progress = fit_lrurec(
            loaded.interactions.first(train_end),
            options,
            config.seed,
            val=None if val is None else ValidationEvents.of(loaded.interactions, val),
            epochs=epochs,
            checkpoint=folder / "training.safetensors",
            device=device,
        )
        lrurec.save(folder)
        write_json(folder / "progress.json", asdict(progress))
        (folder / "training.safetensors").unlink(missing_ok=True)

    def load(folder: Path) -> tuple[LRURecRetriever, Progress]:
        progress = Progress(**read_json(folder / "progress.json"))
        return LRURecRetriever.load(folder), progress

    depends = {
        **loaded.key,
        "train_end": _digest(train_end),
        "lrurec": asdict(options),
        "validated": val is not None,
        "most_epochs": epochs,
        "seed": config.seed,
    }
    return cache.stage("lrurec", depends, build, load)


def stage_custom(
    cache: StageCache,
    config: Config,
    loaded: Loaded,
    device: torch.device,
    target: str,
    train_end: NDArray[np.int64],
    data: HeteroData,
) -> Retriever:
    """A custom retriever on the first ``train_end[user]`` interactions.

    Args:
        cache: of stages.
        config: of the run.
        loaded: its data.
        device: to fit on.
        target: the element of ``retrieval.systems``.
        train_end: int64 ``[num_users]``.
        data: the graph of the same interactions.
    """
    name = resolve_system(target).name

    def build(folder: Path) -> None:
        fitted = fit_custom(
            loaded.interactions, config.retrieval, config.seed, target, train_end, data, device
        )
        save_custom(fitted, folder / name, target)

    depends = {
        **loaded.key,
        "kg": to_dict(config.kg),
        "train_end": _digest(train_end),
        "target": target,
        "kwargs": config.retrieval.kwargs.get(name),
        "code": source_hash(resolve_system(target)),
        "seed": config.seed,
    }
    # Stored caches have the stage under this name.
    return cache.stage("own", depends, build, lambda folder: load_custom(folder / name, target))


def _digest(train_end: NDArray[np.int64]) -> str:
    return hashlib.sha256(train_end.astype("<i8").tobytes()).hexdigest()


def retrieval_key(config: Config, loaded: Loaded) -> dict[str, Any]:
    """What stage one depends on; an edited custom retriever counts as another one."""
    return {
        **loaded.key,
        "kg": to_dict(config.kg),
        "retrieval": to_dict(config.retrieval),
        "seed": config.seed,
        **custom_code(config.retrieval),
    }


def stage_retrieval(
    cache: StageCache, config: Config, loaded: Loaded, device: torch.device
) -> StageOne:
    """Stage one in full and cross-fitted, and the candidates of all events."""

    def build(folder: Path) -> None:
        one = fit_stage_one(
            loaded.interactions,
            loaded.split,
            lambda end: stage_kg(cache, config, loaded, end),
            config.retrieval,
            config.seed,
            Fits(
                lrurec=partial(stage_lrurec, cache, config, loaded, device),
                custom=partial(stage_custom, cache, config, loaded, device),
                device=device,
            ),
        )
        one.retriever.save(folder / "retriever")
        for name in ("examples", "val", "test"):
            getattr(one, name).save(folder / f"{name}.parquet")
        write_safetensors(folder / "fit.safetensors", {"fit_end": torch.as_tensor(one.fit_end)})
        write_json(folder / "report.json", one.report)

    def load(folder: Path) -> StageOne:
        lists = {
            n: CandidateLists.load(folder / f"{n}.parquet") for n in ("examples", "val", "test")
        }
        return StageOne(
            retriever=FusedRetriever.load(folder / "retriever"),
            fit_end=read_safetensors(folder / "fit.safetensors")["fit_end"].numpy(),
            report=read_json(folder / "report.json"),
            **lists,
        )

    return cache.stage("retrieval", retrieval_key(config, loaded), build, load)


def queries_for(config: Config, loaded: Loaded, lists: CandidateLists) -> Queries:
    """The rankings to make for candidate lists."""
    return Queries.from_events(
        loaded.interactions, lists.events, lists.items, lists.scores, config.paths.history
    )
