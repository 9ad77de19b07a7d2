"""Whether tables beside the interactions meet them: attributes by their ids, triples by their entities."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.data.cleaning.attributes import table_ids
from lkgrag.data.cleaning.columns import ids, show
from lkgrag.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    import pandas as pd

    from lkgrag.data.cleaning.texts import Spellings
    from lkgrag.data.tables import Tables

log = logging.getLogger(__name__)

#: A smaller share of described items or users is worth a warning.
DESCRIBED = 0.9
#: What tables often write otherwise: the words for it, and what makes both the same.
DIFFERENCES: tuple[tuple[str, Callable[[str], str]], ...] = (
    ("quotes", lambda text: text.strip("\"'`")),
    ("upper and lower case", str.casefold),
    ("a decimal point, as 1.0 for 1", lambda text: text.removesuffix(".0")),
    ("leading zeros", lambda text: text.lstrip("0") or "0"),
    ("spaces or punctuation", lambda text: "".join(c for c in text if c.isalnum())),
)


def check_described(
    tables: Tables, key: str, raw: pd.DataFrame, kept: Sequence[str], spellings: Spellings
) -> None:
    """Refuse a table of items or users none of whose ids is there, and warn if it describes few of those kept.

    Args:
        tables: what was read.
        key: ``item`` or ``user``: which table, and its column of ids.
        raw: interactions with ``user`` and ``item``, also those that the filters drop.
        kept: ids that the filters keep.
        spellings: of the ids.

    Raises:
        DataError: with an example of each side.
    """
    table, source = tables.items if key == "item" else tables.users, tables.source
    if table is None or not len(table):
        return
    known, there = set(table_ids(table, key, spellings)), set(raw[key])
    found = sum(i in known for i in kept)
    if found >= DESCRIBED * len(kept):
        return
    ours = show(next((i for i in kept if i not in known), kept[0]))
    theirs = min(known - there, default=None)
    hint = _difference(there - known, known - there)
    if not known & there:
        raise DataError(
            f"{source}: the table of {key}s describes {len(known)} {key}s, as {show(theirs)}, and not one of "
            f"the {len(there)} of the interactions, as {ours}{hint}; write the ids the same in both, or leave the "
            "table out"
        )
    example = (
        "" if theirs is None else f"; an id of the table that no interaction has: {show(theirs)}"
    )
    log.warning(
        "%s: the table of %ss describes %d of %d %ss; without a row is %s%s%s",
        *(source, key, found, len(kept), key, ours, example, hint),
    )


def _difference(ours: set[str], theirs: set[str]) -> str:
    """What the ids of both sides differ by; empty if that is not seen."""
    for words, same in DIFFERENCES:
        if {same(i) for i in ours} & {same(i) for i in theirs}:
            return f" (they differ by {words})"
    return ""


def check_joins(
    tables: Tables, raw: pd.DataFrame, triples: pd.DataFrame, spellings: Spellings
) -> str | None:
    """Count what joins nothing, in one warning.

    Args:
        tables: what was read.
        raw: interactions with ``user`` and ``item``, also those that the filters drop.
        triples: ``head relation tail``.
        spellings: of the ids.

    Returns:
        The warning, None where everything is joined.

    Raises:
        DataError: there are triples, and not one touches an item.
    """
    counts = []
    items = set(raw["item"])
    known, entities = items, items
    if tables.items is not None and "item" in tables.items.columns:
        known = known | set(table_ids(tables.items, "item", spellings))
    if tables.links is not None:
        # The columns were checked before.
        item = spellings.column(ids(tables.links["item"], "the links", "item"))
        entity = spellings.column(ids(tables.links["entity"], "the links", "entity"))
        inside = item.isin(known)
        counts.append((int((~inside).sum()), "links name no item of the data"))
        entities = set(entity[inside])
    if not len(triples):
        if tables.links is not None and len(tables.links):
            counts.append((len(tables.links), "links, but no triples that they could join"))
        return _warn(tables.source, counts)
    is_item = [triples[end].isin(entities).to_numpy(bool) for end in ("head", "tail")]
    touched = is_item[0] | is_item[1]
    if not touched.any():
        raise DataError(_nothing(tables, entities, triples))
    met = entities | set(triples["head"][touched]) | set(triples["tail"][touched])
    there = set(triples["head"]) | set(triples["tail"])
    counts += _count_triples(triples, touched, is_item[0] & is_item[1], set(raw["user"]), met)
    counts.append((len(there - met), f"of {len(there)} entities of the triples touch no item"))
    if tables.links is not None:
        counts.append((len(entities - there), "linked entities are in no triple"))
    return _warn(tables.source, counts)


def _count_triples(
    triples: pd.DataFrame, touched: np.ndarray, between: np.ndarray, users: set[str], met: set[str]
) -> list[tuple[int, str]]:
    """How many triples the graph leaves out, by reason.

    Args:
        triples: ``head relation tail``.
        touched: bool, whether an end is an item.
        between: bool, whether both ends are.
        users: ids of the users.
        met: items, and the entities that a triple joins with one.
    """
    head, tail = triples["head"], triples["tail"]
    is_self = (head == tail).to_numpy(bool)
    of_users = (head.isin(users) & tail.isin(users)).to_numpy(bool) & ~touched & ~is_self
    near = (head.isin(met) | tail.isin(met)).to_numpy(bool)
    far = near & ~touched & ~of_users & ~is_self
    rest = ~near & ~touched & ~of_users & ~is_self
    return [
        (int((is_self & between).sum()), "triples join an item with itself"),
        (int((is_self & ~between).sum()), "triples join an entity with itself"),
        (int(of_users.sum()), "triples join two users"),
        (int(far.sum()), "triples are further than one step from an item"),
        (int(rest.sum()), "triples reach no item"),
    ]


def _warn(source: str, counts: list[tuple[int, str]]) -> str | None:
    parts = [f"{number} {what}" for number, what in counts if number]
    if not parts:
        return None
    text = f"{source}: {'; '.join(parts)}; they are left out"
    log.warning(text)
    return text


def _nothing(tables: Tables, entities: set[str], triples: pd.DataFrame) -> str:
    """One line that shows how the ids of both sides look."""
    example = show(triples["head"].iloc[0])
    hint = _difference(entities, set(triples["head"]) | set(triples["tail"]))
    if tables.links is None:
        ours = f"no head or tail is an item, as {show(min(entities))}"
        advice = "give the items' entities by a .link file, or leave the triples out"
    elif entities:
        ours = f"no head or tail is a linked entity, as {show(min(entities))}"
        advice = "correct the .link file, or leave the triples out"
    else:
        ours = f"no link names an item of the data, as {show(tables.interactions['item'].iloc[0])}"
        advice = "correct the .link file, or leave the triples out"
    return (
        f"{tables.source}: of {len(triples)} triples (the first head is {example}) not one joins an "
        f"item: {ours}{hint}; {advice}"
    )
