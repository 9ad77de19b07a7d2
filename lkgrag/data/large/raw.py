"""Interactions of files, checked and typed batch by batch, in one Parquet file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from lkgrag.data.cleaning.filters import typed_events
from lkgrag.data.cleaning.texts import Spellings
from lkgrag.data.readers.batches import BATCH
from lkgrag.data.readers.reading import read_tables
from lkgrag.data.readers.table import TableReader, stream_events
from lkgrag.errors import ConfigError, DataError
from lkgrag.utils.duck import known
from lkgrag.utils.files import atomic

if TYPE_CHECKING:
    from lkgrag.config import DataConfig
    from lkgrag.data.readers.location import Place
    from lkgrag.data.tables import Tables

#: Batches of a group of rows, which is what the database reads at a time.
GROUP = 16
SCHEMA = pa.schema(
    {
        "row": pa.int64(),
        "user": pa.string(),
        "item": pa.string(),
        "rating": pa.float64(),
        "time": pa.float64(),
    }
)


def write_raw(place: Place, config: DataConfig, path: Path) -> None:
    """Write all interactions with their ids as texts, in the order of the files.

    Plain tables are read batch by batch. Files of other readers, and histories, are read into memory first.

    Args:
        place: where the data set lies.
        config: of the data.
        path: of the file.

    Raises:
        DataError: a file is broken, a value does not fit, or there is no interaction.
        ConfigError: an option needs tables beside the interactions.
    """
    if config.untitled == "drop":
        raise ConfigError(
            "data.untitled=drop needs titles, but interactions alone are counted; leave it out"
        )
    spellings = Spellings()
    row = 0
    with atomic(path) as tmp, pq.ParquetWriter(tmp, SCHEMA, compression="zstd") as writer:
        waiting: list[pa.Table] = []
        for tables in _batches(place, config):
            events = typed_events(tables, place.config, spellings)
            columns = [pa.array(np.arange(row, row + len(events)))]
            columns += [pa.array(events[c].to_numpy(object), pa.string()) for c in ("user", "item")]
            columns += [known(events[c].to_numpy(np.float64)) for c in ("rating", "time")]
            waiting.append(pa.table(columns, schema=SCHEMA))
            row += len(events)
            if len(waiting) == GROUP:
                writer.write_table(pa.concat_tables(waiting))
                waiting = []
        if waiting:
            writer.write_table(pa.concat_tables(waiting))
        if not row:
            raise DataError(f"{place.folder}: there is no interaction")


def _batches(place: Place, config: DataConfig) -> Iterator[Tables]:
    """The interactions of a data set, in one or more tables."""
    if isinstance(place.reader, TableReader):
        streamed = stream_events(place.folder, place.config)
        if streamed is not None:
            yield from streamed
            return
    tables, _ = read_tables(config)
    for start in range(0, len(tables.interactions), BATCH):
        part = tables.interactions.iloc[start : start + BATCH]
        yield type(tables)(interactions=part, source=tables.source, names=tables.names)
