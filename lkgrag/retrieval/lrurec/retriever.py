"""LRURec as a retriever."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from lkgrag.retrieval.base import BuiltInRetriever, sequences_of
from lkgrag.retrieval.lrurec.induction import induce
from lkgrag.retrieval.lrurec.network import LRURec
from lkgrag.retrieval.lrurec.options import LRURecOptions
from lkgrag.retrieval.lrurec.scoring import score_histories
from lkgrag.retrieval.lrurec.training import Training
from lkgrag.utils.files import read_json, read_safetensors, write_json, write_safetensors
from lkgrag.utils.group import ALONE, Group

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData

    from lkgrag.config import RetrievalConfig
    from lkgrag.data.interactions import Interactions
    from lkgrag.retrieval.lrurec.state import Progress
    from lkgrag.retrieval.lrurec.validation import ValidationEvents


class LRURecRetriever(BuiltInRetriever):
    """A trained LRURec.

    Args:
        model: the network.
        max_len: latest items of a history that it reads.
    """

    name = "lrurec"
    is_always_fitted = True

    def __init__(self, model: LRURec, max_len: int) -> None:
        self.model = model
        self.max_len = max_len
        self.num_items = model.num_items

    @classmethod
    def options_of(cls, config: RetrievalConfig) -> dict[str, Any]:
        """All options of LRURec in one object."""
        return {"options": LRURecOptions.of(config)}

    @classmethod
    def fit(
        cls,
        interactions: Interactions,
        data: HeteroData | None = None,
        device: torch.device | None = None,
        seed: int = 0,
        *,
        options: LRURecOptions,
    ) -> LRURecRetriever:
        """Train for ``options.epochs`` epochs; the graph is not needed.

        A run calls :func:`fit_lrurec` instead, which stops on validation and can be resumed.
        """
        trained, _ = fit_lrurec(interactions, options, seed, device=device or "cpu")
        return cls(trained.model.cpu(), trained.max_len)

    def extend(
        self, interactions: Interactions, data: HeteroData, device: torch.device, seed: int
    ) -> LRURecRetriever:
        """The trained network, with vectors of new items from those of their neighbours.

        See :mod:`lkgrag.retrieval.lrurec.induction`. All weights stay, and so do the vectors of known items.
        """
        return LRURecRetriever(_grown(self.model, interactions, data), self.max_len)

    def score(self, histories: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Logits of all items after the latest ``max_len``; the item bias for an empty history."""
        return score_histories(self.model, histories, self.max_len)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write ``lrurec.safetensors`` and ``lrurec.json``."""
        model = self.model
        write_safetensors(Path(folder) / "lrurec.safetensors", model.state_dict())
        shape = {
            "num_items": model.num_items,
            "width": model.norm.normalized_shape[0],
            "blocks": len(model.layers),
            "dropout": model.dropout.p,
        }
        write_json(Path(folder) / "lrurec.json", {"model": shape, "max_len": self.max_len})

    @classmethod
    def load(cls, folder: str | os.PathLike[str]) -> LRURecRetriever:
        """Read a saved model.

        Raises:
            LkgragError: a file is missing or broken.
        """
        meta = read_json(Path(folder) / "lrurec.json")
        model = LRURec(**meta["model"])
        model.load_state_dict(read_safetensors(Path(folder) / "lrurec.safetensors"))
        return cls(model.eval(), meta["max_len"])


def _grown(model: LRURec, interactions: Interactions, data: HeteroData) -> LRURec:
    """A copy of a network with rows for new items."""
    state = {name: value.detach().cpu() for name, value in model.state_dict().items()}
    table, bias = state["embedding.weight"], state["bias"]
    known, padding = table[: model.num_items], table[model.num_items :]
    vectors, biases = induce(known.numpy(), bias.numpy(), interactions, data)
    state["embedding.weight"] = torch.cat([known, torch.from_numpy(vectors), padding])
    state["bias"] = torch.cat([bias, torch.from_numpy(biases)])
    (width,) = model.norm.normalized_shape
    grown = LRURec(interactions.num_items, width, len(model.layers), model.dropout.p)
    grown.load_state_dict(state)
    return grown.eval()


def fit_lrurec(
    interactions: Interactions,
    options: LRURecOptions,
    seed: int,
    *,
    val: ValidationEvents | None = None,
    epochs: int | None = None,
    checkpoint: str | os.PathLike[str] | None = None,
    device: torch.device | str = "cpu",
    group: Group = ALONE,
) -> tuple[LRURecRetriever, Progress]:
    """Train LRURec on training interactions.

    With ``val``, training stops after ``options.patience`` epochs without a better NDCG@10, and the best weights
    are kept. Ranks are masked as in the test. Nothing else depends on the validation items. Without ``val``,
    training runs ``epochs`` epochs.

    Args:
        interactions: training interactions only.
        options: of network and training.
        seed: of weights, batches and dropout.
        val: events to stop on; at most :data:`~lkgrag.retrieval.lrurec.training.JUDGED` of them are used.
        epochs: number of epochs (default: ``options.epochs``).
        checkpoint: file to which the state is written after every epoch. Where it exists, training
            resumes from it and ends with the same weights as an undisturbed run.
        device: to train on.
        group: the processes that train together; each calls this with the same arguments, and the first one writes
            and reads ``checkpoint``.

    Returns:
        The retriever, on ``device``, and how its training went.

    Raises:
        RunError: the checkpoint belongs to other options or data.
    """
    training = Training(
        sequences_of(interactions),
        interactions.num_items,
        options,
        seed,
        torch.device(device),
        group,
    )
    path = None if checkpoint is None else Path(checkpoint)
    training.run(options.epochs if epochs is None else epochs, val, path)
    return LRURecRetriever(training.finished(), options.max_len), training.progress
