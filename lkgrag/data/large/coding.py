"""Ids as whole numbers, in the natural order of the ids."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from lkgrag.data.interactions import LONGEST_NUMBER
from lkgrag.data.large.raw import spelled
from lkgrag.utils.duck import parquet
from lkgrag.utils.files import atomic
from lkgrag.utils.parts import count_rows

if TYPE_CHECKING:
    from lkgrag.utils.duck import Duck

#: Columns that ids are sorted by: whole numbers first, by value, then all others as text.
ORDER = "is_text, length, digits, id"
#: Rows of a group of a file of which others read some.
GROUP = 1 << 14
#: Bytes of a text in the database's table of groups while it grows, and the longest that needs no more.
ENTRY, INLINED = 96, 12
#: Share of the database's memory that the table may take.
SHARE = 0.6
SCHEMA = pa.schema(
    {"id": pa.string(), "is_text": pa.bool_(), "length": pa.int32(), "digits": pa.string()}
)


def write_ids(duck: Duck, raw: list[Path], respelled: Path | None, kind: str, path: Path) -> None:
    """Write each id of a column once, in the order of :func:`~lkgrag.data.interactions.natural_order`.

    Args:
        duck: the database.
        raw: files of the interactions.
        respelled: as :func:`~lkgrag.data.large.raw.spelled` takes it.
        kind: ``user`` or ``item``.
        path: of the file, whose row is the index of an id.
    """
    keys = path.with_name(f"{kind}-keys.parquet")
    rows = spelled(raw, respelled)
    number = count_groups(duck, rows, kind)
    with atomic(keys) as tmp, pq.ParquetWriter(tmp, SCHEMA) as writer:
        for place in range(number):
            # Not the hash by which the database groups, of which a group would have one rest alone.
            some = f"hash({kind}, 'part') % {number} = {place}"
            ids = f"select {kind} as id from {rows} where {some} group by {kind}"
            for batch in duck.batches(ids):
                writer.write_table(sort_keys(batch["id"]))
    duck.write(f"select id from {parquet([keys])} order by {ORDER}", path)
    keys.unlink()


def count_groups(duck: Duck, rows: str, column: str) -> int:
    """Into how many groups the distinct texts of a column must be cut, so that the table of one fits into memory.

    The database's table of groups does not go to the disk below a size that grows with all groups.

    Args:
        duck: the database.
        rows: a table of queries.
        column: of it.
    """
    number, length = duck.row(
        f"select approx_count_distinct({column}), avg(strlen({column})) from {rows}"
    )
    size = int(number) * (ENTRY + (length if length and length > INLINED else 0))
    return max(1, math.ceil(size / (duck.memory * SHARE)))


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
    duck: Duck,
    raw: list[Path],
    number: int,
    respelled: Path | None,
    ids: dict[str, Path],
    least: float | None,
    path: Path,
) -> None:
    """Write the interactions of a part with indices in place of ids, by user where there are several parts.

    Args:
        duck: the database.
        raw: files of the interactions.
        number: which of them.
        respelled: as :func:`~lkgrag.data.large.raw.spelled` takes it.
        ids: files of :func:`write_ids`, by kind.
        least: lowest rating that is kept; unknown ratings are kept as well. None keeps all.
        path: of the file: ``row user item rating time``.
    """
    users, items = (
        f"(select id, file_row_number::integer as place from {parquet([ids[kind]], is_numbered=True)})"
        for kind in ("user", "item")
    )
    keep = "" if least is None else f" where r.rating is null or r.rating >= {least!r}::double"
    before = sum(map(count_rows, raw[:number]))
    rows = (
        f"select r.row + {before} as row, u.place as user, i.place as item, r.rating, r.time "
        f"from {spelled(raw[number : number + 1], respelled)} r "
        f"join {users} u on r.user = u.id join {items} i on r.item = i.id{keep}"
    )
    if len(raw) > 1:
        # Whoever looks for some users finds them in a few groups of rows.
        duck.write(f"{rows} order by u.place, r.row", path, GROUP)
        return
    duck.run("set preserve_insertion_order = false")
    duck.write(rows, path)
    duck.run("set preserve_insertion_order = true")
