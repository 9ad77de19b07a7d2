"""Duplicates and the k-core by queries, for some users at a time."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.errors import DataError
from lkgrag.utils.duck import parquet

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.config import DataConfig
    from lkgrag.utils.duck import Duck

#: A time as a number to sort by: those without one come first.
WHEN = "coalesce(time, '-infinity'::double)"


def refuse_duplicates(duck: Duck, coded: Path, ids: dict[str, Path], source: str) -> None:
    """Refuse data in which a user has an item twice, for ``data.duplicates=error``.

    Raises:
        DataError: naming both rows.
    """
    twice = (
        "select user, item, arg_min_n[1] as first, arg_min_n[2] as second from (select user, item, "
        f"min(row, 2) as arg_min_n, count(*) as n from {parquet([coded])} group by user, item) where n > 1"
    )
    found = duck.columns(f"select * from ({twice}) order by second limit 1")
    if not len(found["user"]):
        return
    user, item = (
        duck.row(
            f"select id from {parquet([ids[kind]], is_numbered=True)} "
            f"where file_row_number = {int(found[kind][0])}"
        )[0]
        for kind in ("user", "item")
    )
    raise DataError(
        f"{source}: row {int(found['second'][0]) + 1}: user {user!r} has item {item!r} twice (first in row "
        f"{int(found['first'][0]) + 1}); set data.duplicates to first, last or keep"
    )


def write_clean(duck: Duck, coded: Path, bounds: tuple[int, int], rule: str, path: Path) -> None:
    """Write the interactions of some users, one of each item.

    Args:
        duck: the database.
        coded: file of the interactions.
        bounds: first user, and the one after the last.
        rule: of ``data.duplicates``.
        path: of the file: ``row user item rating time``.
    """
    some = f"select * from {parquet([coded])} where user >= {bounds[0]} and user < {bounds[1]}"
    if rule in ("first", "last"):
        way = "asc" if rule == "first" else "desc"
        some += f" qualify row_number() over (partition by user, item order by {WHEN} {way}, row {way}) = 1"
    duck.write(some, path)


def k_core_counts(
    duck: Duck, clean: list[Path], sizes: dict[str, int], config: DataConfig, source: str
) -> dict[str, NDArray[np.int64]]:
    """Find the k-core: drop users and items with too few interactions until all have enough.

    Args:
        duck: the database.
        clean: files of the interactions.
        sizes: numbers of users and items.
        config: ``min_user`` and ``min_item``.
        source: for messages.

    Returns:
        Interactions of each ``user`` and ``item`` in the core, int64; 0 of those that are not in it.

    Raises:
        DataError: nothing is left.
    """
    table = parquet(clean)
    least = {"user": config.min_user, "item": config.min_item}
    for kind in least:
        duck.run(f"create or replace temp table dead_{kind} (dead integer)")
    core = (
        f"(select user, item from {table} anti join dead_user u on user = u.dead "
        "anti join dead_item i on item = i.dead)"
    )
    is_done = False
    while not is_done:
        is_done = True
        for kind, number in least.items():
            if number == 1:
                continue
            before = duck.row(f"select count(*) from dead_{kind}")[0]
            duck.run(
                f"insert into dead_{kind} select {kind} from {core} group by {kind} having count(*) < {number}"
            )
            is_done &= duck.row(f"select count(*) from dead_{kind}")[0] == before
    out = {
        kind: duck.counts(
            f"select {kind} as place, count(*) as value from {core} group by {kind}", sizes[kind]
        )
        for kind in least
    }
    if not out["user"].any():
        users, rows = duck.row(f"select count(distinct user), count(*) from {table}")
        raise DataError(
            f"{source}: no user is left of {users} with {rows} interactions after the "
            f"{config.min_user}/{config.min_item}-core; lower data.min_user and data.min_item"
        )
    return out
