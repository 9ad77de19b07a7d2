"""Ids as whole numbers, in the natural order of the ids."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lkgrag.data.interactions import LONGEST_NUMBER
from lkgrag.utils.duck import parquet
from lkgrag.utils.files import atomic

if TYPE_CHECKING:
    from lkgrag.utils.duck import Duck

#: Columns that ids are sorted by: whole numbers first, by value, then all others as text.
ORDER = "is_text, length, digits, id"
SCHEMA = pa.schema(
    {"id": pa.string(), "is_text": pa.bool_(), "length": pa.int32(), "digits": pa.string()}
)


def write_ids(duck: Duck, raw: Path, kind: str, path: Path) -> None:
    """Write each id of a column once, in the order of :func:`~lkgrag.data.interactions.natural_order`.

    Args:
        duck: the database.
        raw: file of the interactions.
        kind: ``user`` or ``item``.
        path: of the file, whose row is the index of an id.
    """
    keys = path.with_name(f"{kind}-keys.parquet")
    ids = f"select {kind} as id from {parquet([raw])} group by {kind}"
    with atomic(keys) as tmp, pq.ParquetWriter(tmp, SCHEMA) as writer:
        for batch in duck.batches(ids):
            writer.write_table(sort_keys(batch["id"]))
    duck.write(f"select id from {parquet([keys])} order by {ORDER}", path)
    keys.unlink()


def sort_keys(ids: pa.Array) -> pa.Table:
    """Ids with what they are sorted by: whether they are no whole numbers, and their digits without leading zeros.

    Args:
        ids: texts.
    """
    is_number = pc.match_substring_regex(ids, f"^[0-9]{{1,{LONGEST_NUMBER}}}$")
    digits = pc.if_else(is_number, pc.utf8_ltrim(ids, "0"), "")
    is_ascii = pc.string_is_ascii(ids)
    if not pc.all(is_ascii).as_py():
        # Other scripts have digits, too, which Python knows.
        texts, numbers, values = ids.to_pylist(), is_number.to_pylist(), digits.to_pylist()
        for place, text in enumerate(texts):
            if text.isdecimal() and len(text) <= LONGEST_NUMBER:
                numbers[place] = True
                values[place] = str(int(text)) if int(text) else ""
        is_number, digits = pa.array(numbers, pa.bool_()), pa.array(values, pa.string())
    length = pc.utf8_length(digits).cast(pa.int32())
    return pa.table([ids, pc.invert(is_number), length, digits], schema=SCHEMA)


def write_coded(
    duck: Duck, raw: Path, ids: dict[str, Path], least: float | None, path: Path
) -> None:
    """Write the interactions with indices in place of ids, in any order.

    Args:
        duck: the database.
        raw: file of the interactions.
        ids: files of :func:`write_ids`, by kind.
        least: lowest rating that is kept; unknown ratings are kept as well. None keeps all.
        path: of the file: ``row user item rating time``.
    """
    users, items = (
        f"(select id, file_row_number::integer as place from {parquet([ids[kind]], is_numbered=True)})"
        for kind in ("user", "item")
    )
    keep = "" if least is None else f" where r.rating is null or r.rating >= {least!r}::double"
    duck.run("set preserve_insertion_order = false")
    duck.write(
        f"select r.row, u.place as user, i.place as item, r.rating, r.time from {parquet([raw])} r "
        f"join {users} u on r.user = u.id join {items} i on r.item = i.id{keep}",
        path,
    )
    duck.run("set preserve_insertion_order = true")
