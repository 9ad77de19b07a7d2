"""Whether the knowledge graph's entities meet the items; what nothing joins is counted once."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from lkgrag.data.cleaning.columns import ids, show
from lkgrag.errors import DataError

if TYPE_CHECKING:
    import pandas as pd

    from lkgrag.data.tables import Tables

log = logging.getLogger(__name__)


def check_joins(tables: Tables, items: set[str], triples: pd.DataFrame) -> str | None:
    """Count what joins nothing, in one warning.

    Args:
        tables: what was read.
        items: ids of all items with an interaction, also of those that the filters drop.
        triples: ``head relation tail``.

    Returns:
        The warning, None where everything is joined.

    Raises:
        DataError: there are triples, and not one touches an item.
    """
    counts = []
    known, entities = items, items
    if tables.items is not None and "item" in tables.items.columns:
        known = known | set(tables.items["item"].astype(str).str.strip())
    if tables.links is not None:
        # The columns were checked before.
        item = ids(tables.links["item"], "the links", "item")
        entity = ids(tables.links["entity"], "the links", "entity")
        inside = item.isin(known)
        counts.append((int((~inside).sum()), "links name no item of the data"))
        entities = set(entity[inside])
    if not len(triples):
        if tables.links is not None and len(tables.links):
            counts.append((len(tables.links), "links, but no triples that they could join"))
        return _warn(tables.source, counts)
    touched = triples["head"].isin(entities) | triples["tail"].isin(entities)
    if not touched.any():
        raise DataError(_nothing(tables, entities, triples))
    met = entities | set(triples["head"][touched]) | set(triples["tail"][touched])
    there = set(triples["head"]) | set(triples["tail"])
    counts.append((len(there - met), f"of {len(there)} entities of the triples touch no item"))
    if tables.links is not None:
        counts.append((len(entities - there), "linked entities are in no triple"))
    return _warn(tables.source, counts)


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
        f"item: {ours}; {advice}"
    )
