"""The items that a saved ranker knows, by id and by title."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lkgrag.errors import DataError, nearest, short
from lkgrag.io import read_parquet, write_parquet
from lkgrag.sizes import sizes

if TYPE_CHECKING:
    from collections.abc import Iterable

    from numpy.typing import NDArray


@dataclass(frozen=True)
class Catalogue:
    """Ids and titles, in the order of the item indices."""

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
    def _by_title(self) -> dict[str, int]:
        # The first of several items with one title: ids are there to tell them apart.
        out: dict[str, int] = {}
        for n, title in enumerate(self.titles):
            out.setdefault(title.strip(), n)
        return out

    def index(self, items: Iterable[object], what: str) -> NDArray[np.int64]:
        """Item indices of ids (or exact titles); spaces at the ends do not count.

        Args:
            items: ids or titles.
            what: the option or argument they come from, for the error.

        Raises:
            DataError: an item is unknown; the message names the nearest ones.
        """
        out = []
        for item in items:
            key = str(item).strip()
            found = self._by_id.get(key, self._by_title.get(key))
            if found is None:
                hint = nearest(key, self._by_title) or nearest(key, self._by_id)
                raise DataError(
                    f"{what}: no item {short(key)!r} among the {len(self)} of this ranker.{hint} "
                    "Items are given by id, or by their exact title"
                )
            out.append(found)
        return np.asarray(out, np.int64)

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
