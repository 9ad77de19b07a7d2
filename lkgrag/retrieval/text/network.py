r"""The network of the retriever ``text``: two towers over the items' words.

An item is :math:`v + \mathrm{MLP}(v)`, scaled to length 1, where :math:`v` is its TF-IDF row times learned word
vectors, plus a learned map of the text encoder's vector where there is one. A user is a linear map of the mean of
the latest items, weighted by their age, scaled to length 1. Nothing in it is an item's or a user's own, so that
new items and new users have vectors, too.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from scipy import sparse

#: Width of the vectors, and of the hidden layer.
WIDTH, HIDDEN = 128, 64
#: Latest items of a history that count.
LATEST = 20
#: Before training, an item counts ``e ** -AGE`` as much as the next one.
AGE = 0.22
#: Standard deviation of the word vectors before training.
SPREAD = 0.1
#: Factor of the cosines before training.
SCALE = 10.0


@dataclass(frozen=True)
class Features:
    """What the network reads of ``N`` texts.

    Attributes:
        ptr: int64 ``[N + 1]``, where each text's terms begin.
        term: int64, the terms' places in the vocabulary.
        weight: float32, their TF-IDF weights.
        encoded: float32 ``[N, A]``, whitened vectors of the encoder; ``A`` is 0 without one.
    """

    ptr: Tensor
    term: Tensor
    weight: Tensor
    encoded: Tensor

    @classmethod
    def of(cls, rows: sparse.csr_matrix, encoded: NDArray[np.float32] | None) -> Features:
        """The features of TF-IDF rows ``[N, T]`` and of encoded texts ``[N, A]``."""
        vectors = np.zeros((rows.shape[0], 0), np.float32) if encoded is None else encoded
        return cls(
            torch.from_numpy(rows.indptr.astype(np.int64)),
            torch.from_numpy(rows.indices.astype(np.int64)),
            torch.from_numpy(rows.data.astype(np.float32)),
            torch.from_numpy(np.ascontiguousarray(vectors, np.float32)),
        )

    def __len__(self) -> int:
        """Number of texts, ``N``."""
        return len(self.ptr) - 1

    def to(self, device: torch.device) -> Features:
        """The same on a device."""
        return Features(*(getattr(self, n).to(device) for n in self.__dataclass_fields__))

    def __getitem__(self, index: Tensor) -> Features:
        """Some of the texts, by their indices, int64 ``[M]``."""
        length = self.ptr[index + 1] - self.ptr[index]
        ptr = F.pad(length.cumsum(0), (1, 0))
        place = torch.arange(int(ptr[-1]), device=index.device)
        flat = torch.repeat_interleave(self.ptr[index] - ptr[:-1], length) + place
        return Features(ptr, self.term[flat], self.weight[flat], self.encoded[index])


class TextTowers(nn.Module):
    """The two towers.

    Args:
        terms: ``T``, size of the vocabulary.
        axes: ``A``, width of the encoder's whitened vectors; 0 without an encoder.

    Attributes:
        curve: mean loss of each epoch of the training, in the process that trained; it is not saved.
    """

    def __init__(self, terms: int, axes: int) -> None:
        super().__init__()
        self.curve: list[float] = []
        self.words = nn.Parameter(SPREAD * torch.randn(terms, WIDTH))
        self.encoded = nn.Parameter(SPREAD * torch.randn(axes, WIDTH))
        self.up, self.down = nn.Linear(WIDTH, HIDDEN), nn.Linear(HIDDEN, WIDTH)
        self.age = nn.Parameter(-AGE * torch.arange(LATEST).float())
        self.user = nn.Linear(WIDTH, WIDTH)
        self.scale = nn.Parameter(torch.tensor(math.log(SCALE)))
        #: Multiple of log popularity; used in training only, where it explains what words cannot.
        self.popular = nn.Parameter(torch.tensor(0.5))
        with torch.no_grad():
            # Before training, items are their words, and users the mean of their items.
            self.down.weight.zero_()
            self.down.bias.zero_()
            self.user.weight.copy_(torch.eye(WIDTH))
            self.user.bias.zero_()

    def items(self, features: Features) -> Tensor:
        """Vectors of length 1 of ``N`` texts, ``[N, WIDTH]``; a text without a known word gets one, too."""
        vector = features.encoded @ self.encoded
        if len(features.term):
            vector = vector + F.embedding_bag(
                features.term,
                self.words,
                features.ptr[:-1],
                mode="sum",
                per_sample_weights=features.weight,
            )
        hidden = F.gelu(self.up(vector), approximate="tanh")
        return F.normalize(vector + self.down(hidden), dim=1)

    def users(self, items: Tensor, latest: Tensor) -> Tensor:
        """Vectors of length 1 of ``B`` users.

        Args:
            items: ``[N, WIDTH]``, of :meth:`items`.
            latest: int64 ``[B, LATEST]``, the places of each user's latest items among ``items``, the latest
                first; -1 pads.

        Returns:
            Shape ``[B, WIDTH]``.
        """
        is_filled = latest >= 0
        weight = self.age.expand(latest.shape).masked_fill(~is_filled, -1e9).softmax(1) * is_filled
        pooled = torch.einsum("bk,bkd->bd", weight, F.embedding(latest.clamp(min=0), items))
        return F.normalize(self.user(pooled), dim=1)


def latest_items(histories: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    """The latest items of histories, int64 ``[B, LATEST]``, the latest first, -1 in padding."""
    out = np.full((len(histories), LATEST), -1, np.int64)
    for row, history in zip(out, histories, strict=True):
        part = history[-LATEST:][::-1]
        row[: len(part)] = part
    return out
