"""What items can be filtered by: the attributes of the data, and the values that the graph joins them with."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.data.cleaning.texts import normal
from lkgrag.errors import DataError, nearest, short
from lkgrag.kg.base import REVERSE
from lkgrag.kg.naming import column_relation, snake

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pandas as pd
    from numpy.typing import NDArray
    from torch_geometric.data import HeteroData

#: Names that a message lists.
LISTED = 12


def fold(text: str) -> str:
    """A text in the form in which values are compared: composed, without case and spaces at the ends."""
    return normal(text).strip().casefold()


@dataclass(frozen=True)
class Attribute:
    """One attribute.

    Attributes:
        name: that people see.
        items: item indices by value.
    """

    name: str
    items: dict[str, list[int]]

    @cached_property
    def _folded(self) -> dict[str, set[int]]:
        out: dict[str, set[int]] = {}
        for value, items in self.items.items():
            out.setdefault(fold(value), set()).update(items)
        return out

    def find(self, value: str) -> NDArray[np.int64]:
        """Indices of the items with a value, whatever its case.

        Raises:
            DataError: no item has it; the message names near ones.
        """
        found = self._folded.get(fold(value))
        if found is None:
            values = sorted(self.items, key=lambda v: (-len(self.items[v]), v))
            folded = {fold(v): v for v in reversed(values)}
            near = [v for f, v in folded.items() if nearest(fold(value), [f])][:3]
            hint = nearest(value, values) or (f" Did you mean {_quoted(near)}?" if near else "")
            raise DataError(
                f"where: no item has {self.name} {short(value)!r}.{hint} "
                f"Frequent values: {', '.join(short(v) for v in values[:LISTED])}"
            )
        return np.asarray(sorted(found), np.int64)


class Attributes:
    """The attributes of a ranker's items.

    A column of the data has its own name, that of its relation (``has_genre``) and that of the relation's other end
    (``genre``). Relations of triples have the last two.

    Args:
        data: the graph.
        items: columns of lists of values, one row for each item, as of
            :attr:`lkgrag.data.Interactions.items`; None where they were not kept.
    """

    def __init__(self, data: HeteroData, items: pd.DataFrame | None) -> None:
        self._by_name: dict[str, Attribute] = {}
        self._shown: list[str] = []
        if items is not None:
            for column in items.columns:
                if column != "title":
                    self._add_column(str(column), items[column].tolist())
        for source, relation, target in data.edge_types:
            is_value = source == "item" and target not in ("item", "user")
            if is_value and not relation.startswith(REVERSE):
                self._add_relation(data, relation, target)

    @property
    def names(self) -> list[str]:
        """The names that people are shown, one for each attribute."""
        return list(self._shown)

    def items(self, name: str, value: str) -> NDArray[np.int64]:
        """Indices of the items whose attribute has a value, int64.

        Raises:
            DataError: there is no such attribute or value; the message names near ones.
        """
        attribute = self._by_name.get(name) or self._by_name.get(snake(name))
        if attribute is None:
            hint = nearest(snake(name), sorted(self._by_name))
            there = ", ".join(self._shown[:LISTED]) or "none"
            raise DataError(
                f"where: the items have no attribute {short(name)!r}.{hint} There are: {there}"
            )
        return attribute.find(value)

    def _add_column(self, column: str, rows: list[list[str]]) -> None:
        values: dict[str, list[int]] = {}
        for item, row in enumerate(rows):
            for value in row:
                values.setdefault(value, []).append(item)
        relation = column_relation(column)
        if values and relation.node != "item":
            self._add([column, snake(column), relation.node, relation.name], values, relation.node)

    def _add_relation(self, data: HeteroData, relation: str, node: str) -> None:
        names = list(data[node].name)
        values: dict[str, list[int]] = {}
        start, end = data["item", relation, node].edge_index.cpu().numpy()
        for item, value in zip(start.tolist(), end.tolist(), strict=True):
            values.setdefault(names[value], []).append(item)
        if values:
            self._add([node, relation], values, node)

    def _add(self, names: Iterable[str], items: dict[str, list[int]], shown: str) -> None:
        """Add an attribute by those of its names that are free."""
        free = [name for name in dict.fromkeys(names) if name not in self._by_name]
        if not free:
            return
        name = shown if shown in free else free[0]
        self._shown.append(name)
        for key in free:
            self._by_name[key] = Attribute(name, items)


def _quoted(words: list[str]) -> str:
    return " or ".join(f"'{word}'" for word in words)
