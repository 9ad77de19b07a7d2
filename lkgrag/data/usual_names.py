"""The usual names of columns in tables in memory: of RecBole, MovieLens and Amazon, in any case."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

log = logging.getLogger(__name__)

#: Names by meaning, small letters and digits only, the likeliest first. An id of its own table is often called `id`.
_USER: tuple[str, ...] = (
    "user",
    "userid",
    "uid",
    "reviewerid",
    "customerid",
    "customer",
    "visitorid",
    "sessionid",
    "member",
    "memberid",
)
_ITEM: tuple[str, ...] = (
    "item",
    "itemid",
    "iid",
    "movieid",
    "parentasin",
    "asin",
    "productid",
    "bookid",
    "isbn",
    "trackid",
    "songid",
)
_ITEM += ("artistid", "gameid", "businessid", "newsid", "articleid", "sku", "movie", "product")
USUAL: dict[str, dict[str, tuple[str, ...]]] = {
    "interactions": {
        "user": _USER,
        "item": _ITEM,
        "rating": ("rating", "ratings"),
        "time": ("time", "timestamp", "unixreviewtime"),
    },
    "items": {
        "item": (*_ITEM, "id"),
        "title": (
            "title",
            "movietitle",
            "name",
            "itemname",
            "itemtitle",
            "booktitle",
            "producttitle",
            "productname",
        ),
    },
    "users": {"user": (*_USER, "id")},
    "triples": {
        "head": ("head", "headid", "subject", "h", "headentity"),
        "relation": ("relation", "relationid", "predicate", "r", "rel"),
        "tail": ("tail", "tailid", "object", "t", "tailentity"),
    },
    "links": {"item": _ITEM, "entity": ("entity", "entityid")},
}
#: Names that look like a rating or a time, but may be a price's score or the date of a delivery.
ALIKE = {
    "rating": (
        "score",
        "scores",
        "stars",
        "overall",
        "userrating",
        "reviewrating",
        "ratingscore",
        "preference",
    ),
    "time": (
        "date",
        "datetime",
        "ts",
        "unixtime",
        "createdat",
        "eventtime",
        "reviewtime",
        "timestampms",
        "epoch",
    ),
}


def take_usual(table: pd.DataFrame, name: str, columns: dict[str, str]) -> pd.DataFrame:
    """Give columns with usual names the names that this package has for them, and say so in one line.

    A column that ``data.columns`` names, or that has the package's own name, goes first. Further columns that look
    like one are left as they are, and named.

    Args:
        table: with the columns of ``data.columns`` renamed already.
        name: of the table.
        columns: ``data.columns``.
    """
    # Attributes may well look like something else, as a film's `date`; the ids and the title they do not.
    taken: dict[str, str] = {}
    unused: list[tuple[str, str]] = []
    for meaning, usual in USUAL[name].items():
        there = {plain(c): c for c in reversed([str(c) for c in table.columns]) if c not in taken}
        alike = [c for word in usual for p, c in there.items() if p == word]
        # Two columns can have one word, as `userId` and `user_id`.
        alike += [c for c in map(str, table.columns) if plain(c) in usual and c not in alike]
        own = meaning if meaning in table.columns else None
        found = own or (alike[0] if alike else None)
        if found is not None and found != meaning:
            taken[found] = meaning
        if name == "interactions":
            unused += [(c, meaning) for c in alike if c not in (found, columns.get(meaning))]
            if found is None:
                looks = [c for c in map(str, table.columns) if plain(c) in ALIKE.get(meaning, ())]
                unused += [(c, meaning) for c in looks]
    said = [f"{column} as {meaning}" for column, meaning in taken.items()]
    if said:
        log.warning(
            "%s: taken by their names: %s; data.columns names others, as data.columns={%s: ...}",
            *(name, ", ".join(said), next(iter(taken.values()))),
        )
    if unused:
        words = ", ".join(f"{column} (looks like the {meaning})" for column, meaning in unused)
        first = unused[0]
        log.warning(
            "%s: not used: %s; if it is the right one, set data.columns={%s: %s}",
            *(name, words, first[1], first[0]),
        )
    return table.rename(columns={c: taken[str(c)] for c in table.columns if str(c) in taken})


def name_unused(columns: list[str], used: dict[str, str], source: str) -> None:
    """Name columns of a file that look like a rating or a time, where none is read.

    Args:
        columns: of the file.
        used: the column that is read by meaning.
        source: the file.
    """
    for meaning in ("rating", "time"):
        if used[meaning] in columns:
            continue
        words = (*USUAL["interactions"][meaning], *ALIKE[meaning])
        for column in columns:
            if plain(column) in words and column not in used.values():
                log.warning(
                    "%s: the column '%s' looks like the %s and is not used; if it is, set data.columns={%s: %s}",
                    *(source, column, meaning, meaning, column),
                )


def plain(column: str) -> str:
    """A name without case and without what separates words: ``User_ID`` gives ``userid``."""
    return "".join(c for c in column.casefold() if c.isalnum())
