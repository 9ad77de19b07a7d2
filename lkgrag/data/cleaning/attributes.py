"""What is known of items and users beside their interactions, aligned with the indices."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lkgrag.data.cleaning.columns import clean, ids
from lkgrag.errors import DataError

if TYPE_CHECKING:
    from lkgrag.data.tables import Tables


def _unknown(value: Any) -> bool:
    return value is None or value is pd.NA or (isinstance(value, float) and np.isnan(value))


def _values(value: Any) -> list[str]:
    """One attribute cell as a list of clean, distinct strings."""
    if isinstance(value, list | tuple | set | np.ndarray):
        out = [clean(str(v)).strip() for v in value if not _unknown(v)]
    elif _unknown(value):
        return []
    else:
        out = [clean(str(value)).strip()]
    return list(dict.fromkeys(v for v in out if v))


def attributes(
    table: pd.DataFrame | None, key: str, index: pd.Index, with_title: bool = False
) -> pd.DataFrame:
    """Align an attribute table with the index; absent rows have empty lists (title: None)."""
    out = pd.DataFrame(index=range(len(index)))
    if with_title:
        out["title"] = None
    if table is None:
        return out
    if key not in table.columns:
        raise DataError(f"the table of {key}s has no column '{key}': add it or rename yours")
    known = ids(table[key], f"the table of {key}s", key)
    rows = table.assign(**{key: known}).drop_duplicates(key).set_index(key)
    rows = rows.reindex(index)
    for column in rows.columns:
        values = rows[column].tolist()
        if column == "title" and with_title:
            out["title"] = pd.Series(
                [None if _unknown(v) else clean(str(v)) for v in values],
                dtype=object,
            )
        else:
            out[str(column)] = pd.Series([_values(v) for v in values], dtype=object)
    return out


def triples_of(tables: Tables) -> pd.DataFrame:
    """The triples' columns ``head relation tail`` as strings; none where there are none.

    Raises:
        DataError: a column is missing, or a cell is empty.
    """
    names = ("head", "relation", "tail")
    if tables.triples is None:
        return pd.DataFrame({name: [] for name in names}, dtype=str)
    _need(tables.triples, names, "triples", tables.source)
    columns = {n: ids(tables.triples[n], "the triples", n) for n in names}
    return pd.DataFrame(columns, dtype=object).reset_index(drop=True)


def links_of(tables: Tables, item_index: pd.Index) -> pd.DataFrame:
    """The entity of each item index; without links an item's entity is its id.

    Raises:
        DataError: a column is missing, or a cell is empty.
    """
    if tables.links is None:
        return pd.DataFrame({"item": np.arange(len(item_index)), "entity": list(item_index)})
    _need(tables.links, ("item", "entity"), "links", tables.source)
    item = item_index.get_indexer(pd.Index(ids(tables.links["item"], "the links", "item")))
    entity = ids(tables.links["entity"], "the links", "entity")
    known = item >= 0
    return pd.DataFrame({"item": item[known], "entity": entity[known]}).reset_index(drop=True)


def _need(table: pd.DataFrame, columns: tuple[str, ...], what: str, source: str) -> None:
    missing = [c for c in columns if c not in table.columns]
    if missing:
        raise DataError(
            f"{source}: the {what} have no column '{missing[0]}'; they need {', '.join(columns)}; "
            f"name yours by data.columns={{{missing[0]}: ...}}"
        )
