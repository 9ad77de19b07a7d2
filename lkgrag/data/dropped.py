"""Users and items that had too few interactions, so that nobody takes them for unknown ones."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from lkgrag.data.cleaning.texts import normal
from lkgrag.utils.files import read_parquet, write_parquet
from lkgrag.utils.shapes import sizes

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


@dataclass(frozen=True)
class Dropped:
    """What ``data.min_user`` and ``data.min_item`` dropped, with the interactions that each had before.

    Attributes:
        users: interactions by user.
        items: interactions by item.
        titles: ids of dropped items by title.
    """

    users: dict[str, int] = field(default_factory=dict)
    items: dict[str, int] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)

    __repr__ = sizes

    @classmethod
    def of(cls, raw: pd.DataFrame, core: pd.DataFrame, titles: Mapping[str, str]) -> Dropped:
        """Compare interactions before and after the filters.

        Args:
            raw: columns ``user`` and ``item``, before.
            core: likewise, after.
            titles: by item, as far as known.
        """

        def count(name: str) -> dict[str, int]:
            left = raw[name][~raw[name].isin(core[name].unique())]
            return {str(key): int(number) for key, number in left.value_counts().items()}

        items = count("item")
        by_title = {normal(titles[i]).strip(): i for i in items if titles.get(i, "").strip()}
        return cls(count("user"), items, by_title)

    def without(self, users: Collection[str], items: Collection[str]) -> Dropped:
        """What is still dropped once some users and items are known."""
        now_known, now_items = set(users), set(items)
        return Dropped(
            {user: number for user, number in self.users.items() if user not in now_known},
            {item: number for item, number in self.items.items() if item not in now_items},
            {title: item for title, item in self.titles.items() if item not in now_items},
        )

    def why_user(self, user: str, least: int) -> str:
        """Why a user is not there, as a sentence in front of advice; empty for one that was not dropped.

        Args:
            user: the id.
            least: ``data.min_user``.
        """
        return _why(user, self.users.get(user), least, "user")

    def why_item(self, item: str, least: int) -> str:
        """Why an item is not there, by id or title; see :meth:`why_user`."""
        key = item if item in self.items else self.titles.get(normal(item), item)
        return _why(item, self.items.get(key), least, "item")

    def save(self, path: Path) -> None:
        """Write as Parquet."""
        titles = {item: title for title, item in self.titles.items()}
        rows: list[tuple[str, str, int, str | None]]
        rows = [("user", key, number, None) for key, number in self.users.items()]
        rows += [("item", key, n, titles.get(key)) for key, n in self.items.items()]
        write_parquet(path, pd.DataFrame(rows, columns=["kind", "id", "interactions", "title"]))

    @classmethod
    def load(cls, path: Path) -> Dropped:
        """Read from Parquet; a ranker of an older version has no such file, and knows of none.

        Raises:
            LkgragError: the file is broken.
        """
        if not path.is_file():
            return cls()
        table = read_parquet(path)
        kinds = {k: rows for k, rows in table.groupby("kind")}
        counts = {
            k: dict(zip(rows["id"], rows["interactions"].astype(int), strict=True))
            for k, rows in kinds.items()
        }
        titled = table[table["title"].notna()]
        titles = dict(zip(titled["title"], titled["id"], strict=True))
        return cls(counts.get("user", {}), counts.get("item", {}), titles)


def _why(name: str, number: int | None, least: int, kind: str) -> str:
    if number is None:
        return ""
    counted = f"{number} interaction{'' if number == 1 else 's'}"
    if number < least:
        return f"{name} has {counted}, data.min_{kind} is {least}"
    other = "item" if kind == "user" else "user"
    return (
        f"{name} has {counted}, but fewer than data.min_{kind}={least} are left without the {other}s that "
        f"data.min_{other} drops"
    )
