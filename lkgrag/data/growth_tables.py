"""What is known of items and users beside their interactions, as it grows: attributes, triples, links."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lkgrag.data.cleaning.attributes import attributes, links_of, triples_of
from lkgrag.data.cleaning.joins import check_joins
from lkgrag.data.tables import Tables
from lkgrag.errors import nearest

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lkgrag.data.cleaning.texts import Spellings
    from lkgrag.data.interactions import Interactions

#: Names of columns or relations that a sentence lists.
SHOWN = 5


def as_tables(interactions: Interactions) -> Tables:
    """Interactions as the tables that they could have been read from; times are in seconds."""
    x = interactions
    items = np.asarray(x.item_ids, object)
    events = pd.DataFrame(
        {
            "user": np.asarray(x.user_ids, object)[x.user],
            "item": items[x.item],
            "rating": x.rating,
            "time": x.time,
        }
    )
    # Attributes may have any name, also that of the column of ids, which comes first then.
    return Tables(
        events,
        items=x.items.drop(columns="item", errors="ignore").assign(item=x.item_ids),
        users=x.users.drop(columns="user", errors="ignore").assign(user=x.user_ids),
        triples=x.triples if len(x.triples) else None,
        links=x.links.assign(item=items[x.links["item"]]),
    )


def grow_attributes(
    known: pd.DataFrame,
    table: pd.DataFrame | None,
    key: str,
    ids: list[str],
    spellings: Spellings,
) -> tuple[pd.DataFrame, int, list[str]]:
    """Attributes of known and new rows.

    Args:
        known: attributes of the first rows, by columns.
        table: new rows; those of known ids replace the values that they give.
        key: ``item`` or ``user``, the table's column of ids.
        ids: of all rows.
        spellings: of the ids and values, those of the known ones among them.

    Returns:
        The attributes of all rows, with the columns of ``known``; how many known rows have changed; and sentences on
        columns that are left out.
    """
    index = pd.Index(ids)
    new = attributes(table, key, index, spellings, with_title="title" in known.columns)
    told = []
    if unknown := [str(c) for c in new.columns if c not in known.columns]:
        there = [str(c) for c in known.columns if c != "title"]
        told.append(
            f"{key}s: {_list(unknown)} are columns that the ranker was not trained with, and left out; "
            f"it knows {_list(there) or 'none'}.{nearest(unknown[0], there)}"
        )
    out = pd.DataFrame(index=range(len(ids)))
    is_changed = np.zeros(len(known), bool)
    for column in known.columns:
        empty: object = None if column == "title" else []
        before = known[column].tolist()
        given = new[column].tolist() if column in new.columns else [empty] * len(ids)
        cells = [*before, *([empty] * (len(ids) - len(before)))]
        for row, value in enumerate(given):
            if value is None or len(value) == 0:
                continue
            if row < len(before) and value != before[row]:
                is_changed[row] = True
            cells[row] = value
        out[column] = pd.Series(cells, dtype=object)
    return out, int(is_changed.sum()), told


def grow_triples(
    known: Interactions,
    tables: Tables,
    user_ids: list[str],
    item_ids: list[str],
    spellings: Spellings,
) -> tuple[pd.DataFrame, int, list[str]]:
    """The known triples and the new ones of the same relations.

    Returns:
        All of them; how many are new; and sentences on those that are left out.

    Raises:
        DataError: a column is missing, or not one new triple touches an item.
    """
    new = triples_of(tables, spellings)
    if not len(new):
        return known.triples, 0, []
    links = None
    if tables.links is not None or not _are_plain(known):
        whole = grow_links(known, tables, item_ids, spellings)
        links = whole.assign(item=np.asarray(item_ids, object)[whole["item"]])
        # Entities of known triples need not be in the new ones.
        is_met = links["entity"].isin(new["head"]) | links["entity"].isin(new["tail"])
        links = links[is_met] if is_met.any() else links
    there = pd.DataFrame({"user": pd.Series(user_ids), "item": pd.Series(item_ids)})
    check_joins(
        Tables(tables.interactions, links=links, source=tables.source), there, new, spellings
    )
    relations = sorted(set(known.triples["relation"]))
    old = pd.MultiIndex.from_frame(known.triples)
    fresh = new.drop_duplicates()
    fresh = fresh[~pd.MultiIndex.from_frame(fresh).isin(old)]
    fits = fresh["relation"].isin(relations)
    told = []
    if not fits.all():
        names = sorted(set(fresh["relation"][~fits]))
        told.append(
            f"triples: {int((~fits).sum())} of the relations {_list(names)}, which the ranker was not trained with, "
            f"are left out; it knows {_list(relations) or 'none'}.{nearest(names[0], relations)}"
        )
    fresh = fresh[fits]
    if not len(fresh):
        return known.triples, 0, told
    return pd.concat([known.triples, fresh], ignore_index=True), len(fresh), told


def grow_links(
    known: Interactions, tables: Tables, item_ids: list[str], spellings: Spellings
) -> pd.DataFrame:
    """The entities of all items: the known ones, and those that the new tables give.

    Where known items are their own entities, new ones are, too. Otherwise a new item is its own entity if a new triple
    begins with its id.

    Raises:
        DataError: a column is missing, or a cell is empty.
    """
    parts = [known.links]
    if tables.links is not None:
        parts.append(links_of(tables, pd.Index(item_ids), spellings))
    else:
        heads = set(triples_of(tables, spellings)["head"])
        is_plain, number = _are_plain(known), known.num_items
        new = [n for n in range(number, len(item_ids)) if is_plain or item_ids[n] in heads]
        parts.append(pd.DataFrame({"item": new, "entity": [item_ids[n] for n in new]}))
    whole = pd.concat(parts, ignore_index=True).astype({"item": np.int64, "entity": object})
    return whole.drop_duplicates(ignore_index=True)


def _are_plain(known: Interactions) -> bool:
    """Whether each known item is its own entity, as without a table of links."""
    links = known.links
    return (
        len(links) == known.num_items
        and links["entity"].tolist() == known.item_ids
        and bool((links["item"].to_numpy() == np.arange(known.num_items)).all())
    )


def _list(names: Iterable[str]) -> str:
    """Some names in quotes."""
    names = list(names)
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return ", ".join(f"'{name}'" for name in names[:SHOWN]) + more
