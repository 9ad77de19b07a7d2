"""Amazon reviews of 2014, 2018 and 2023: ratings or reviews, and metadata, as published and packed.

Field lists: https://jmcauley.ucsd.edu/data/amazon/ (2014), https://nijianmo.github.io/amazon/ (2018),
https://amazon-reviews-2023.github.io/ (2023). What a file holds is told by its content, not by its name alone.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from lkgrag.data.cleaning.columns import numbers, times
from lkgrag.data.readers.amazon_columns import told_apart
from lkgrag.data.readers.amazon_files import (
    EVENTS_2014,
    HEADER_2023,
    event_files,
    has_header,
    metadata_file,
    read_objects,
    reads_objects,
    review_fields,
)
from lkgrag.data.readers.amazon_metadata import read_metadata
from lkgrag.data.readers.base import Reader
from lkgrag.data.readers.batches import EVENT, EventTable, batched, read_events
from lkgrag.data.readers.formats import TextTable
from lkgrag.data.readers.parts import Part, read_parts
from lkgrag.data.readers.text import check_header
from lkgrag.data.tables import Tables

if TYPE_CHECKING:
    from lkgrag.config import DataConfig

#: Columns of ratings without a header: two ids, a rating and a time.
NUMBERS = ("1", "2", "3", "4")
#: Column of the 5-core files of 2023 with the items before.
HISTORY = "history"
#: Larger numbers are milliseconds: as seconds they would lie after the year 5000.
SECONDS = 1e11


class Amazon(Reader):
    """Ratings or reviews of 2014, 2018 or 2023, and metadata."""

    name = "amazon"

    def follows_columns(self, config: DataConfig) -> bool:
        """Only numbers of columns are followed, for ratings without a header."""
        return set(config.columns.values()) <= set(NUMBERS)

    def files(self, folder: Path, config: DataConfig) -> list[Path]:
        """The ratings (in parts where others have split them) or else reviews, and the metadata."""
        events = event_files(folder, config.name) or [folder / EVENTS_2014]
        return [*events, metadata_file(folder, events[0], config.name)]

    def read(self, folder: Path, config: DataConfig) -> Tables:
        """Read the set; everything is streamed, and only metadata of items with a rating is kept."""
        *paths, meta = self.files(folder, config)
        given = {word: name for word, name in config.columns.items() if word in EVENT}
        notes: list[str] = []
        if reads_objects(paths[0]):
            names = {**review_fields(paths[0]), **given}
            events = pd.concat([_reviews(path, names) for path in paths])
        elif has_header(paths[0]):
            names = {**HEADER_2023, **given}
            parts = [_with_header(path, names) for path in paths]
            events, notes = read_parts(parts, config.time_unit)
        else:
            names = {}
            first = {**dict(zip(EVENT, NUMBERS, strict=True)), **_both(given)}
            events = read_events(paths[0], first, ",", NUMBERS)
            # A broken row is told before a doubt about all rows.
            numbers(events["rating"], str(paths[0]), "rating")
            times(events["time"], str(paths[0]), "time", "any")
            if "user" not in given and "item" not in given:
                events = told_apart(events, paths[0], meta, notes)
        if config.time_unit == "s":
            events["time"] = _seconds(events["time"])
        items = triples = None
        if meta.is_file():
            items, triples = read_metadata(meta, set(events["item"].dropna().str.strip()))
        return Tables(
            interactions=events,
            items=items,
            triples=triples,
            source=str(paths[0]),
            names=names,
            notes=notes,
        )


#: The class had this name when it read no other generation.
Amazon2014 = Amazon


def _both(given: dict[str, str]) -> dict[str, str]:
    """Numbers of columns, where that of the user tells that of the item, and the reverse."""
    other = {"1": "2", "2": "1"}
    for word, opposite in (("user", "item"), ("item", "user")):
        if word in given and opposite not in given:
            return {opposite: other.get(given[word], "1"), **given}
    return given


def _reviews(path: Path, names: dict[str, str]) -> pd.DataFrame:
    """User, item, rating and time of each review; its text is passed over."""
    table = EventTable(path, names)
    # The item of 2023 is the parent; reviews of single colours and sizes are of one item.
    other = "asin" if names["item"] == "parent_asin" else None
    objects = read_objects(path, names["user"], names["item"], other)
    for batch in batched(objects):
        table.add(
            {word: [value.get(name) for _, value in batch] for word, name in names.items()},
            [number for number, _ in batch],
        )
    return table.build()


def _with_header(path: Path, names: dict[str, str]) -> Part:
    """A 5-core file of 2023, or one of its parts."""
    table = TextTable(path, ",")
    header = table.columns()
    check_header(header, tuple(names.values()), path)
    history = HISTORY if HISTORY in header else None
    return Part(
        path, names, table.batches([*names.values(), *([history] if history else [])]), history
    )


def _seconds(times: pd.Series) -> pd.Series:
    """Milliseconds, as the files of 2023 have them, as seconds; seconds and text stay."""
    if not pd.api.types.is_numeric_dtype(times):
        return times.map(lambda v: v / 1000 if isinstance(v, float) and v > SECONDS else v)
    return times / 1000 if times.median() > SECONDS else times
