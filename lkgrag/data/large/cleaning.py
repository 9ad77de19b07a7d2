"""Duplicates and the k-core, for some users at a time."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.errors import DataError
from lkgrag.utils.duck import parquet
from lkgrag.utils.parts import load_array, load_arrays, read_part, save_array, save_arrays
from lkgrag.utils.steps import Hands, Task

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.config import DataConfig
    from lkgrag.utils.duck import Duck

#: A time as a number to sort by: those without one come first.
WHEN = "coalesce(time, '-infinity'::double)"


def refuse_duplicates(duck: Duck, coded: list[Path], ids: dict[str, Path], source: str) -> None:
    """Refuse data in which a user has an item twice, for ``data.duplicates=error``.

    Raises:
        DataError: naming both rows.
    """
    twice = (
        "select user, item, arg_min_n[1] as first, arg_min_n[2] as second from (select user, item, "
        f"min(row, 2) as arg_min_n, count(*) as n from {parquet(coded)} group by user, item) where n > 1"
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


def write_clean(
    duck: Duck, coded: list[Path], bounds: tuple[int, int], rule: str, path: Path
) -> None:
    """Write the interactions of some users, one of each item.

    Args:
        duck: the database.
        coded: files of the interactions.
        bounds: first user, and the one after the last.
        rule: of ``data.duplicates``.
        path: of the file: ``row user item rating time``.
    """
    some = f"select * from {parquet(coded)} where user >= {bounds[0]} and user < {bounds[1]}"
    if rule in ("first", "last"):
        way = "asc" if rule == "first" else "desc"
        some += f" qualify row_number() over (partition by user, item order by {WHEN} {way}, row {way}) = 1"
    duck.write(some, path)


def write_round(
    duck: Duck,
    clean: Path,
    bounds: tuple[int, int],
    num_items: int,
    least: int,
    dead: Path | None,
    path: Path,
) -> None:
    """Count the interactions of some users and of their items, once users with too few are left out.

    Args:
        duck: not used.
        clean: file of the users' interactions.
        bounds: first user, and the one after the last.
        num_items: number of items.
        least: interactions of a user.
        dead: file of the items that are left out, bool ``[num_items]``; None for none.
        path: of the file: arrays ``user`` ``[users]``, ``item`` and ``number`` (of each item that is left).
    """
    table = read_part(clean, ["user", "item"])
    user, item = (table[name].to_numpy() for name in ("user", "item"))
    user = user - bounds[0]
    if dead is not None:
        alive = ~load_array(dead)[item]
        user, item = user[alive], item[alive]
    of_user = np.bincount(user, minlength=bounds[1] - bounds[0])
    of_user[of_user < least] = 0
    of_item = np.bincount(item[of_user[user] > 0], minlength=num_items)
    there = np.flatnonzero(of_item)
    found: dict[str, NDArray] = {
        "user": of_user.astype(np.int32),
        "item": there,
        "number": of_item[there],
    }
    save_arrays(path, found)


def k_core_counts(
    hands: Hands,
    clean: dict[Path, tuple[int, int]],
    sizes: dict[str, int],
    config: DataConfig,
    source: str,
) -> dict[str, NDArray[np.int64]]:
    """Find the k-core: drop users and items with too few interactions until all have enough.

    The core does not depend on the order in which they are dropped. So each round drops the users of each part that
    have too few items left, then the items of all parts.

    Args:
        hands: who counts.
        clean: files of the interactions, with the bounds of their users.
        sizes: numbers of users and items.
        config: ``min_user`` and ``min_item``.
        source: for messages.

    Returns:
        Interactions of each ``user`` and ``item`` in the core, int64; 0 of those that are not in it.

    Raises:
        DataError: nothing is left.
    """
    folder = next(iter(clean)).parent.with_name("core")
    dead, dropped, number = None, 0, 0
    for found in sorted(folder.glob("dead-*.npy")):
        # Of an earlier call.
        dead, dropped, number = found, int(load_array(found).sum()), number + 1
    while True:
        files = hands.do(
            f"find the k-core, round {number + 1}",
            [
                Task(
                    path := folder / f"round-{number:03}" / f"{file.stem}.npz",
                    write_round,
                    (file, bounds, sizes["item"], config.min_user, dead, path),
                )
                for file, bounds in clean.items()
            ],
        )
        of_user = np.zeros(sizes["user"], np.int64)
        of_item = np.zeros(sizes["item"], np.int64)
        for file, bounds in zip(files, clean.values(), strict=True):
            counts = load_arrays(file)
            of_user[slice(*bounds)] = counts["user"]
            of_item[counts["item"]] += counts["number"]
        few = of_item < config.min_item
        if int(few.sum()) == dropped:
            break
        dropped, number = int(few.sum()), number + 1
        dead = folder / f"dead-{number:03}.npy"
        save_array(dead, few)
        # Of each round all users would be on the disk.
        shutil.rmtree(files[0].parent, ignore_errors=True)
    if not of_user.any():
        users, rows = hands.duck.row(f"select count(distinct user), count(*) from {parquet(clean)}")
        raise DataError(
            f"{source}: no user is left of {users} with {rows} interactions after the "
            f"{config.min_user}/{config.min_item}-core; lower data.min_user and data.min_item"
        )
    of_item[few] = 0
    return {"user": of_user, "item": of_item}
