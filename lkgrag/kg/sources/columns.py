"""A group of edges on their way into the graph, before nodes have indices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lkgrag.kg.naming import column_relation

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.kg.base import Relation


#: Node types that `kg.combine` makes one node a combination of.
COMBINED = ("genre", "category")


@dataclass(frozen=True)
class Links:
    """Edges of one relation from items or users to values, or from items to items.

    Attributes:
        owner: ``item`` or ``user``, the source's node type.
        relation: name and words.
        source: int64 ``[E]``, index of the item or user.
        target: names of the values (str ``[E]``), or int64 item indices for relations between items.
        origin: the relation's or column's name in the file.
        named: whether the values are names that people can read, not identifiers.
    """

    owner: str
    relation: Relation
    source: NDArray[np.int64]
    target: NDArray
    origin: str
    named: bool = True


def column_links(
    table: pd.DataFrame, owner: str, item_ids: list[str], combine: bool = False
) -> tuple[list[Links], dict[str, int]]:
    """The links of all attribute columns of a table with a row for each item or user.

    Columns that name other items (``also_bought`` and the like) join items.

    Args:
        table: the attributes.
        owner: ``item`` or ``user``.
        item_ids: of the data.
        combine: make a single value of all the genres of a row, and of all its categories.

    Returns:
        The links, and how many values of such columns are no items of the data.
    """
    out, outside = [], {}
    for column in table.columns:
        if column == "title" and owner == "item":
            continue
        relation = column_relation(str(column), owner)
        cells = table[column]
        if combine and relation.node in COMBINED:
            cells = cells.map(lambda values: ["|".join(values)] if len(values) else [])
        lengths = cells.map(len).to_numpy(np.int64)
        source = np.repeat(np.arange(len(table)), lengths)
        values = np.array([v for row in cells for v in row], dtype=object)
        if relation.node != "item":
            out.append(Links(owner, relation, source, values, str(column)))
            continue
        target = pd.Index(item_ids).get_indexer(pd.Index(values)) if len(values) else values
        target = np.asarray(target, np.int64)
        joined = (target >= 0) & (target != source)
        if (target < 0).any():
            outside[str(column)] = int((target < 0).sum())
        out.append(Links(owner, relation, source[joined], target[joined], str(column)))
    return out, outside
