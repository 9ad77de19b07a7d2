"""What a reader gives: tables, before any filter."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import pandas as pd

from lkgrag.utils.shapes import sizes

if TYPE_CHECKING:
    pass


@dataclass
class Tables:
    """What a reader returns, before any filter.

    Attributes:
        interactions: columns ``user item``, optional ``rating`` and ``time``, in the order of the
            file; numbers or text, empty where unknown. An index of the name ``line`` holds the
            numbers of the file's lines, for messages.
        items: column ``item``, optional ``title``, and any attribute columns; a value is a string or
            a list of strings.
        users: column ``user`` and any attribute columns, likewise.
        triples: columns ``head relation tail`` (str), entities of a knowledge graph.
        links: columns ``item entity`` (str): which entity an item is. None: entities are item ids.
        source: a file or a word for error messages.
        names: what columns of the interactions are called in the source, where it is something else.
    """

    interactions: pd.DataFrame
    items: pd.DataFrame | None = None
    users: pd.DataFrame | None = None
    triples: pd.DataFrame | None = None
    links: pd.DataFrame | None = None
    source: str = "data in memory"
    names: dict[str, str] = field(default_factory=dict)

    __repr__ = sizes
