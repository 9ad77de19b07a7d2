"""The stages of a run up to the candidates: graph and stage one. Each is cached by its key."""

from __future__ import annotations

import logging
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import torch

from lkgrag.data.dataset import Dataset
from lkgrag.kg import build_kg, load_kg, save_kg
from lkgrag.paths import ExamplePaths, graph_paths
from lkgrag.retrieval import (
    CandidateLists,
    Fits,
    FusedRetriever,
    LRURecOptions,
    LRURecRetriever,
    Progress,
    StageOne,
    TextRetriever,
    ValidationEvents,
    fit_lrurec,
    fit_stage_one,
)
from lkgrag.retrieval.custom import fit_custom, load_custom, save_custom
from lkgrag.retrieval.requests import fit_requests
from lkgrag.retrieval.resolver import resolve_system
from lkgrag.run.keys import StageKeys
from lkgrag.text import EncoderChoice, item_texts, load_encoder
from lkgrag.text.requests import RequestModel
from lkgrag.utils.files import read_json, read_safetensors, write_json, write_safetensors
from lkgrag.utils.group import ALONE, Group
from lkgrag.utils.progress import activity

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy as np
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData

    from lkgrag.config import Config
    from lkgrag.data import Interactions, Queries
    from lkgrag.data.splits import Events
    from lkgrag.retrieval import Retriever
    from lkgrag.run.cache import StageCache

    #: Takes the file of a checkpoint; gives the trained retriever and its progress.
    TrainLRURec = Callable[[Path], tuple[LRURecRetriever, Progress]]

log = logging.getLogger(__name__)


#: File of the cached stage one that says what each graph of the examples may hold.
FITS = "fit.safetensors"


def load_dataset(config: Config, interactions: Interactions | None = None) -> Dataset:
    """The data of a run; arguments and errors as of :meth:`lkgrag.data.Dataset.load`."""
    return Dataset.load(config.data, interactions, needs_time=config.kg.temporal)


def read_fits(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Read which graphs stage two's examples have.

    Returns:
        ``fit_ends`` and ``fold`` of a :class:`~lkgrag.retrieval.StageOne`.

    Raises:
        LkgragError: the file is missing or broken.
    """
    tensors = read_safetensors(path)
    # Older versions stored one row, of the one graph of all examples.
    ends = torch.atleast_2d(tensors["fit_end"])
    return ends.numpy(), tensors.get("fold", torch.zeros_like(ends[0])).numpy()


@dataclass(frozen=True)
class Stages:
    """The cached stages of one run.

    Attributes:
        cache: cache of the stages.
        config: configuration of the run.
        dataset: data of the run.
        device: device for training.
    """

    cache: StageCache
    config: Config
    dataset: Dataset
    device: torch.device

    @cached_property
    def keys(self) -> StageKeys:
        """The key of each stage."""
        return StageKeys(self.dataset.key, self.config)

    @cached_property
    def vectors(self) -> torch.Tensor | None:
        """Vectors of the items' texts, float32 ``[I, dim]``; None without an encoder."""
        choice = EncoderChoice.of(self.config.text, self.config.llm)
        if choice is None:
            return None
        texts = item_texts(self.dataset.interactions.items)

        def build(folder: Path) -> None:
            if not any(texts):
                log.warning("no item has a text: all vectors are zero; set text.encoder=none")
            with activity("load the encoder"):
                encoder = load_encoder(choice, self.device)
            x = torch.from_numpy(encoder.encode(texts))
            write_safetensors(folder / "vectors.safetensors", {"x": x})

        def load(folder: Path) -> torch.Tensor:
            return read_safetensors(folder / "vectors.safetensors")["x"]

        return self.cache.load_or_build("vectors", self.keys.vectors(texts), build, load)

    def kg(self, train_end: NDArray[np.int64]) -> HeteroData:
        """The graph of the first ``train_end[user]`` interactions of each user.

        With an encoder, ``data["item"].x`` holds the vectors of the items' texts. They are the same for all
        graphs, so the cached graphs do not hold them.
        """

        def build(folder: Path) -> None:
            with activity("build the graph"):
                graph = build_kg(
                    self.dataset.interactions, train_end, self.config.kg, engine=self.config.engine
                )
                save_kg(graph, folder / "kg")

        data = self.cache.load_or_build(
            "kg", self.keys.kg(train_end), build, lambda folder: load_kg(folder / "kg")
        )
        if self.vectors is not None:
            data["item"].x = self.vectors
        return data

    def lrurec(
        self,
        train_end: NDArray[np.int64],
        *,
        val: Events | None,
        epochs: int | None,
        train: TrainLRURec | None = None,
    ) -> tuple[LRURecRetriever, Progress]:
        """LRURec, trained on the first ``train_end[user]`` interactions of each user.

        Args:
            train_end: int64 ``[num_users]``.
            val: events that decide when training stops, of the run's own split; None for none.
            epochs: number of epochs; None for ``retrieval.epochs``.
            train: takes the file of the checkpoint, and trains (default: :meth:`train_lrurec`).

        Returns:
            The retriever, and the progress of its training.
        """

        def build(folder: Path) -> None:
            checkpoint = folder / "training.safetensors"
            if train is None:
                lrurec, progress = self.train_lrurec(train_end, val, epochs, checkpoint)
            else:
                lrurec, progress = train(checkpoint)
            lrurec.save(folder)
            write_json(folder / "progress.json", asdict(progress))
            checkpoint.unlink(missing_ok=True)

        def load(folder: Path) -> tuple[LRURecRetriever, Progress]:
            progress = Progress(**read_json(folder / "progress.json"))
            return LRURecRetriever.load(folder), progress

        key = self.keys.lrurec(train_end, val is not None, epochs)
        return self.cache.load_or_build("lrurec", key, build, load)

    def train_lrurec(
        self,
        train_end: NDArray[np.int64],
        val: Events | None,
        epochs: int | None,
        checkpoint: Path | None,
        group: Group = ALONE,
    ) -> tuple[LRURecRetriever, Progress]:
        """Train LRURec; arguments as of :meth:`lrurec`.

        Args:
            train_end: int64 ``[num_users]``.
            val: events that decide when training stops.
            epochs: number of epochs.
            checkpoint: file of its state.
            group: the processes that train together.
        """
        interactions = self.dataset.interactions
        return fit_lrurec(
            interactions.first(train_end),
            LRURecOptions.of(self.config.retrieval),
            self.config.seed,
            val=None if val is None else ValidationEvents.of(interactions, val),
            epochs=epochs,
            checkpoint=checkpoint,
            device=self.device,
            group=group,
        )

    def text(self, train_end: NDArray[np.int64], data: HeteroData) -> TextRetriever:
        """Text towers, trained on the first ``train_end[user]`` interactions of each user.

        Args:
            train_end: int64 ``[num_users]``.
            data: the graph of the same interactions, for the vectors of the items' texts.

        Returns:
            The retriever, with the curve of its training.
        """

        def build(folder: Path) -> None:
            interactions = self.dataset.interactions.first(train_end)
            with activity(f"fit {TextRetriever.name}"):
                text = TextRetriever.fit(interactions, data, self.device, self.config.seed)
            text.save(folder)
            write_json(folder / "progress.json", {"curve": text.towers.curve})

        def load(folder: Path) -> TextRetriever:
            text = TextRetriever.load(folder)
            # The curve is no part of a saved retriever.
            text.towers.curve = read_json(folder / "progress.json")["curve"]
            return text

        return self.cache.load_or_build("text", self.keys.text(train_end), build, load)

    def custom_retriever(
        self, target: str, train_end: NDArray[np.int64], data: HeteroData
    ) -> Retriever:
        """A custom retriever, fitted on the first ``train_end[user]`` interactions of each user.

        Args:
            target: its name in ``retrieval.systems``.
            train_end: int64 ``[num_users]``.
            data: the graph of the same interactions.
        """
        name = resolve_system(target).name

        def build(folder: Path) -> None:
            retriever = fit_custom(
                self.dataset.interactions,
                self.config.retrieval,
                self.config.seed,
                target,
                train_end,
                data,
                self.device,
            )
            save_custom(retriever, folder / name, target)

        key = self.keys.custom_retriever(target, train_end)
        # "own" is the name that older versions gave the folders.
        return self.cache.load_or_build(
            "own", key, build, lambda folder: load_custom(folder / name, target)
        )

    def retrieval(self) -> StageOne:
        """Stage one in full and cross-fitted, and the candidates of all events."""

        def build(folder: Path) -> None:
            stage_one = fit_stage_one(
                self.dataset.interactions,
                self.dataset.split,
                self.kg,
                self.config.retrieval,
                self.config.seed,
                Fits(self.lrurec, self.text, self.custom_retriever, self.device),
            )
            stage_one.retriever.save(folder / "retriever")
            for name in ("examples", "val", "test"):
                getattr(stage_one, name).save(folder / f"{name}.parquet")
            fits = {"fit_end": stage_one.fit_ends, "fold": stage_one.fold}
            tensors = {name: torch.as_tensor(value) for name, value in fits.items()}
            write_safetensors(folder / FITS, tensors)
            write_json(folder / "report.json", stage_one.report)

        def load(folder: Path) -> StageOne:
            lists = {
                n: CandidateLists.load(folder / f"{n}.parquet") for n in ("examples", "val", "test")
            }
            fit_ends, fold = read_fits(folder / FITS)
            return StageOne(
                retriever=FusedRetriever.load(folder / "retriever"),
                fit_ends=fit_ends,
                fold=fold,
                report=read_json(folder / "report.json"),
                **lists,
            )

        return self.cache.load_or_build("retrieval", self.keys.retrieval(), build, load)

    def requests(self, stage_one: StageOne) -> RequestModel | None:
        """The model of requests in words, weighed on validation events; None where items have no texts that differ.

        Args:
            stage_one: its retriever has not seen these events.
        """
        interactions, config = self.dataset.interactions, self.config
        if not RequestModel.is_possible(interactions.items):
            return None
        vectors = None if self.vectors is None else self.vectors.cpu().numpy()

        def build(folder: Path) -> None:
            choice = EncoderChoice.of(config.text, config.llm)
            with activity("learn requests"):
                encode = None if choice is None else load_encoder(choice, self.device).encode
                model = fit_requests(
                    RequestModel.of(interactions.items, vectors),
                    stage_one.retriever,
                    interactions,
                    self.dataset.split.val,
                    config.seed,
                    encode,
                )
            model.save(folder)

        return self.cache.load_or_build(
            "requests", self.keys.requests(), build, lambda f: RequestModel.load(f, vectors)
        )

    def example_paths(self, stage_one: StageOne) -> ExamplePaths:
        """The graphs of stage two's training examples, and their paths."""
        ends, paths = stage_one.fit_ends, self.config.paths
        return ExamplePaths([graph_paths(self.kg(end), paths) for end in ends], stage_one.fold)

    def queries(self, lists: CandidateLists) -> Queries:
        """The rankings to make for candidate lists."""
        return lists.queries(self.dataset.interactions, self.config.paths.history)
