"""Search of items by title, whatever the case and the accents: words, their beginnings, or an id."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING
from unicodedata import combining, normalize

from lkgrag.data.cleaning.texts import normal

if TYPE_CHECKING:
    from lkgrag.serving.catalogue import Catalogue

#: Letters that Unicode does not take apart, as people type them without the stroke.
LETTERS = str.maketrans(
    {"ø": "o", "ł": "l", "đ": "d", "ð": "d", "þ": "th", "æ": "ae", "œ": "oe", "ı": "i", "ħ": "h"}
)
_WORD = re.compile(r"[^\W_]+")
#: An apostrophe does not divide a word: whoever types `schindlers` means `Schindler's`.
_APOSTROPHE = re.compile(r"(?<=\w)['’ʼ](?=\w)")


def fold(text: str) -> str:
    """A text as it is searched: without case, accents and signs; its words are divided by one space."""
    if not text.isascii():
        apart = normalize("NFKD", text.encode("utf-8", "replace").decode())
        text = "".join(c for c in apart if not combining(c))
    folded = _APOSTROPHE.sub("", text.casefold().translate(LETTERS))
    return " ".join(_WORD.findall(folded))


class TitleIndex:
    """The titles of a catalogue, folded once.

    Args:
        catalogue: of the ranker.
    """

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._titles = [f" {fold(title)} " for title in catalogue.titles]

    def find(self, query: str, k: int) -> tuple[int, list[int]]:
        """Items whose title has every word of a query, or words that begin so; or whose id it is.

        The exact title comes first, then titles that begin with the query, those that have its words whole, and
        those with words that begin so. Among equals shorter titles come first. Only if there are none, the query
        may also lie within words, as in scripts without spaces.

        Args:
            query: as typed.
            k: items to give.

        Returns:
            How many items fit, and the indices of the best ``k``.
        """
        text = fold(query)
        by_id = self._catalogue.find_id(normal(query.strip()))
        words = text.split()
        found = [(-1, 0, by_id)] if by_id is not None else []
        if words:
            found += self._by_words(text, words, by_id) or self._within(words, by_id)
        found.sort()
        return len(found), [index for _, _, index in found[:k]]

    def _by_words(self, text: str, words: list[str], but: int | None) -> list[tuple[int, int, int]]:
        """Places, lengths and indices of titles with words that begin as those of a query."""
        begins = [f" {word}" for word in words]
        wholes = [f" {word} " for word in words]
        whole, begin = f" {text} ", f" {text}"
        out = []
        for index, title in enumerate(self._titles):
            if index == but or not all(b in title for b in begins):
                continue
            if title == whole:
                place = 0
            elif title.startswith(begin):
                place = 1
            else:
                place = 2 if all(w in title for w in wholes) else 3
            out.append((place, len(title), index))
        return out

    def _within(self, words: list[str], but: int | None) -> list[tuple[int, int, int]]:
        """The same of titles that have the words anywhere."""
        return [
            (4, len(title), index)
            for index, title in enumerate(self._titles)
            if index != but and all(word in title for word in words)
        ]
