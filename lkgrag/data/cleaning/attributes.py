"""What is known of items and users beside their interactions, aligned with the indices."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from lkgrag.data.cleaning.columns import ids, show
from lkgrag.data.cleaning.texts import Spellings, clean, is_missing, value_text
from lkgrag.errors import DataError, nearest

if TYPE_CHECKING:
    from lkgrag.data.tables import Tables

log = logging.getLogger(__name__)


#: Columns that a warning about rows with one id names at most.
SHOWN = 3


def _values(value: Any, spellings: Spellings) -> list[str]:
    """One attribute cell as a list of clean, distinct strings."""
    is_list = isinstance(value, list | tuple | set | frozenset | np.ndarray)
    cells = value if is_list else [value]
    return spellings.list(t for v in cells if not is_missing(v) and (t := value_text(v)))


def attributes(
    table: pd.DataFrame | None,
    key: str,
    index: pd.Index,
    spellings: Spellings,
    with_title: bool = False,
) -> pd.DataFrame:
    """Align an attribute table with the index; absent rows have empty lists (title: None).

    If an id has several rows, the first one counts, with a warning if others have other values.

    Args:
        table: attributes by id, or None.
        key: ``item`` or ``user``, the column of the ids.
        index: ids in the order of the result.
        spellings: of the ids and values.
        with_title: whether ``title`` is a title and not an attribute.

    Raises:
        DataError: there is no column of ids, or an id is not one.
    """
    out = pd.DataFrame(index=range(len(index)))
    if with_title:
        out["title"] = None
    if table is None:
        return out
    rows = table.assign(**{key: table_ids(table, key, spellings)})
    _warn_of_second_rows(rows, key)
    rows = rows.drop_duplicates(key).set_index(key)
    rows = rows.reindex(index)
    for column in rows.columns:
        values = rows[column].tolist()
        if column == "title" and with_title:
            out["title"] = pd.Series(
                [None if is_missing(v) else clean(_title(v)) for v in values],
                dtype=object,
            )
        else:
            out[str(column)] = pd.Series([_values(v, spellings) for v in values], dtype=object)
    return out


def table_ids(table: pd.DataFrame, key: str, spellings: Spellings) -> pd.Series:
    """The ids of a table of items or users.

    Raises:
        DataError: there is no such column, or an id is not one.
    """
    if key not in table.columns:
        hint = nearest(key, [str(c) for c in table.columns])
        raise DataError(f"the table of {key}s has no column '{key}': add it or rename yours.{hint}")
    return spellings.column(ids(table[key], f"the table of {key}s", key))


def titles_of(table: pd.DataFrame | None, spellings: Spellings) -> dict[str, str]:
    """The title of each item that has one, also of items that the filters drop."""
    if table is None or "title" not in table.columns:
        return {}
    known = zip(table_ids(table, "item", spellings), table["title"].tolist(), strict=True)
    return {item: clean(_title(title)) for item, title in known if not is_missing(title)}


def _title(value: Any) -> str:
    """A title as text; numbers and bytes as in ids."""
    return value if isinstance(value, str) else value_text(value)


def _warn_of_second_rows(rows: pd.DataFrame, key: str) -> None:
    """Say which ids have several rows that differ."""
    again = rows[rows[key].duplicated(keep=False)]
    if not len(again):
        return
    texts = again.drop(columns=key).map(str)
    first = texts.groupby(again[key], sort=False).transform("first")
    differs = texts != first
    differing = again[key][differs.any(axis=1)].unique()
    if len(differing):
        columns = [str(c) for c in texts.columns[differs.any(axis=0)]]
        more = ", ..." if len(columns) > SHOWN else ""
        ids_have = f"{len(differing)} ids have" if len(differing) > 1 else "1 id has"
        log.warning(
            "the table of %ss: %s several rows with other values of %s%s, as %s: the first row of each counts",
            *(key, ids_have, ", ".join(columns[:SHOWN]), more, show(differing[0])),
        )


def triples_of(tables: Tables, spellings: Spellings) -> pd.DataFrame:
    """The triples' columns ``head relation tail`` as strings; none where there are none.

    Raises:
        DataError: a column is missing, or a cell is empty.
    """
    names = ("head", "relation", "tail")
    if tables.triples is None:
        return pd.DataFrame({name: [] for name in names}, dtype=str)
    _need(tables.triples, names, "triples", tables.source)
    columns = {n: spellings.column(ids(tables.triples[n], "the triples", n)) for n in names}
    return pd.DataFrame(columns, dtype=object).reset_index(drop=True)


def links_of(tables: Tables, item_index: pd.Index, spellings: Spellings) -> pd.DataFrame:
    """The entity of each item index; without links an item's entity is its id.

    Raises:
        DataError: a column is missing, or a cell is empty.
    """
    if tables.links is None:
        return pd.DataFrame({"item": np.arange(len(item_index)), "entity": list(item_index)})
    _need(tables.links, ("item", "entity"), "links", tables.source)
    given = spellings.column(ids(tables.links["item"], "the links", "item"))
    item = item_index.get_indexer(pd.Index(given))
    entity = spellings.column(ids(tables.links["entity"], "the links", "entity"))
    known = item >= 0
    return pd.DataFrame({"item": item[known], "entity": entity[known]}).reset_index(drop=True)


def _need(table: pd.DataFrame, columns: tuple[str, ...], what: str, source: str) -> None:
    missing = [c for c in columns if c not in table.columns]
    if missing:
        raise DataError(
            f"{source}: the {what} have no column '{missing[0]}'; they need {', '.join(columns)}; "
            f"name yours by data.columns={{{missing[0]}: ...}}"
        )
