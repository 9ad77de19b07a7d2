"""``similar_title``: items of like titles, which needs no table but the catalogue's own names.

Titles hold what attributes often lack: the line of a product, its kind, the film it is a sequel of. Each
title is a vector of TF-IDF weights, half of its length from words and half from groups of four
characters, which see through endings, misspellings and scripts without spaces. Each item is joined
with those of the largest cosine. (On the validation part of Amazon Beauty such neighbours of the
history rank the whole catalogue about as well as a trained sequential recommender.)
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
from scipy import sparse

from lkgrag.data.cleaning.texts import normal
from lkgrag.kg.base import Edges, Relation, RelationSource, Training

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lkgrag.config import KGConfig

#: Terms of more items than this say little, and cost the square of their number.
COMMON = 2000
#: Items whose neighbours are sought at a time.
BLOCK = 1024
#: Cosines below this are chance: a syllable in common.
LEAST = 0.05


class SimilarTitle(RelationSource):
    """Joins each titled item with the ``kg.similar_titles`` others whose titles are most like its own."""

    relation = Relation(
        "similar_title",
        "item",
        "has a title like that of",
        "has a title like that of",
        short="like",
    )
    made_of: ClassVar = "titles"
    symmetric: ClassVar = True

    def is_enabled(self, config: KGConfig) -> bool:
        """With ``kg.similar_titles`` above 0."""
        return config.similar_titles > 0

    def edges(self, training: Training, config: KGConfig) -> Edges:
        """Edges with the cosine as weight."""
        return similar_titles(training.titles, config.similar_titles)


def similar_titles(titles: Sequence[str | None], top: int) -> Edges:
    """Join each titled item with the ``top`` others whose titles are most like its own, both ways.

    Args:
        titles: of all items; None or blank where there is none, which joins nothing.
        top: most neighbours that an item chooses (ties: the smaller item); more may choose it.

    Returns:
        Edges in both directions with the cosine as ``weight``.
    """
    vectors = title_vectors(titles)
    low, high, weight = [], [], []
    for start in range(0, len(titles), BLOCK):
        row, partner, cosine = _nearest(vectors, start, min(start + BLOCK, len(titles)), top)
        low.append(np.minimum(row, partner))
        high.append(np.maximum(row, partner))
        weight.append(cosine)
    if not low:
        none = np.zeros(0, np.int64)
        return Edges.both_ways(none, none, np.zeros(0, np.float32))
    a, b, cosine = np.concatenate(low), np.concatenate(high), np.concatenate(weight)
    key, first = np.unique(a * len(titles) + b, return_index=True)
    return Edges.both_ways(key // len(titles), key % len(titles), cosine[first])


def title_vectors(titles: Sequence[str | None]) -> sparse.csr_matrix:
    """TF-IDF vectors of length 1, float32 ``[I, terms]``; 0 for items without a title."""
    # Only here: it takes a second, and a graph without titles needs none of it.
    from sklearn.feature_extraction.text import TfidfVectorizer

    texts = [normal(t) if isinstance(t, str) else "" for t in titles]
    parts = []
    for options in (
        {"analyzer": "word", "token_pattern": r"(?u)\w+"},
        {"analyzer": "char_wb", "ngram_range": (4, 4)},
    ):
        vectorizer = TfidfVectorizer(
            sublinear_tf=True, dtype=np.float32, min_df=2, max_df=COMMON, **options
        )
        try:
            parts.append(vectorizer.fit_transform(texts))
        except ValueError:
            # No term occurs in two titles, and none in few enough: nothing is alike.
            continue
    if not parts:
        return sparse.csr_matrix((len(texts), 1), dtype=np.float32)
    vectors = sparse.hstack(parts).tocsr()
    length = np.sqrt(np.asarray(vectors.multiply(vectors).sum(1)).ravel())
    scale = sparse.diags_array(1.0 / np.maximum(length, 1e-9)).astype(np.float32)
    return sparse.csr_matrix(scale @ vectors)


def _nearest(
    vectors: sparse.csr_matrix, start: int, end: int, top: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.float32]]:
    """Rows, partners and cosines of the nearest others of the items from ``start`` to ``end``."""
    product = (vectors[start:end] @ vectors.T).tocoo()
    row, partner = product.row.astype(np.int64) + start, product.col.astype(np.int64)
    # Rounded, so that the order of additions does not decide among equals.
    cosine = np.minimum(np.round(product.data, 5), 1.0).astype(np.float32)
    keep = (row != partner) & (cosine >= LEAST)
    row, partner, cosine = row[keep], partner[keep], cosine[keep]
    order = np.lexsort((partner, -cosine, row))
    row, partner, cosine = row[order], partner[order], cosine[order]
    rank = np.arange(len(row)) - np.searchsorted(row, row, side="left")
    chosen = rank < top
    return row[chosen], partner[chosen], cosine[chosen]
