"""The text of each item: its title and the values of its attributes."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from lkgrag.data.cleaning.texts import normal

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd

#: Between the parts of a text.
SEPARATOR = " | "
#: Values of each attribute that a text holds, the rarest first: a rare category says more than a common one.
VALUES = 2
#: Characters after which a part is cut. No title is so long, and a description's first words say what it is of.
LONGEST = 1000


def item_texts(items: pd.DataFrame, values: int = VALUES) -> list[str]:
    """Give each item a text: the title, then the rarest values of each attribute.

    Args:
        items: one row for each item, with the column ``title`` and attribute columns of lists of strings, as of
            :attr:`lkgrag.data.Interactions.items`.
        values: most values of each attribute.

    Returns:
        As ``Xtreme Brite Brightening Gel 1oz. | Xtreme Brite | Styling Products | Hair Care``; empty for an
        item without title and values.
    """
    parts: list[list[str]] = [[title] if isinstance(title, str) else [] for title in items["title"]]
    for column in items.columns:
        if column != "title":
            for row, rarest in zip(parts, pick_rarest(items[column].tolist(), values), strict=True):
                row += rarest
    return [SEPARATOR.join(p for p in map(_clean, row) if p) for row in parts]


def pick_rarest(column: Sequence[Sequence[str]], most: int = VALUES) -> list[list[str]]:
    """The rarest values of each row; equally rare ones keep their order.

    Args:
        column: the values of one attribute, a row for each item.
        most: values of a row.
    """
    count = Counter(value for values in column for value in set(values))
    return [sorted(dict.fromkeys(values), key=count.__getitem__)[:most] for values in column]


def _clean(part: str) -> str:
    """A part in one line, without white space around it."""
    return " ".join(normal(part[:LONGEST]).split())
