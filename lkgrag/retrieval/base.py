"""The contract of a retriever: scores of all items for any history."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from contextlib import nullcontext
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from scipy import sparse

from lkgrag.retrieval.products import HistoryWeights
from lkgrag.utils.failures import guard_custom_code
from lkgrag.utils.plugins import is_custom

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData

    from lkgrag.config import RetrievalConfig
    from lkgrag.data.interactions import Interactions

#: Cells of a block of scores ``[histories, items]``; bounds the memory of any number of users.
BLOCK = 8_000_000
#: Share of the probability that is spread over all items, so that no item without counts has probability 0.
UNIFORM = 0.05


class Retriever(ABC):
    """Scores every item for a history; learned from training interactions alone.

    The option ``retrieval.systems=[...,package.module:Class]`` names a custom retriever.
    :class:`~lkgrag.testing.RetrieverTests` tests it.

    Attributes:
        name: the word for ``retrieval.systems`` and for tables; at most 32 small letters, digits and ``_``.
        num_items: ``I``.
        holds_histories: whether what :meth:`save` writes holds interactions of single users. None: nobody knows, so
            the ranker is not shared without its histories.
    """

    name: ClassVar[str]
    holds_histories: ClassVar[bool | None] = None
    num_items: int

    @classmethod
    def fit(
        cls,
        interactions: Interactions,
        data: HeteroData,
        device: torch.device,
        seed: int,
        # Any further arguments, so that subclasses may have options of any name.
        *args: Any,
        **kwargs: Any,
    ) -> Retriever:
        """Learn from interactions.

        The program calls it as ``fit(interactions=..., data=..., device=..., seed=..., **kwargs)``, once
        for serving and once for each fold of cross-fitting. Built-in and custom retrievers get the same.

        Args:
            interactions: training interactions only. All users and items are there; a user may have no
                interaction.
            data: the knowledge graph that is built on these interactions.
            device: to fit on. What is returned works on the CPU.
            seed: of the run. For a custom retriever the global generators of torch, NumPy and Python are
                seeded with it, too.
            args: none.
            kwargs: for a custom retriever its part of ``retrieval.kwargs``, ``{name: {option: value}}``;
                for a built-in one :meth:`BuiltInRetriever.options_of`.

        Returns:
            A fitted object of the class.

        Raises:
            NotImplementedError: the class has no such method.
        """
        raise NotImplementedError(f"{cls.__name__} has no class method fit")

    @abstractmethod
    def score(self, histories: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Score all items.

        Args:
            histories: ``B`` arrays of item indices, oldest first. Any may be empty or belong to an unknown
                user.

        Returns:
            float32 ``[B, I]``, finite, higher is better. Seen items are not masked here.
        """

    def extend(
        self, interactions: Interactions, data: HeteroData, device: torch.device, seed: int
    ) -> Retriever:
        """The retriever for data that have grown; what was learned stays, and what is counted is counted anew.

        A saved ranker that is updated calls it. A custom retriever may leave it out: then it is fitted again, with
        its options. One that takes long to train should give new items scores here, without training.

        Args:
            interactions: all interactions that are known now. Items and users of before have the indices that they
                had, and new ones follow.
            data: the knowledge graph of these interactions.
            device: to compute on. What is returned works on the CPU.
            seed: of the run.

        Returns:
            An object of the same class for ``interactions.num_items`` items; this one stays as it is.

        Raises:
            NotImplementedError: the class has no such method.
        """
        raise NotImplementedError(f"{type(self).__name__} has no method extend")

    def evidence(self, histories: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Log-probabilities of all items, the form in which systems are fused.

        By default the scores are taken as logits of any size, since fusion learns a factor for each system.
        Where they are counts, return :func:`log_shares` of them.

        Args:
            histories: as in :meth:`score`.

        Returns:
            float32 ``[B, I]``, finite.
        """
        return log_softmax(self.score(histories))

    @abstractmethod
    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write safetensors and JSON into a folder. For a custom retriever the folder exists already."""

    @classmethod
    @abstractmethod
    def load(cls, folder: str | os.PathLike[str]) -> Retriever:
        """Read what :meth:`save` wrote; scores are bit-equal.

        Raises:
            LkgragError: a file is missing or broken.
        """


def ask_evidence(retriever: Retriever, histories: list[NDArray[np.int64]]) -> NDArray[np.float32]:
    """The evidence of a retriever; what a custom one raises becomes one line.

    Args:
        retriever: fitted.
        histories: as in :meth:`Retriever.score`.

    Raises:
        ConfigError: a custom retriever fails; the message names its class.
    """
    cls = type(retriever)

    def tell(error: BaseException) -> str:
        label = f"retrieval.systems={cls.__module__}:{cls.__qualname__}: evidence()"
        return f"{label} fails ({type(error).__name__}: {error}); --debug shows where"

    with guard_custom_code(tell) if is_custom(cls) else nullcontext():
        return retriever.evidence(histories)


class BuiltInRetriever(Retriever):
    """A retriever of this package, listed in :data:`lkgrag.retrieval.resolver.BUILT_INS`.

    Attributes:
        is_always_fitted: whether stage one fits and reports it even where ``retrieval.systems`` leaves it
            out. Otherwise it is fitted only where it is fused.
        default_items: most items of a catalogue for which it is fused by default; None for any number.
    """

    # Counts of items and of pairs of items, and learned weights.
    holds_histories: ClassVar[bool | None] = False
    is_always_fitted: ClassVar[bool] = False
    default_items: ClassVar[int | None] = None

    @classmethod
    def options_of(cls, config: RetrievalConfig) -> dict[str, Any]:
        """The keyword arguments of :meth:`fit` that a configuration gives, beyond the contract's."""
        return {}

    @classmethod
    def is_default(cls, interactions: Interactions) -> bool:
        """Whether it is fused where ``retrieval.systems`` is not given."""
        return cls.default_items is None or interactions.num_items <= cls.default_items

    @classmethod
    def check_data(cls, interactions: Interactions) -> None:
        """Refuse data that cannot be fitted; called before anything is trained.

        Raises:
            DataError: there are too many items, or something is missing. By default any data are accepted.
        """


def log_shares(counts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log of each row's shares, of which :data:`UNIFORM` is spread over all items.

    Args:
        counts: float32 ``[B, I]``, none below 0.

    Returns:
        float32 ``[B, I]``, finite; a row without counts is uniform.
    """
    total = counts.sum(1, keepdims=True, dtype=np.float64)
    counted = np.where(total > 0, 1.0 - UNIFORM, 0.0)
    share = counts * (counted / np.where(total > 0, total, 1.0)).astype(np.float32)
    share += ((1.0 - counted) / counts.shape[1]).astype(np.float32)
    return np.log(share, out=share)


def log_softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log-probabilities of scores that are logits, float32 ``[B, I]``."""
    # Torch rejects arrays with negative strides, and warns of read-only ones.
    plain = np.require(scores, np.float32, ["C", "W"])
    return torch.log_softmax(torch.from_numpy(plain), 1).numpy()


def sequences_of(interactions: Interactions) -> list[NDArray[np.int64]]:
    """The items of each user in time order, int64 arrays."""
    return [interactions.sequence(user) for user in range(interactions.num_users)]


def rows_per_block(num_items: int, systems: int = 1) -> int:
    """How many histories to score at once."""
    return max(1, BLOCK // (num_items * systems))


def recency(histories: list[NDArray[np.int64]], decay: float, num_items: int) -> sparse.csr_matrix:
    """Weights of the history items, ``decay ** age`` with age 0 for the latest.

    Returns:
        float32 ``[B, I]``, sparse; an item that occurs twice has the sum of both weights.
    """
    return HistoryWeights.of(histories, decay, num_items).matrix()


def sparse_tensors(matrix: sparse.csr_matrix) -> dict[str, torch.Tensor]:
    """A sparse matrix as tensors for a file."""
    return {
        "indptr": torch.from_numpy(matrix.indptr.astype(np.int64)),
        "indices": torch.from_numpy(matrix.indices.astype(np.int64)),
        "data": torch.from_numpy(matrix.data.astype(np.float32)),
        "shape": torch.tensor(matrix.shape),
    }


def sparse_matrix(tensors: dict[str, torch.Tensor]) -> sparse.csr_matrix:
    """The inverse of :func:`sparse_tensors`."""
    parts = tuple(tensors[k].numpy() for k in ("data", "indices", "indptr"))
    return sparse.csr_matrix(parts, shape=tuple(tensors["shape"].tolist()))
