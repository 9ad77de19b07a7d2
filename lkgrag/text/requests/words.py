"""The words of a request in the items' texts."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
from scipy import sparse

from lkgrag.text.words import WORD

if TYPE_CHECKING:
    from numpy.typing import NDArray


_ENGLISH = """
a about also am an and any are as at be but by can could d do does for from give have i if in into is it its like ll
looking m me my no not of on or our please re s show so some something than that the their them these they this those
to us ve want was we were what which will with would you your
"""
#: Words of English sentences that ask for nothing by themselves. A title may consist of them, as "It" does.
FUNCTION_WORDS = frozenset(_ENGLISH.split())


def words_of(text: str) -> list[str]:
    """The different words of a text in lower case, in their order."""
    return list(dict.fromkeys(re.findall(WORD, text.lower())))


def asked_words(request: str) -> list[str]:
    """The words of a request that ask for something: those of :func:`words_of` without function words.

    A request that has no other words keeps them.
    """
    words = words_of(request)
    return [word for word in words if word not in FUNCTION_WORDS] or words


@dataclass(frozen=True)
class RequestWords:
    """Which items have which word.

    Attributes:
        terms: ``T`` words, in order.
        items: float32 ``[T, I]``, the word's inverse document frequency in items that have it.
    """

    terms: list[str]
    items: sparse.csr_matrix

    @classmethod
    def of(cls, texts: Sequence[str]) -> RequestWords:
        """Every word of the texts, one text for each item."""
        rows = [words_of(text) for text in texts]
        terms = sorted({word for row in rows for word in row})
        place = {word: n for n, word in enumerate(terms)}
        term = np.asarray([place[word] for row in rows for word in row], np.int64)
        item = np.repeat(np.arange(len(texts)), [len(row) for row in rows])
        count = np.bincount(term, minlength=len(terms))
        idf = 1 + np.log((1 + len(texts)) / (1 + count))
        matrix = sparse.csr_matrix(
            (idf[term].astype(np.float32), (term, item)), (len(terms), len(texts))
        )
        return cls(terms, matrix)

    @cached_property
    def _place(self) -> dict[str, int]:
        return {word: n for n, word in enumerate(self.terms)}

    @cached_property
    def _idf(self) -> NDArray[np.float32]:
        """Inverse document frequencies, float32 ``[T]``; each word stands in at least one text."""
        return np.asarray(self.items.data[self.items.indptr[:-1]], np.float32)

    def share(self, request: str) -> NDArray[np.float32]:
        """The share of the request's words that each item's text has, float32 ``[I]``, 0 to 1.

        A word counts by its inverse document frequency; a word that no item has, as the rarest possible.
        """
        words = asked_words(request)
        known = [self._place[word] for word in words if word in self._place]
        unknown = 1 + math.log(1 + self.items.shape[1])
        total = float(self._idf[known].sum()) + unknown * (len(words) - len(known))
        found = np.zeros(self.items.shape[1], np.float32)
        for term in known:
            row = slice(self.items.indptr[term], self.items.indptr[term + 1])
            found[self.items.indices[row]] += self.items.data[row]
        return np.minimum(found / np.float32(max(total, 1)), 1)

    def matched(self, request: str, item: int, telling: float = 0.0) -> list[str]:
        """The words of the request that an item's text has, in the request's order.

        Args:
            request: any text.
            item: item index.
            telling: share of the largest inverse document frequency among the request's words. Words below it are left
                out.
        """
        known = [word for word in asked_words(request) if word in self._place]
        if not known:
            return []
        places = [self._place[word] for word in known]
        idf = self._idf[places]
        has = np.asarray(self.items[places][:, [item]].toarray()).ravel() > 0
        is_shown = has & (idf >= telling * idf.max())
        return [word for word, shown in zip(known, is_shown.tolist(), strict=True) if shown]
