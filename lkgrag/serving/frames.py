"""Rankings as tables of pandas, polars or Arrow, and users as such tables have them."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd
import pyarrow as pa

from lkgrag.data.cleaning.lists import id_list, list_of
from lkgrag.data.cleaning.texts import clean, normal
from lkgrag.data.frames import check_distinct
from lkgrag.data.id_files import pick_column, read_ids
from lkgrag.data.in_memory import arrow_frame, collected
from lkgrag.errors import ConfigError, DataError, short
from lkgrag.utils.text import one_line

if TYPE_CHECKING:
    from lkgrag.serving.ranked import RankedItem, Ranking

#: What tables can be of.
FRAMES = ("pandas", "polars", "arrow")
#: The parts of a score, each a column.
PARTS = ("lm", "scorer", "prior", "request")
#: Columns of a table of rankings, with their types.
SCHEMA = pa.schema(
    [
        ("user", pa.string()),
        ("rank", pa.int64()),
        ("item", pa.string()),
        ("title", pa.string()),
        *((name, pa.float64()) for name in ("score", *PARTS)),
        ("explanation", pa.string()),
    ]
)
#: Between the paths of an explanation.
BETWEEN = "; "
#: Whole numbers of 64 bits.
LOWEST, HIGHEST = -(2**63), 2**63 - 1


#: A list of users, for messages.
EXAMPLE = '["1", "2"]'


@dataclass(frozen=True)
class AskedUsers:
    """The users that a table is asked for.

    Attributes:
        ids: each once, in the order of their first appearance.
        places: of each, its first place in ``column``.
        column: the ids as they were given: a series of pandas or polars, or an array of Arrow; None for texts.
        frame: the kind of table that they were given in, of :data:`FRAMES`.
    """

    ids: list[str]
    places: list[int]
    column: Any = None
    frame: str = "pandas"


def check_frame(frame: object) -> str:
    """The kind of table that a caller names.

    Raises:
        ConfigError: there is no such kind, or polars is not installed.
    """
    if not isinstance(frame, str) or frame not in FRAMES:
        raise ConfigError(f"frame: must be one of {', '.join(FRAMES)}, got {short(repr(frame))}")
    if frame == "polars":
        _polars()
    return frame


def _polars() -> Any:
    """The library polars.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        # Only here: it is optional.
        import polars
    except ImportError:
        raise ConfigError(
            'frame=polars needs the package polars: pip install "lkgrag[polars]"'
        ) from None
    return polars


def asked_users(users: Any) -> AskedUsers:
    """Read users as a caller gives them.

    Args:
        users: ids in a list, an array, or a column of pandas, polars or Arrow; a table of them, with a single column
            or one of a usual name; or the path of a file, as of :func:`~lkgrag.data.id_files.read_ids`.

    Raises:
        DataError: it is none of these, it is empty, or an id is missing or not exact.
    """
    if isinstance(users, os.PathLike):
        texts = read_ids(Path(users), "user", "users")
        return AskedUsers(texts, list(range(len(texts))))
    column, frame = _as_column(users)
    if column is None:
        # Once: a generator gives its elements but once.
        users = list_of(users, "users", EXAMPLE)
    texts = id_list(users if column is None else column, "users", EXAMPLE)
    if not texts:
        raise DataError("users: the list is empty; give the ids of users, or None for all")
    first: dict[str, int] = {}
    for place, text in enumerate(texts):
        first.setdefault(normal(text), place)
    places = list(first.values())
    if column is None:
        column = _whole_numbers(users)
    return AskedUsers([texts[place] for place in places], places, column, frame)


def _as_column(users: Any) -> tuple[Any, str]:
    """The column of a table, or a column as it is; None for a list. And the kind of table."""
    library = type(users).__module__.partition(".")[0]
    if library == "polars":
        table = _read(collected, users)
        if hasattr(table, "columns"):
            table = table[pick_column(table.columns, "user", "users")]
        return table, "polars"
    if isinstance(users, pa.Table | pa.RecordBatch):
        # By place: two columns may share a name.
        name = pick_column(users.schema.names, "user", "users")
        return users.column(users.schema.names.index(name)), "arrow"
    if isinstance(users, pa.Array | pa.ChunkedArray):
        return users, "arrow"
    if isinstance(users, pd.Index) and users.nlevels == 1:
        return pd.Series(users), "pandas"
    if isinstance(users, pd.Series):
        return users, "pandas"
    table = users if isinstance(users, pd.DataFrame) else _read(arrow_frame, users)
    if table is None:
        return None, "pandas"
    table = check_distinct(table, "users")
    return table[pick_column(table.columns, "user", "users")], "pandas"


def _read(reader: Callable[[Any], Any], users: Any) -> Any:
    """What a reader of tables makes of users.

    Raises:
        DataError: the table's library fails.
    """
    try:
        return reader(users)
    except ValueError as error:
        first = short(str(error).strip().partition("\n")[0]) or type(error).__name__
        raise DataError(f"users: cannot be read as a table ({first})") from error


def _whole_numbers(users: Sequence[Any]) -> pd.Series | None:
    """A list of whole numbers as a column, so that a join with a table of numbers finds them; None for others."""
    ints = [int(u) for u in users if hasattr(u, "__index__") and not isinstance(u, bool)]
    if len(ints) < len(users) or not all(LOWEST <= value <= HIGHEST for value in ints):
        return None
    return pd.Series(ints, dtype="int64")


def frame_of(
    rankings: Sequence[Ranking], frame: str = "pandas", users: AskedUsers | None = None
) -> Any:
    """A table with a row for each user and rank.

    Args:
        rankings: of any number of users.
        frame: of :data:`FRAMES`.
        users: whose rankings these are, in the same order; the column ``user`` then holds what was given.

    Returns:
        A DataFrame of pandas or polars, or a table of Arrow, with the columns of :data:`SCHEMA`. ``user`` is empty for
        a plain history. ``explanation`` holds the worded paths, the most salient first.

    Raises:
        ConfigError: as :func:`check_frame`.
    """
    check_frame(frame)
    rows = [(ranking, item) for ranking in rankings for item in ranking.items]
    columns: dict[str, list[Any]] = {
        "user": [None if r.user is None else clean(r.user) for r, _ in rows],
        "rank": [item.rank for _, item in rows],
        "item": [clean(item.item) for _, item in rows],
        "title": [clean(item.title) for _, item in rows],
        **{name: [getattr(i, name) for _, i in rows] for name in ("score", *PARTS)},
        "explanation": [explanation(item) for _, item in rows],
    }
    table = pa.Table.from_pydict(columns, SCHEMA)
    given = None
    if users is not None and users.column is not None:
        number = [len(ranking.items) for ranking in rankings]
        places = [p for p, times in zip(users.places, number, strict=True) for _ in range(times)]
        given = _taken(users.column, places, frame)
    if isinstance(given, pa.Array):
        table, given = table.set_column(0, "user", given), None
    if frame == "arrow":
        return table
    if frame == "polars":
        out = _polars().from_arrow(table)
        return out if given is None else out.with_columns(given.alias("user"))
    shown = table.to_pandas()
    return shown if given is None else shown.assign(user=given)


def _taken(column: Any, places: list[int], frame: str) -> Any:
    """Values of a column: a series of the table's own kind, else an array of Arrow; None where Arrow has no such type."""
    if isinstance(column, pd.Series) and frame == "pandas":
        return column.iloc[places].reset_index(drop=True)
    is_polars = type(column).__module__.partition(".")[0] == "polars"
    if is_polars and frame == "polars":
        return column.gather(places)
    try:
        if isinstance(column, pd.Series):
            column = pa.Array.from_pandas(column)
        elif is_polars:
            column = column.to_arrow()
        taken = column.take(pa.array(places, pa.int64()))
        return taken.combine_chunks() if isinstance(taken, pa.ChunkedArray) else taken
    except (pa.ArrowException, TypeError, ValueError, OverflowError):
        return None


def explanation(item: RankedItem) -> str:
    """Why an item is ranked, in one line: variety, what was asked for, and its paths; empty without an explanation."""
    words = [item.variety, item.asked, *(path.words for path in item.paths)]
    return BETWEEN.join(clean(one_line(text)) for text in words if text)
