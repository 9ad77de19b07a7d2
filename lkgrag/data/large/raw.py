"""Interactions of files, checked and typed batch by batch, in Parquet files."""

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
from lkgrag.data.readers.table import TableReader, event_pieces, stream_events
from lkgrag.errors import ConfigError, DataError
from lkgrag.utils.duck import known, parquet
from lkgrag.utils.files import atomic

if TYPE_CHECKING:
    from lkgrag.config import DataConfig
    from lkgrag.data.readers.formats import Piece
    from lkgrag.data.readers.location import Place
    from lkgrag.data.tables import Tables
    from lkgrag.utils.duck import Duck

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


#: Texts of a part beside it: the form by which spellings are compared, and the spelling that came first.
SPELLINGS = pa.schema({"normal": pa.string(), "text": pa.string()})


def plan_raw(place: Place, most: int) -> list[Piece] | None:
    """Divide the interactions of plain tables.

    Args:
        place: where the data set lies.
        most: rows of a part, where a format can be read from a row on.

    Returns:
        None where files of another reader, or histories, are read into memory as a whole.
    """
    if isinstance(place.reader, TableReader):
        return event_pieces(place.folder, place.config, most)
    return None


def write_raw(
    duck: Duck, place: Place, config: DataConfig, piece: Piece | None, path: Path
) -> None:
    """Write interactions with their ids as texts, in the order of the files.

    Plain tables are read batch by batch. Files of other readers, and histories, are read into memory first.

    Args:
        duck: not used.
        place: where the data set lies.
        config: of the data.
        piece: of :func:`plan_raw`; None for all.
        path: of the file, whose ``row`` counts from its beginning. Beside it, :func:`spellings_of` names the file of
            the spellings.

    Raises:
        DataError: a file is broken, a value does not fit, or there is no interaction.
    """
    spellings = Spellings()
    row = 0
    with atomic(path) as tmp, pq.ParquetWriter(tmp, SCHEMA, compression="zstd") as writer:
        waiting: list[pa.Table] = []
        for tables in _batches(place, config, piece):
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
        if not row and piece is None:
            raise no_interaction(place)
        with atomic(spellings_of(path)) as beside:
            first = spellings.first
            pq.write_table(pa.table([[*first], [*first.values()]], schema=SPELLINGS), beside)


def no_interaction(place: Place) -> DataError:
    """The error of a data set without any."""
    return DataError(f"{place.folder}: there is no interaction")


def refuse_tables(config: DataConfig) -> None:
    """Refuse options that need other tables.

    Raises:
        ConfigError: naming one.
    """
    if config.untitled == "drop":
        raise ConfigError(
            "data.untitled=drop needs titles, but interactions alone are counted; leave it out"
        )


def spellings_of(path: Path) -> Path:
    """The file of the spellings of a part of :func:`write_raw`."""
    return path.with_name(f"{path.stem}-spellings.parquet")


def write_respelled(duck: Duck, raw: list[Path], path: Path) -> None:
    """Write the texts that another part spells otherwise before: ``was``, ``text``."""
    each = " union all ".join(
        f"select {number} as part, normal, text from {parquet([spellings_of(file)])}"
        for number, file in enumerate(raw)
    )
    first = "select normal, arg_min(text, part) as text from texts group by normal"
    duck.write(
        f"with texts as ({each}) select distinct t.text as was, f.text as text from texts t "
        f"join ({first}) f on t.normal = f.normal where t.text <> f.text",
        path,
    )


def spelled(raw: list[Path], respelled: Path | None) -> str:
    """Parts of the interactions as a table of a query, in one spelling.

    Args:
        raw: files of :func:`write_raw`.
        respelled: file of :func:`write_respelled`; None where no text of a part is spelled otherwise before.
    """
    if respelled is None:
        return parquet(raw)
    other = parquet([respelled])
    return (
        "(select r.row, coalesce(u.text, r.user) as user, coalesce(i.text, r.item) as item, r.rating, r.time "
        f"from {parquet(raw)} r left join {other} u on r.user = u.was left join {other} i on r.item = i.was)"
    )


def _batches(place: Place, config: DataConfig, piece: Piece | None) -> Iterator[Tables]:
    """The interactions of a data set, or of a piece of it, in one or more tables."""
    if isinstance(place.reader, TableReader):
        streamed = stream_events(place.folder, place.config, piece)
        if streamed is not None:
            yield from streamed
            return
    tables, _ = read_tables(config)
    for start in range(0, len(tables.interactions), BATCH):
        part = tables.interactions.iloc[start : start + BATCH]
        yield type(tables)(interactions=part, source=tables.source, names=tables.names)
