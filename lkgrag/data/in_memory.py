"""Tables of other libraries as pandas tables: lazy tables of polars, relations of DuckDB, anything with Arrow."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pandas as pd
import pyarrow as pa

from lkgrag.errors import LkgragError

#: The Arrow PyCapsule interface (https://arrow.apache.org/docs/format/CDataInterface/PyCapsuleInterface.html).
STREAM = "__arrow_c_stream__"
#: Methods that give a table of Arrow, of libraries without that interface.
EXPORTS = ("to_arrow_table", "fetch_arrow_table", "to_arrow")


@contextmanager
def _own_errors() -> Iterator[None]:
    """Turn what a library raises for a query that fails into a ValueError: each has errors of its own."""
    try:
        yield
    except (ValueError, MemoryError, LkgragError):
        raise
    except Exception as error:
        raise ValueError(str(error).strip() or type(error).__name__) from error


def arrow_frame(table: Any) -> pd.DataFrame | None:
    """A table of Arrow, or one that gives itself as such, as a pandas table; None for anything else.

    Whole numbers stay whole where values are missing.

    Args:
        table: of any library; a lazy table is computed.

    Raises:
        ValueError: the table holds no columns, or its library fails.
    """
    with _own_errors():
        table = _exported(table)
        if table is None:
            return None
        with pa.RecordBatchReader.from_stream(table) as stream:
            names = [str(name) for name in stream.schema.names]
            # By place, as two columns may share a name; that is refused later.
            parts = [
                pd.concat(arrow_series(batch), axis=1).set_axis(names, axis=1)
                for batch in stream
                if batch.num_rows
            ]
    if not parts:
        return pd.DataFrame({name: [] for name in names}, dtype=object)
    return parts[0] if len(parts) == 1 else pd.concat(parts, ignore_index=True)


def collected(table: Any) -> Any:
    """A table as it is; a lazy one is computed.

    Raises:
        ValueError: its library fails.
    """
    if not (hasattr(table, "collect") and hasattr(table, "collect_schema")):
        return table
    with _own_errors():
        return table.collect()


def _exported(table: Any) -> Any:
    """A table with a stream of Arrow; None for what has none."""
    table = collected(table)
    if hasattr(table, STREAM):
        return table
    export = next((name for name in EXPORTS if hasattr(table, name)), None)
    return None if export is None else getattr(table, export)()


def arrow_columns(batch: Any) -> dict[str, pd.Series]:
    """The columns of an Arrow table or batch by name, as of :func:`arrow_series`."""
    return dict(zip(map(str, batch.schema.names), arrow_series(batch), strict=True))


def arrow_series(batch: Any) -> list[pd.Series]:
    """The columns of an Arrow table or batch as series of pandas: numbers, dates, or Python objects."""
    return [_series(column) for column in batch.columns]


def _series(column: Any) -> pd.Series:
    kind = column.type
    if pa.types.is_dictionary(kind):
        if not pa.types.is_primitive(kind.value_type):
            # Not every kind of text can be cast to.
            return pd.Series(column.to_pylist(), dtype=object)
        column, kind = column.cast(kind.value_type), kind.value_type
    if pa.types.is_integer(kind) and column.null_count:
        # Not by floats, which cannot hold every whole number.
        return pd.Series(column.to_pylist(), dtype="Int64")
    if pa.types.is_boolean(kind) and column.null_count:
        return pd.Series(column.to_pylist(), dtype=object)
    if pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_boolean(kind):
        return pd.Series(column.to_numpy(zero_copy_only=False))
    if pa.types.is_timestamp(kind) or pa.types.is_date(kind):
        zone = kind.tz if pa.types.is_timestamp(kind) else None
        return pd.Series(column.cast(pa.timestamp("us", zone), safe=False).to_pandas())
    return pd.Series(column.to_pylist(), dtype=object)
