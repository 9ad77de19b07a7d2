"""The items that a saved ranker knows, by id and by title."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lkgrag.errors import DataError, nearest, short
from lkgrag.utils.files import read_parquet, write_parquet
from lkgrag.utils.shapes import sizes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray

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
        return {item: n for n, item in enumerate(self.ids)}

    @cached_property
    def _by_title(self) -> dict[str, list[int]]:
        out: dict[str, list[int]] = {}
        for n, title in enumerate(self.titles):
            out.setdefault(title.strip(), []).append(n)
        return out

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

    def every(self, name: str) -> list[int]:
        """All items of an id, or else of an exact title.

        Raises:
            KeyError: there is none.
        """
        index = self._by_id.get(name)
        return [index] if index is not None else self._by_title[name]

    def index(self, items: Iterable[object], what: str) -> NDArray[np.int64]:
        """Item indices of ids or exact titles; spaces at the ends do not count.

        If several items have a title, the first one is taken, with a warning.

        Args:
            items: ids or titles.
            what: the option or argument that names the items, for messages.

        Returns:
            int64, one index an item.

        Raises:
            DataError: an item is unknown; the message names the nearest ones.
        """
        indices, by_id = [], self._by_id
        for item in items:
            key = str(item).strip()
            index = by_id.get(key)
            if index is None:
                index = self._find_title(key, what)
            if index is None:
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
