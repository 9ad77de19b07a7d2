"""The items that a saved ranker knows, by id and by title."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lkgrag.data.cleaning.lists import id_list
from lkgrag.data.cleaning.texts import normal
from lkgrag.errors import DataError, nearest, short
from lkgrag.utils.files import read_parquet, write_parquet
from lkgrag.utils.shapes import sizes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

    from lkgrag.data.dropped import Dropped

log = logging.getLogger(__name__)

#: Most items with the same title that a warning names.
SHOWN = 5


@dataclass(frozen=True)
class Catalogue:
    """Ids and titles of the items, in the order of the item indices."""

    ids: list[str]
    titles: list[str]

    __repr__ = sizes

    def __len__(self) -> int:
        """Number of items."""
        return len(self.ids)

    @cached_property
    def _by_id(self) -> dict[str, int]:
        return {normal(item): n for n, item in enumerate(self.ids)}

    @cached_property
    def _by_title(self) -> dict[str, list[int]]:
        out: dict[str, list[int]] = {}
        for n, title in enumerate(self.titles):
            out.setdefault(normal(title).strip(), []).append(n)
        return out

    @cached_property
    def _told(self) -> set[str]:
        """Texts of which was said already that they are an id and a title."""
        return set()

    def _warn_of_title(self, key: str, index: int, option: str) -> None:
        """Say once that an id is also the title of another item."""
        others = [n for n in self._by_title.get(key, []) if n != index]
        if others and key not in self._told:
            self._told.add(key)
            log.warning(
                "%s: %r is the id of %r and the title of the item %s: the id counts; name the other by its id",
                *(option, short(key), short(self.titles[index]), short(self.ids[others[0]])),
            )

    def _find_title(self, title: str, option: str) -> int | None:
        """The first item with a title, None if there is none; warn if several items have it."""
        indices = self._by_title.get(title)
        if indices is None:
            return None
        if len(indices) > 1:
            named = ", ".join(short(self.ids[n]) for n in indices[:SHOWN])
            more = ", ..." if len(indices) > SHOWN else ""
            log.warning(
                "%s: %d items have the title %r, of ids %s%s: the first is taken; name another by its id",
                *(option, len(indices), short(title), named, more),
            )
        return indices[0]

    def find_id(self, item: str) -> int | None:
        """The item index of an id; None if there is none."""
        return self._by_id.get(normal(item))

    def every(self, name: str) -> list[int]:
        """All items of an id, or else of an exact title.

        Raises:
            KeyError: there is none.
        """
        key = normal(name)
        index = self._by_id.get(key)
        return [index] if index is not None else self._by_title[key]

    def index(
        self, items: Iterable[object], what: str, dropped: Dropped | None = None, least: int = 1
    ) -> NDArray[np.int64]:
        """Item indices of ids or exact titles; spaces at the ends do not count.

        If several items have a title, the first one is taken, with a warning. What is an id and a title is taken as
        the id, with a warning.

        Args:
            items: a list of ids or titles.
            what: the option or argument that names the items, for messages.
            dropped: items that had too few interactions.
            least: how many they needed.

        Returns:
            int64, one index an item.

        Raises:
            DataError: it is no list, or an item is unknown; the message names the nearest ones, or says that the
                item had too few interactions.
        """
        indices, by_id = [], self._by_id
        for given in id_list(items, what, '["50", "Toy Story"]', is_ordered=what == "history"):
            key = normal(given)
            index = by_id.get(key)
            if index is None:
                index = self._find_title(key, what)
            else:
                self._warn_of_title(key, index, what)
            if index is None:
                why = dropped.why_item(given, least) if dropped is not None else ""
                if why:
                    raise DataError(f"{what}: {short(why)}: no ranking can hold it; leave it out")
                names = (
                    (self._by_id, self._by_title)
                    if key.isdecimal()
                    else (self._by_title, self._by_id)
                )
                hint = nearest(key, names[0]) or nearest(key, names[1])
                raise DataError(
                    f"{what}: no item {short(key)!r} among the {len(self)} of this ranker.{hint} "
                    "Give items by id, or by their exact title"
                )
            indices.append(index)
        return np.asarray(indices, np.int64)

    def save(self, path: Path) -> None:
        """Write as Parquet."""
        write_parquet(path, pd.DataFrame({"item": self.ids, "title": self.titles}))

    @classmethod
    def load(cls, path: Path) -> Catalogue:
        """Read from Parquet.

        Raises:
            LkgragError: the file is missing or broken.
        """
        table = read_parquet(path)
        return cls(table["item"].tolist(), table["title"].tolist())
