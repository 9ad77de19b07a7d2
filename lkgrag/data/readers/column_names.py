"""Usual names of columns: which column of a table is the user, the item, the rating, the time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from lkgrag.data.usual_names import plain
from lkgrag.errors import DataError, nearest

#: By usual name of the column: what it is called elsewhere, the surest first; without case, spaces and marks.
_WORDS = {
    "user": (
        "user userid uid useridx userindex usernumber customerid customer customernumber reviewerid visitorid "
        "memberid accountid profileid personid buyerid clientid readerid listenerid viewerid sessionid session "
        "username reviewer visitor"
    ),
    "item": (
        "item itemid iid itemidx itemindex itemnumber parentasin asin productid product productcode sku movieid "
        "bookid isbn articleid trackid songid artistid gameid appid businessid recipeid animeid newsid videoid "
        "contentid goodsid goodid stockcode listingid offerid poiid venueid locationid placeid movie book"
    ),
    "rating": "rating ratings score stars star overall userrating bookrating reviewscore starrating",
    "time": (
        "time timestamp ts unixtime unixtimestamp unixreviewtime ratingtimestamp eventtime createdat created "
        "datetime date reviewtime reviewdate orderdate purchasedate invoicedate eventdate visittime"
    ),
    "title": (
        "title name itemname itemtitle movietitle booktitle producttitle productname articletitle tracktitle "
        "trackname songtitle gametitle"
    ),
    "head": "head headid subject source src from",
    "relation": "relation relationid predicate property edge label type",
    "tail": "tail tailid object target dst to",
    "entity": "entity entityid",
}
ALIASES: dict[str, tuple[str, ...]] = {m: tuple(words.split()) for m, words in _WORDS.items()}


def usual_columns(
    columns: Iterable[object],
    meanings: Iterable[str],
    given: Mapping[str, str],
    is_strict: bool = True,
) -> dict[str, str]:
    """Find the columns of a table by their usual names.

    Args:
        columns: names that the table has.
        meanings: usual names to look for, keys of :data:`ALIASES`.
        given: of ``data.columns``; what it names is taken as it is.
        is_strict: whether a column that ``given`` names must be there. Otherwise ids may have a usual name
            in this table, and another one elsewhere.

    Returns:
        Usual name -> name in the table, of those that are there. A column has one meaning.
    """
    there = [str(column) for column in columns]
    # Of columns whose plain names are equal the first counts.
    by_plain = {plain(column): column for column in reversed(there)}
    found: dict[str, str] = {}
    for meaning in meanings:
        name = given.get(meaning)
        if name in there:
            found[meaning] = str(name)
        if name is not None and (is_strict or name in there):
            continue
        taken = set(found.values()) | set(given.values())
        exact = [meaning] if meaning in there else []
        others = (by_plain[alias] for alias in ALIASES[meaning] if alias in by_plain)
        match = next((column for column in [*exact, *others] if column not in taken), None)
        if match is not None:
            found[meaning] = match
    return found


def need_columns(
    found: Mapping[str, str],
    need: Iterable[str],
    columns: Iterable[object],
    given: Mapping[str, str],
    source: str,
) -> None:
    """Refuse a table without a column that is needed.

    Args:
        found: what :func:`usual_columns` returned.
        need: usual names of the columns that must be there.
        columns: names that the table has.
        given: of ``data.columns``.
        source: of the table, for messages.

    Raises:
        DataError: naming the column, those that are there, and the option that names another.
    """
    there = [str(column) for column in columns]
    listed = f"Columns there: {', '.join(there)[:200] or 'none'}"
    for meaning in need:
        if meaning in found:
            continue
        if meaning in given:
            raise DataError(
                f"{source}: no column '{given[meaning]}', which data.columns.{meaning} names."
                f"{nearest(given[meaning], there)} {listed}"
            )
        raise DataError(
            f"{source}: no column is known as the {meaning}. {listed}; name yours by "
            f"data.columns={{{meaning}: ...}}"
        )
