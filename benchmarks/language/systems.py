"""The systems that answer a request, as terms of which each gets a weight: lkgrag's, its rivals and its controls."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

import numpy as np
from scipy import sparse

from lkgrag.text import Words, item_texts
from lkgrag.text.requests import ItemKinds, RequestModel, RequestWords
from lkgrag.text.requests.model import MANY

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

    from lkgrag.retrieval.text.retriever import TextRetriever

    Encode = Callable[[Sequence[str]], NDArray[np.float32]]

#: Width of the random projection, the encoder's.
WIDTH = 384


class Terms(Protocol):
    """Terms of a request's score."""

    def __call__(self, request: str) -> NDArray[np.float32]:
        """Float32 ``[S, I]``."""


@dataclass(frozen=True)
class System:
    """One row of the table.

    Attributes:
        terms: of a request; None for the history alone.
        has_history: whether the history counts, too.
        start: weights of the terms before they are learned; their number is that of the terms.
        weights: given weights; by default they are learned.
    """

    terms: Terms | None
    has_history: bool = True
    start: tuple[float, ...] = (1.0,)
    weights: tuple[float, ...] | None = None


@dataclass
class Encoded:
    """An encoder that remembers its texts."""

    encode: Encode
    known: dict[str, NDArray[np.float32]] = field(default_factory=dict)

    def add(self, texts: Sequence[str]) -> None:
        """Encode texts in one call."""
        new = sorted(set(texts) - set(self.known))
        if new:
            self.known.update(zip(new, self.encode(new), strict=True))

    def __call__(self, text: str) -> NDArray[np.float32]:
        """The vector of a text."""
        if text not in self.known:
            self.add([text])
        return self.known[text]


class BM25:
    """Okapi BM25 (Robertson and Zaragoza 2009) with the usual constants."""

    def __init__(self, texts: Sequence[str], k1: float = 1.2, b: float = 0.75) -> None:
        from sklearn.feature_extraction.text import CountVectorizer

        self._vectorizer = CountVectorizer(token_pattern=r"(?u)\w+")
        count = self._vectorizer.fit_transform(texts).astype(np.float32)
        number = len(texts)
        having = np.bincount(count.indices, minlength=count.shape[1])
        idf = np.log(1 + (number - having + 0.5) / (having + 0.5)).astype(np.float32)
        length = np.asarray(count.sum(1)).ravel()
        norm = (k1 * (1 - b + b * length / length.mean())).astype(np.float32)
        text = np.repeat(np.arange(number), np.diff(count.indptr))
        count.data = idf[count.indices] * count.data * (k1 + 1) / (count.data + norm[text])
        self._weights = sparse.csr_matrix(count.T)

    def __call__(self, request: str) -> NDArray[np.float32]:
        """Scores, float32 ``[1, I]``."""
        words = self._vectorizer.transform([request]).indices
        return np.asarray(self._weights[words].sum(0), np.float32)


class Tfidf:
    """Cosines of TF-IDF rows of words and pairs of words."""

    def __init__(self, texts: Sequence[str]) -> None:
        self._words = Words.of(texts)
        self._items = sparse.csr_matrix(self._words.rows(texts).T)

    def __call__(self, request: str) -> NDArray[np.float32]:
        """Cosines, float32 ``[1, I]``."""
        return np.asarray((self._words.rows([request]) @ self._items).toarray(), np.float32)


class RandomProjection:
    """Vectors of texts that know words but no language: random ones of the words, summed by TF-IDF."""

    def __init__(self, texts: Sequence[str], seed: int) -> None:
        self._words = Words.of(texts)
        rng = np.random.default_rng([seed, 0x5C])
        self._vectors = rng.standard_normal((len(self._words), WIDTH)).astype(np.float32)

    def __call__(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Vectors, float32 ``[N, WIDTH]``."""
        return np.asarray(self._words.rows(texts) @ self._vectors, np.float32)


def lkgrag_terms(model: RequestModel, encoded: Encoded | None, only: slice = slice(None)) -> Terms:
    """The terms of lkgrag's score of a request; ``only`` chooses some of them."""

    def terms(request: str) -> NDArray[np.float32]:
        vector = None if encoded is None else encoded(request)
        return model.features(request, vector)[0][only]

    return terms


def exact_value(items: pd.DataFrame) -> Terms:
    """A large number for the items that have the request as the name of a value; 0 for all if none has."""
    have: dict[str, list[int]] = {}
    for column in (c for c in items.columns if c != "title"):
        for item, values in enumerate(items[column]):
            for value in values:
                have.setdefault(value, []).append(item)

    def terms(request: str) -> NDArray[np.float32]:
        out = np.zeros((1, len(items)), np.float32)
        out[0, have.get(request, [])] = 1000.0
        return out

    return terms


def build_systems(
    items: pd.DataFrame,
    vectors: NDArray[np.float32],
    encoded: Encoded,
    tower: TextRetriever | None,
    seed: int,
) -> dict[str, System]:
    """All rows of the table.

    Args:
        items: of the data.
        vectors: float32 ``[I, D]``, the encoder's vectors of the items' texts.
        encoded: the encoder.
        tower: the retriever ``text``, trained without an encoder; None leaves its rows out.
        seed: of the controls.
    """
    full = item_texts(items, values=MANY)
    words = RequestModel.of(items)
    both = words.with_vectors(vectors)
    random = RandomProjection(full, seed)
    projected = words.with_vectors(random(full))
    shuffled = np.random.default_rng([seed, 0x5D]).permutation(len(items))
    permuted = RequestModel(
        RequestWords(words.words.terms, words.words.items[:, shuffled]),
        ItemKinds(words.kinds.names, words.kinds.items[:, shuffled]),
    ).with_vectors(vectors[shuffled])
    unit = both.vectors
    assert unit is not None
    cosine = unit
    tfidf = Tfidf(full)
    start = words.weights
    systems = {
        "history": System(None),
        "attribute_filter": System(exact_value(items), weights=(1.0,)),
        "bm25": System(BM25(full), has_history=False, weights=(1.0,)),
        "bm25_history": System(BM25(full)),
        "tfidf_history": System(tfidf, start=(10.0,)),
        "encoder_cosine": System(
            lambda q: (cosine @ _unit(encoded(q)))[None], has_history=False, weights=(1.0,)
        ),
        "encoder": System(
            lkgrag_terms(both, encoded, slice(1, 2)), has_history=False, weights=(1.0,)
        ),
        "encoder_history": System(lkgrag_terms(both, encoded, slice(1, 3)), start=start[1:]),
        "words_history": System(lkgrag_terms(words, None), start=start),
        "both_history": System(lkgrag_terms(both, encoded), start=start),
        "random_projection_history": System(lkgrag_terms(projected, Encoded(random)), start=start),
        "permuted_texts_history": System(lkgrag_terms(permuted, encoded), start=start),
    }
    if tower is not None:
        known = tower

        def of_tower(request: str) -> NDArray[np.float32]:
            return known.embed_texts([request]) @ known.vectors.T

        systems["words_tower"] = System(of_tower, has_history=False, weights=(1.0,))
        systems["words_tower_history"] = System(of_tower, start=(10.0,))
    return systems


def _unit(vector: NDArray[np.float32]) -> NDArray[np.float32]:
    """The vector with length 1."""
    return np.asarray(vector / max(float(np.linalg.norm(vector)), 1e-9), np.float32)
