"""TF-IDF rows of texts, by a vocabulary that is stored with a model."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from sklearn.feature_extraction.text import TfidfVectorizer

#: A word or pair of words counts if it stands in so many texts: what only one item has cannot be learned.
LEAST = 2
#: What a word is: a run of letters and digits, of any script.
WORD = r"(?u)\w+"


@dataclass(frozen=True)
class Words:
    """The words and pairs of neighbouring words of a catalogue, with their weights.

    Attributes:
        terms: ``T`` words and pairs, in order.
        idf: float32 ``[T]``, inverse document frequencies.
    """

    terms: list[str]
    idf: NDArray[np.float32]

    def __len__(self) -> int:
        """Number of terms, ``T``."""
        return len(self.terms)

    @classmethod
    def of(cls, texts: Sequence[str]) -> Words:
        """The words and pairs that stand in at least :data:`LEAST` texts; there may be none."""
        vectorizer = _vectorizer(min_df=LEAST)
        try:
            vectorizer.fit(texts)
        except ValueError:
            # No word stands in two texts.
            return cls([], np.zeros(0, np.float32))
        return cls(vectorizer.get_feature_names_out().tolist(), vectorizer.idf_.astype(np.float32))

    def rows(self, texts: Sequence[str]) -> sparse.csr_matrix:
        """TF-IDF rows of length 1, float32 ``[N, T]``; 0 for a text without a known term.

        A term counts once, however often it stands in a text.
        """
        if not self.terms:
            return sparse.csr_matrix((len(texts), 0), dtype=np.float32)
        vectorizer = _vectorizer(vocabulary=self.terms)
        vectorizer.idf_ = self.idf
        return sparse.csr_matrix(vectorizer.transform(texts), dtype=np.float32)


def _vectorizer(**options: object) -> TfidfVectorizer:
    # Only here: it takes a second to import, and a saved ranker ranks without it.
    from sklearn.feature_extraction.text import TfidfVectorizer

    return TfidfVectorizer(
        binary=True, ngram_range=(1, 2), token_pattern=WORD, dtype=np.float32, **options
    )
