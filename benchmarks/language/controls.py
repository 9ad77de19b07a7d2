"""Controls of the retriever ``text``: the same towers with as much capacity, and without language.

A gain is the language's only above these. Each is a custom retriever, which a row names in ``retrieval.systems``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch

from lkgrag.retrieval import TextRetriever
from lkgrag.text import Words, item_texts

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData

    from lkgrag.data.interactions import Interactions

#: Width of the vectors that stand for an encoder's, as MiniLM's whitened ones.
WIDTH = 192


class PermutedText(TextRetriever):
    """Every item has the text of another one, and the vector of that text where there is an encoder."""

    name: ClassVar[str] = "text_permuted"

    @classmethod
    def fit(
        cls,
        interactions: Interactions,
        data: HeteroData | None = None,
        device: torch.device | None = None,
        seed: int = 0,
        *args: Any,
        **kwargs: Any,
    ) -> TextRetriever:
        """Learn from permuted texts; the permutation follows from the seed."""
        order = np.random.default_rng([seed, 0x9E]).permutation(interactions.num_items)
        texts = item_texts(interactions.items)
        encoded = None if data is None else data["item"].get("x")
        return cls.learn(
            interactions,
            [texts[i] for i in order],
            None if encoded is None else encoded[torch.from_numpy(order)],
            device,
            seed,
        )


class TextWithVectors(TextRetriever):
    """The towers with vectors that are made of the words, in place of an encoder's."""

    @staticmethod
    def make(texts: Sequence[str], seed: int) -> NDArray[np.float32]:
        """The vectors of the texts, float32 ``[N, D]``."""
        raise NotImplementedError

    @classmethod
    def fit(
        cls,
        interactions: Interactions,
        data: HeteroData | None = None,
        device: torch.device | None = None,
        seed: int = 0,
        *args: Any,
        **kwargs: Any,
    ) -> TextRetriever:
        """Learn from the texts and the vectors made of them."""
        texts = item_texts(interactions.items)
        vectors = torch.from_numpy(cls.make(texts, seed))
        return cls.learn(interactions, texts, vectors, device, seed)


class TextWithLSA(TextWithVectors):
    """The axes of latent semantic analysis (Deerwester et al. 1990): the words again, and nothing pretrained."""

    name: ClassVar[str] = "text_lsa"

    @staticmethod
    def make(texts: Sequence[str], seed: int) -> NDArray[np.float32]:
        """As :func:`lsa`."""
        return lsa(texts, seed)


class TextWithProjection(TextWithVectors):
    """A random projection of the words: the same number of axes, without meaning."""

    name: ClassVar[str] = "text_projection"

    @staticmethod
    def make(texts: Sequence[str], seed: int) -> NDArray[np.float32]:
        """As :func:`projection`."""
        return projection(texts, seed)


def lsa(texts: Sequence[str], seed: int) -> NDArray[np.float32]:
    """The first :data:`WIDTH` axes of the texts' TF-IDF rows, float32 ``[N, WIDTH]``; fewer for few words."""
    # Only here: other rows need none of it.
    from sklearn.decomposition import TruncatedSVD

    rows = Words.of(texts).rows(texts)
    axes = min(WIDTH, min(rows.shape) - 1)
    return TruncatedSVD(axes, random_state=seed).fit_transform(rows).astype(np.float32)


def projection(texts: Sequence[str], seed: int) -> NDArray[np.float32]:
    """A Gaussian projection of the texts' TF-IDF rows, float32 ``[N, WIDTH]``."""
    rows = Words.of(texts).rows(texts)
    random = np.random.default_rng([seed, 0x9F]).normal(size=(rows.shape[1], WIDTH))
    return np.asarray(rows @ random, np.float32)
