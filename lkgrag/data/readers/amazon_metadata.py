"""Amazon's metadata of 2014, 2018 and 2023 as a table of items, and triples between items.

The title, the brand (of 2023: ``details.Brand``, or else ``store``), the categories, some of the nested
``details``, and relations between items are read. Prices, ranks, numbers of ratings, descriptions, features,
images and videos are not: their values are no nodes.
"""

from __future__ import annotations

import html
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pandas as pd

from lkgrag.data.cleaning.texts import clean
from lkgrag.data.readers.amazon_files import parse_line
from lkgrag.data.readers.text import read_lines
from lkgrag.errors import DataError

#: Links to other items that become relations: of 2014 within ``related``, of 2018 and 2023 in the object itself.
RELATED = (
    "also_bought", "also_viewed", "bought_together", "buy_after_viewing", "also_buy", "also_view",
)  # fmt: skip
#: Entries of ``details`` that become attributes, by their names in small letters.
DETAILS = {
    "author": "author", "artist": "artist", "director": "director", "directors": "director",
    "actors": "actor", "publisher": "publisher", "language": "language", "series": "series",
    "manufacturer": "manufacturer", "material": "material", "color": "color", "scent": "scent",
    "flavor": "flavor", "theme": "theme", "genre": "genre", "label": "label", "skin type": "skin_type",
    "hair type": "hair_type", "item form": "item_form", "hardware platform": "platform",
    "platform": "platform", "age range (description)": "age_range",
}  # fmt: skip
#: What stands behind a publisher's name: "; 1st edition (January 1, 2010)".
EDITION = re.compile(r"\s*(;.*|\([A-Z][a-z]+ \d{1,2}, \d{4}\))$")
#: Said of metadata that belong to other ratings.
NOTHING = "describes no item of the ratings: do the two files belong together?"
#: Titles of some objects of 2018 are pieces of a page's script, as the official notebook says.
SCRIPT = "getTime"


def metadata_ids(path: Path, wanted: set[str]) -> set[str]:
    """Those of ``wanted`` that the metadata describe."""
    return {item for _, item, _ in _described(path) if item in wanted}


def read_metadata(path: Path, rated: set[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Read the metadata of rated items.

    Returns:
        Columns ``item title brand category`` and of ``details``; and triples between rated items.

    Raises:
        DataError: a line is broken or has no id, or no rated item is described.
    """
    rows: list[dict[str, Any]] = []
    triples: list[tuple[str, str, str]] = []
    is_flat = True
    for _, item, value in _described(path):
        if item not in rated:
            continue
        details = _details(value.get("details"))
        brand = (
            _brand(value.get("brand")) or details.pop("brand", None) or _text(value.get("store"))
        )
        rows.append(
            {
                "item": item,
                "title": _title(value.get("title")),
                "brand": [brand] if brand else [],
                "category": _categories(value.get("categories") or value.get("category")),
                **{name: [text] for name, text in {**details, **_author(value)}.items()},
            }
        )
        is_flat &= not _is_nested(value.get("categories"))
        related = value.get("related")
        links = {**value, **(related if isinstance(related, dict) else {})}
        for relation in RELATED:
            targets = links.get(relation)
            for target in targets if isinstance(targets, list) else ():
                if isinstance(target, str) and target in rated:
                    triples.append((item, relation, target))
    if not rows:
        raise DataError(f"{path}: {NOTHING}")
    if is_flat:
        _drop_shared(rows)
    columns = ["head", "relation", "tail"]
    return pd.DataFrame(rows), pd.DataFrame(triples, columns=columns, dtype=object)


def _described(path: Path) -> Iterator[tuple[int, str, dict[str, Any]]]:
    """Line, id and object of each item; the id of 2023 is ``parent_asin``.

    Raises:
        DataError: a line is broken, or has no id.
    """
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        value = parse_line(line, path, number)
        field = "parent_asin" if value.get("parent_asin") is not None else "asin"
        if not isinstance(value.get(field), str):
            raise DataError(f"{path}: line {number}: no '{field}', or not a string")
        yield number, value[field].strip(), value


def _text(value: Any) -> str | None:
    """A title or a name as plain text; the files have it as the shop's pages do, ``&amp;`` for ``&``."""
    if not isinstance(value, str):
        return None
    text = clean(html.unescape(value)).strip()
    # Brands of 2018 stand on lines of their own.
    return (" ".join(text.split()) if "\n" in text else text) or None


def _brand(value: Any) -> str | None:
    """A brand without the word before it, as 2018 has it: "by", line breaks, and the name."""
    return _text(re.sub(r"^by\s*\n\s*", "", value.strip()) if isinstance(value, str) else value)


def _title(value: Any) -> str | None:
    text = _text(value)
    return None if text is None or SCRIPT in text else text


def _details(value: Any) -> dict[str, str]:
    """Attributes from the nested ``details``, which some copies hold as text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {}
    out: dict[str, str] = {}
    for key, entry in value.items() if isinstance(value, dict) else ():
        key = str(key).strip(" :\u200e").lower()
        text = _text(entry)
        if text is None:
            continue
        if key == "brand":
            out["brand"] = text
        elif key in DETAILS:
            name = DETAILS[key]
            text = EDITION.sub("", text) if name == "publisher" else text
            if text:
                out.setdefault(name, text)
    return out


def _author(value: dict[str, Any]) -> dict[str, str]:
    """The author of a book of 2023, an object with a name."""
    author = value.get("author")
    name = _text(author.get("name")) if isinstance(author, dict) else _text(author)
    return {"author": name} if name else {}


def _categories(value: Any) -> list[str]:
    """Categories: of 2014 those of all paths but the first of each, of 2018 and 2023 a flat list."""
    out: dict[str, None] = {}
    for entry in value if isinstance(value, list) else []:
        for name in entry[1:] if isinstance(entry, list) else [entry]:
            text = _text(name)
            # Pieces of a page's HTML stand among the categories of 2018.
            if text and not text.startswith("</"):
                out.setdefault(text)
    return list(out)


def _is_nested(value: Any) -> bool:
    """Whether categories are paths, as in 2014."""
    return isinstance(value, list) and any(isinstance(entry, list) for entry in value)


def _drop_shared(rows: list[dict[str, Any]]) -> None:
    """Drop the first category of flat lists where all items have it: it joins everything, so it tells nothing."""
    firsts = {row["category"][0] for row in rows if row["category"]}
    if len(firsts) == 1 and sum(bool(row["category"]) for row in rows) > 1:
        for row in rows:
            row["category"] = row["category"][1:]
