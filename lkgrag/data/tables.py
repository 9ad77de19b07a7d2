"""The tables that a reader returns, before any filter."""

from __future__ import annotations

from dataclasses import dataclass, field

import pandas as pd

from lkgrag.utils.shapes import sizes


@dataclass
class Tables:
    """The tables that a reader returns, before any filter.

    Attributes:
        interactions: columns ``user item``, optional ``rating`` and ``time``, in the order of the file.
            Values are numbers or text, empty where unknown. An index with the name ``line`` holds the
            numbers of the file's lines, for messages.
        items: column ``item``, optional ``title``, and any attribute columns. A value is a string or a list
            of strings.
        users: column ``user`` and any attribute columns, as for items.
        triples: columns ``head relation tail`` (str), entities of a knowledge graph.
        links: columns ``item entity`` (str): which entity an item is. If None, entities are item ids.
        source: a file or another word, for error messages.
        names: usual name -> name in the source, for columns of the interactions where the two differ.
        notes: what a reader decided or left out, for the run's first screen.
    """

    interactions: pd.DataFrame
    items: pd.DataFrame | None = None
    users: pd.DataFrame | None = None
    triples: pd.DataFrame | None = None
    links: pd.DataFrame | None = None
    source: str = "data in memory"
    names: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    __repr__ = sizes
