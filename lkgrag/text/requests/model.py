r"""How well each item is what a request asks for: by its words, and by its meaning.

.. math:: r(i) = w_1 g\, s_i^2 + (w_2 + w_3 (1 - g)) \log(\epsilon + m_i), \qquad g = (\max_j s_j)^4

:math:`s_i` is the share of the request's words in the item's text, and :math:`m_i` the similarity of the item's kinds
to the request (:mod:`lkgrag.text.requests.kinds`): with an encoder :math:`k_i = e^{30 (\cos_i - \max \cos)}`, else
:math:`k_i = s_i^2`. Where some item has all words, :math:`g` is 1, and words decide. Where the request is in other
words, meaning does. The unit of :math:`r` is that of the retriever's log-probabilities.
"""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from scipy import sparse

from lkgrag.errors import LkgragError
from lkgrag.text.items import item_texts
from lkgrag.text.requests.kinds import ItemKinds
from lkgrag.text.requests.words import RequestWords
from lkgrag.utils.files import read_json, read_safetensors, write_json, write_safetensors

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

#: The terms of a request's score.
FEATURES = ("words", "meaning", "meaning_unmatched")
#: Weights before they are learned, near to those that were learned on Amazon Beauty.
START = (8.0, 0.3, 1.0)
#: Steepness of the encoder's similarity: one that is lower by a thirtieth counts e times less.
STEEPNESS = 30.0
#: The least similarity of meaning, with an encoder and by words alone.
LEAST_NEAR, LEAST_SHARE = 1e-6, 1e-3
#: Values of an attribute that an item's words hold at most.
MANY = 50
FILE, NAMES = "requests.safetensors", "requests.json"


@dataclass(frozen=True)
class RequestScores:
    """What a request says of each item.

    Attributes:
        total: float32 ``[I]``, in units of the retriever's log-probabilities.
        similarity: float32 ``[I]``, of each item's text to the request.
        is_known: whether the request says anything of any item.
    """

    total: NDArray[np.float32]
    similarity: NDArray[np.float32]
    is_known: bool


@dataclass(frozen=True)
class RequestModel:
    """Scores items by requests in words. It knows nothing of users.

    Attributes:
        words: of the items' texts.
        kinds: the values that items share.
        vectors: float32 ``[I, D]``, the encoder's vectors of the items' texts, of length 1; None without an
            encoder.
        weights: one for each of :data:`FEATURES`, in units of the weight of the retriever.
        in_ranking: factor of the score among the terms of a ranking.
    """

    words: RequestWords
    kinds: ItemKinds
    vectors: NDArray[np.float32] | None = None
    weights: tuple[float, ...] = START
    in_ranking: float = 1.0

    @classmethod
    def of(cls, items: pd.DataFrame, vectors: NDArray[np.float32] | None = None) -> RequestModel:
        """The model of a catalogue, before its weights are learned.

        Args:
            items: as of :func:`lkgrag.text.item_texts`.
            vectors: float32 ``[I, D]``, the encoder's vectors of the items' texts, of any length.
        """
        words, kinds = RequestWords.of(item_texts(items, values=MANY)), ItemKinds.of(items)
        return cls(words, kinds, None if vectors is None else _unit(vectors))

    @staticmethod
    def is_possible(items: pd.DataFrame) -> bool:
        """Whether the items have texts that differ."""
        return len({text for text in item_texts(items) if text}) > 1

    def with_vectors(self, vectors: NDArray[np.float32] | None) -> RequestModel:
        """The same model with vectors as of :meth:`of`."""
        return replace(self, vectors=None if vectors is None else _unit(vectors))

    def features(
        self, request: str, encoded: NDArray[np.float32] | None = None
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """The terms of the score.

        Args:
            request: in one line.
            encoded: float32 ``[D]``, the encoder's vector of the request; needed if there are :attr:`vectors`.

        Returns:
            Float32 ``[3, I]``, by :data:`FEATURES`, and the similarity of each item, ``[I]``.
        """
        share = self.words.share(request)
        whole = np.float32(share.max(initial=0.0) ** 4)
        if self.vectors is None or encoded is None or not encoded.any():
            similarity, least = share**2, LEAST_SHARE
        else:
            cosine = self.vectors @ _unit(encoded[None])[0]
            similarity, least = np.exp(STEEPNESS * (cosine - cosine.max())), LEAST_NEAR
        meaning = np.log(self.kinds.spread(similarity) + np.float32(least))
        return np.stack([whole * share**2, meaning, (1 - whole) * meaning]), similarity

    def score(self, request: str, encoded: NDArray[np.float32] | None = None) -> RequestScores:
        """Score all items; arguments as of :meth:`features`."""
        features, similarity = self.features(request, encoded)
        total = np.asarray(self.weights, np.float32) @ features
        return RequestScores(total, similarity, bool(similarity.any()))

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write ``requests.safetensors`` and ``requests.json``; the vectors are kept with the graph."""
        tensors = {
            f"{name}.{part}": torch.from_numpy(np.ascontiguousarray(getattr(matrix, part)))
            for name, matrix in (("words", self.words.items), ("kinds", self.kinds.items))
            for part in ("data", "indices", "indptr")
        }
        write_safetensors(Path(folder) / FILE, tensors)
        value = {
            "items": self.words.items.shape[1],
            "terms": self.words.terms,
            "kinds": self.kinds.names,
            "weights": list(self.weights),
            "in_ranking": self.in_ranking,
        }
        write_json(Path(folder) / NAMES, value)

    @classmethod
    def load(
        cls, folder: str | os.PathLike[str], vectors: NDArray[np.float32] | None = None
    ) -> RequestModel:
        """Read what :meth:`save` wrote.

        Args:
            folder: that of :meth:`save`.
            vectors: as of :meth:`of`.

        Raises:
            LkgragError: a file is missing or broken.
        """
        path = Path(folder) / FILE
        tensors, value = read_safetensors(path), read_json(Path(folder) / NAMES)
        try:
            words, kinds = (
                sparse.csr_matrix(
                    tuple(tensors[f"{n}.{p}"].numpy() for p in ("data", "indices", "indptr")),
                    (len(value[names]), value["items"]),
                )
                for n, names in (("words", "terms"), ("kinds", "kinds"))
            )
            weights, factor = tuple(map(float, value["weights"])), float(value["in_ranking"])
        except (KeyError, TypeError, ValueError) as error:
            raise LkgragError(f"{path}: no model of requests ({error}); train again") from error
        model = cls(
            RequestWords(value["terms"], words),
            ItemKinds(value["kinds"], kinds),
            weights=weights,
            in_ranking=factor,
        )
        return model.with_vectors(vectors)


def _unit(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    """Rows of length 1; rows of zeros stay."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1), np.float32)
