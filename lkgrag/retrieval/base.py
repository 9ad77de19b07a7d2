"""The contract of a retriever: scores of all items for anyone's history."""

from __future__ import annotations

import os
from abc import ABC, abstractmethod
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.data.interactions import Interactions

#: Cells of a block of scores ``[histories, items]``; bounds the memory of any number of users.
BLOCK = 8_000_000
#: Share of the probability that counts leave to items they say nothing of.
UNIFORM = 0.05


class Retriever(ABC):
    """Scores every item for a history; learned from training interactions alone.

    One of your own is named by ``retrieval.systems=[...,package.module:Class]`` and tested by
    :class:`~lkgrag.testing.RetrieverTests`.

    Attributes:
        name: the word for ``retrieval.systems`` and for tables; at most 32 small letters, digits and ``_``.
        num_items: ``I``.
    """

    name: ClassVar[str]
    num_items: int

    @classmethod
    def fit(cls, *args: Any, **kwargs: Any) -> Retriever:
        """Learn from interactions.

        The systems of this package take what they need. One of your own is called as
        ``fit(interactions=..., data=..., device=..., seed=..., **kwargs)``, once for serving and
        once for each fold of cross-fitting, with

        * ``interactions``: :class:`~lkgrag.data.Interactions` that hold nothing but training
          interactions; a user may have none.
        * ``data``: the graph that these give, a ``HeteroData``.
        * ``device``: a ``torch.device`` to fit on.
        * ``seed``: of the run; the global generators of torch, NumPy and Python are seeded with it.
        * ``kwargs``: of ``retrieval.kwargs``, ``{name: {option: value}}``.

        Raises:
            NotImplementedError: the class has none.
        """
        raise NotImplementedError(f"{cls.__name__} has no class method fit")

    @abstractmethod
    def score(self, histories: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Score all items.

        Args:
            histories: ``B`` arrays of item indices, oldest first; any may be empty or of someone
                unknown.

        Returns:
            float32 ``[B, I]``, finite, higher is better. Seen items are not masked here.
        """

    def evidence(self, histories: list[NDArray[np.int64]]) -> NDArray[np.float32]:
        """Log-probabilities of all items, the form in which systems are fused: float32 ``[B, I]``.

        By default the scores are logits, of any size, since fusion learns a factor for each system. Where
        they are counts, see :func:`log_shares`.
        """
        return log_softmax(self.score(histories))

    @abstractmethod
    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write safetensors and JSON into a folder; one of your own is given a folder that is there."""

    @classmethod
    @abstractmethod
    def load(cls, folder: str | os.PathLike[str]) -> Retriever:
        """Read what :meth:`save` wrote; scores are bit-equal.

        Raises:
            LkgragError: a file is missing or broken.
        """


def log_shares(counts: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log of each row's shares, of which :data:`UNIFORM` is spread over all items.

    Args:
        counts: float32 ``[B, I]``, none below 0.
    """
    total = counts.sum(1, keepdims=True, dtype=np.float64)
    known = np.where(total > 0, 1.0 - UNIFORM, 0.0)
    share = counts * (known / np.where(total > 0, total, 1.0)).astype(np.float32)
    share += ((1.0 - known) / counts.shape[1]).astype(np.float32)
    return np.log(share)


def log_softmax(scores: NDArray[np.float32]) -> NDArray[np.float32]:
    """Log-probabilities of scores that are logits, float32 ``[B, I]``."""
    # Torch takes no array that is read backwards, and warns of one that is not to be written.
    plain = np.require(scores, np.float32, ["C", "W"])
    return torch.log_softmax(torch.from_numpy(plain), 1).numpy()


def training_sequences(
    interactions: Interactions, train_end: NDArray[np.int64]
) -> list[NDArray[np.int64]]:
    """The first ``train_end[user]`` items of each user."""
    start = interactions.indptr[:-1]
    return [interactions.item[s : s + n] for s, n in zip(start, train_end, strict=True)]


def rows_per_block(num_items: int, systems: int = 1) -> int:
    """How many histories to score at once."""
    return max(1, BLOCK // (num_items * systems))


def recency(histories: list[NDArray[np.int64]], decay: float, num_items: int) -> sparse.csr_matrix:
    """Weights of the history items, ``decay ** age`` with age 0 for the latest.

    Returns:
        float32 ``[B, I]``, sparse; an item met twice has the sum of both weights.
    """
    lengths = [len(h) for h in histories]
    row = np.repeat(np.arange(len(histories)), lengths)
    age = np.concatenate([np.arange(n)[::-1] for n in [0, *lengths]])
    item = np.concatenate([np.zeros(0, np.int64), *histories])
    weight = np.power(decay, age).astype(np.float32)
    return sparse.csr_matrix((weight, (row, item)), shape=(len(histories), num_items))


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
