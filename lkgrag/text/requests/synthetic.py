"""Synthetic requests, to learn from: what someone could have asked for who chose a known item.

They are made of the items' own titles and values. Half name a value, a quarter words of the item's title. The last
quarter has words that are typical of titles of *other* items of the same kind, without those of the kind's name. So a
model learns what a request in other words is worth.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.text.requests.kinds import kind_attribute
from lkgrag.text.requests.words import words_of

if TYPE_CHECKING:
    import pandas as pd
    from numpy.typing import NDArray

#: Most words that are typical of a kind, each from another item.
OTHERS = 4
#: Most words of a title.
TITLE_WORDS = 3


@dataclass(frozen=True)
class SyntheticRequest:
    """What someone may have asked for.

    Attributes:
        event: place of the choice among those that requests were made for.
        text: the request.
        kind: ``value``, ``title`` or ``others``.
    """

    event: int
    text: str
    kind: str


def synthetic_requests(
    items: pd.DataFrame, chosen: NDArray[np.int64], seed: int
) -> list[SyntheticRequest]:
    """Make at most one request for each chosen item.

    Args:
        items: as of :func:`lkgrag.text.item_texts`.
        chosen: int64 ``[E]``, item indices.
        seed: of the draws.

    Returns:
        In the order of ``chosen``; an item without title and values has none.
    """
    maker = _Maker(items, np.random.default_rng([seed, 0x5A]))
    made = []
    for event, item in enumerate(chosen.tolist()):
        kind, text = maker.draw(item)
        if text:
            made.append(SyntheticRequest(event, text, kind))
    return made


class _Maker:
    """Draws requests for items."""

    def __init__(self, items: pd.DataFrame, rng: np.random.Generator) -> None:
        self._rng = rng
        self._titles = [t if isinstance(t, str) else "" for t in items["title"]]
        columns = {c: items[c].tolist() for c in items.columns if c != "title"}
        self._rarest = {c: rarest_values(rows) for c, rows in columns.items()}
        kind = kind_attribute(items)
        self._kind = [""] * len(items) if kind is None else self._rarest[kind]
        self._values = [[]] * len(items) if kind is None else columns[kind]
        self._members: dict[str, list[int]] = {}
        for item, value in enumerate(self._kind):
            self._members.setdefault(value, []).append(item)
        self._words = [words_of(title) for title in self._titles]
        self._count = Counter(word for words in self._words for word in words)

    def draw(self, item: int) -> tuple[str, str]:
        """The kind and the text of a request for an item; the text may be empty."""
        draw = self._rng.random()
        values = [rows[item] for rows in self._rarest.values() if rows[item]]
        if draw < 0.5 and values:
            return "value", values[int(self._rng.integers(len(values)))]
        if draw >= 0.75 and self._kind[item]:
            text = self._of_others(item)
            if text:
                return "others", text
        return "title", " ".join(self._some(self._words[item], TITLE_WORDS))

    def _of_others(self, item: int) -> str:
        """Words that titles of other items of the same kind have more often than other titles.

        A word is drawn by its count among these items, times the logarithm of how much more often it is there.
        """
        members = [n for n in self._members[self._kind[item]] if n != item]
        names = {word for value in self._values[item] for word in words_of(value)}
        count = Counter(word for n in members for word in self._words[n] if word not in names)
        weight = {
            word: here * math.log(here * len(self._titles) / (self._count[word] * len(members)))
            for word, here in count.items()
            if here > 1 and here * len(self._titles) > self._count[word] * len(members)
        }
        if not weight:
            return ""
        chance = np.asarray(list(weight.values()))
        most = min(len(weight), int(self._rng.integers(2, OTHERS + 1)))
        drawn = self._rng.choice(len(weight), most, replace=False, p=chance / chance.sum())
        words = list(weight)
        return " ".join(words[n] for n in drawn.tolist())

    def _some(self, words: Sequence[str], most: int) -> list[str]:
        """One to ``most`` of the words, in a random order."""
        if not words:
            return []
        count = min(len(words), int(self._rng.integers(1, most + 1)))
        return [words[n] for n in self._rng.permutation(len(words))[:count]]


def rarest_values(rows: Sequence[Sequence[str]]) -> list[str]:
    """The rarest value of each row; empty for a row without one, and the first in order of equally rare ones."""
    count = Counter(value for row in rows for value in set(row))
    return [min(row, key=lambda v: (count[v], v), default="") for row in rows]
