"""Amazon 2014: ``ratings_X.csv[.gz]`` or ``reviews_X.json[.gz]``, and ``meta_X.json[.gz]``.

A line of reviews or metadata is strict JSON or, as in the official files, a Python literal; it is parsed
as data, never executed (https://jmcauley.ucsd.edu/data/amazon/).
"""

from __future__ import annotations

import ast
import html
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from lkgrag.data.cleaning.columns import clean
from lkgrag.data.readers.base import Reader
from lkgrag.data.readers.text import read_lines, read_separated, table_of
from lkgrag.data.tables import Tables
from lkgrag.errors import DataError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lkgrag.config import DataConfig

#: Related-product links that become relations between items.
RELATED = ("also_bought", "also_viewed", "bought_together", "buy_after_viewing")


#: What the columns of ratings are called in reviews.
REVIEW = {"user": "reviewerID", "item": "asin", "rating": "overall", "time": "unixReviewTime"}


class Amazon2014(Reader):
    """Ratings without a header, or reviews; metadata. Reviews and metadata have one object a line."""

    name = "amazon"

    def files(self, folder: Path, config: DataConfig) -> list[Path]:
        """The ratings, or reviews where there are none, and the metadata, gzipped or not."""
        events = self._one(folder, "ratings_*.csv", config.name, "ratings.csv")
        if not events.is_file():
            reviews = self._one(folder, "reviews_*.json", config.name, "reviews.json")
            events = reviews if reviews.is_file() else events
        return [events, self._one(folder, "meta_*.json", config.name, "meta.json")]

    @staticmethod
    def _one(folder: Path, pattern: str, name: str, default: str) -> Path:
        matching = sorted([*folder.glob(pattern), *folder.glob(pattern + ".gz")])
        if len(matching) > 1:
            # `amazon-beauty` picks ratings_Beauty.csv among several.
            word = name.lower().removeprefix("amazon-").replace("-", "_")
            named = [p for p in matching if word in p.name.lower()]
            if len(named) != 1:
                raise DataError(
                    f"{folder}: several files match {pattern} "
                    f"({', '.join(p.name for p in matching[:4])}): leave one, or name it by data.name"
                )
            return named[0]
        return matching[0] if matching else folder / default

    def read(self, folder: Path, config: DataConfig) -> Tables:
        """Read the set; the metadata is streamed, only items with a rating are kept."""
        ratings, meta = self.files(folder, config)
        names: dict[str, str] = {}
        if ratings.name.startswith("reviews"):
            events, names = self._reviews(ratings), REVIEW
        else:
            events = read_separated(ratings, ",", tuple(REVIEW))
        items = triples = None
        if meta.is_file():
            items, triples = self._metadata(meta, set(events["item"].str.strip()))
        return Tables(
            interactions=events, items=items, triples=triples, source=str(ratings), names=names
        )

    @staticmethod
    def _reviews(path: Path) -> pd.DataFrame:
        """User, item, rating and time of each review; its text is passed over."""
        objects = _objects(path, REVIEW["user"], REVIEW["item"])
        rows = ((n, [value.get(field) for field in REVIEW.values()]) for n, value in objects)
        return table_of(rows, list(REVIEW), path)

    @staticmethod
    def _metadata(path: Path, rated: set[str]) -> tuple[pd.DataFrame, pd.DataFrame]:
        rows: list[dict[str, Any]] = []
        triples: list[tuple[str, str, str]] = []
        for _, value in _objects(path, "asin"):
            item = value["asin"]
            if item not in rated:
                continue
            rows.append(
                {
                    "item": item,
                    "title": _text(value.get("title")),
                    "brand": [b] if (b := _text(value.get("brand"))) else [],
                    "category": _categories(value.get("categories")),
                }
            )
            related = value.get("related")
            links: dict[str, Any] = related if isinstance(related, dict) else {}
            for relation in RELATED:
                targets = links.get(relation)
                for target in targets if isinstance(targets, list) else ():
                    if isinstance(target, str) and target in rated:
                        triples.append((item, relation, target))
        if not rows:
            raise DataError(
                f"{path}: describes no item of the ratings: do the two files belong together?"
            )
        columns = ["head", "relation", "tail"]
        return pd.DataFrame(rows), pd.DataFrame(triples, columns=columns, dtype=object)


def _objects(path: Path, *ids: str) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file, each with the number of its line and all of ``ids``.

    Raises:
        DataError: a line is no object, or one of the ids is no string.
    """
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        value = parse_line(line, path, number)
        for field in ids:
            if not isinstance(value.get(field), str):
                raise DataError(f"{path}: line {number}: no '{field}', or not a string")
        yield number, value


def parse_line(line: str, path: Path, number: int) -> dict[str, Any]:
    """One object of reviews or metadata, JSON or a Python literal.

    Raises:
        DataError: it is neither, or no object.
    """
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        try:
            value = ast.literal_eval(line)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            raise DataError(
                f"{path}: line {number}: neither JSON nor a Python literal: {line[:40]!r}"
            ) from None
    if not isinstance(value, dict):
        raise DataError(f"{path}: line {number}: not an object: {line[:40]!r}")
    return value


def _text(value: Any) -> str | None:
    """A title or a name as plain text; the files have it as the shop's pages do, ``&amp;`` for ``&``."""
    return clean(html.unescape(value)).strip() or None if isinstance(value, str) else None


def _categories(value: Any) -> list[str]:
    """Every category of every path once, but the first, which all items of a set share."""
    out: dict[str, None] = {}
    for path in value if isinstance(value, list) else []:
        for name in path[1:] if isinstance(path, list) else []:
            if text := _text(name):
                out.setdefault(text)
    return list(out)
