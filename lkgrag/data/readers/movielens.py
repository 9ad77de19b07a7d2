"""MovieLens: ``ratings.csv`` sets (20M, 25M, 32M, latest), ML-100K's ``u.data``, and the ``::`` files of ML-1M and ML-10M.

Layouts as in the data sets' own README files (https://grouplens.org/datasets/movielens/).
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING

import pandas as pd

from lkgrag.data.cleaning.columns import ids
from lkgrag.data.readers.base import Reader
from lkgrag.data.readers.batches import EVENT, read_events
from lkgrag.data.readers.packed import existing
from lkgrag.data.readers.text import check_header, open_table, read_separated, split_values
from lkgrag.data.tables import Tables
from lkgrag.data.usual_names import plain
from lkgrag.errors import DataError

if TYPE_CHECKING:
    from lkgrag.config import DataConfig

#: A year, or the first of several, at the end of a title without spaces behind it.
YEAR = re.compile(r"\((\d{4})(?:[-\u2013]\d{0,4})?\)$")
NO_GENRE = "(no genres listed)"
#: A tag is an attribute only if so many users gave it to the movie, or it would be a private note.
#: Whoever is predicted may be one of them; `kg.exclude=[has_tag]` leaves tags out.
MIN_TAGGERS = 2
#: ML-100K's and ML-1M's genres, in the order of u.item's columns.
GENRES_100K = [
    "unknown",
    "Action",
    "Adventure",
    "Animation",
    "Children's",
    "Comedy",
    "Crime",
    "Documentary",
    "Drama",
    "Fantasy",
    "Film-Noir",
    "Horror",
    "Musical",
    "Mystery",
    "Romance",
    "Sci-Fi",
    "Thriller",
    "War",
    "Western",
]
AGES_1M = {
    "1": "under 18", "18": "18-24", "25": "25-34", "35": "35-44", "45": "45-49", "50": "50-55",
    "56": "56 or older",
}  # fmt: skip


def split_year(titles: pd.Series) -> tuple[list[str], list[list[str]]]:
    """``Heat (1995)`` as the title ``Heat`` and the year ``1995``; other titles stay as they are."""
    names, years = [], []
    for text in titles:
        text = text.strip()
        match = YEAR.search(text)
        names.append(text[: match.start()].rstrip() if match else text)
        years.append([match[1]] if match else [])
    return names, years


def _read_text(path: Path, separator: str, columns: tuple[str, ...]) -> pd.DataFrame:
    """A table in UTF-8, as ML-10M has it, or else in Latin-1, as the older sets.

    Raises:
        DataError: as :func:`~lkgrag.data.readers.read_separated`.
    """
    try:
        return read_separated(path, separator, columns)
    except DataError:
        # What else is wrong with the file is wrong in Latin-1, too, and found again.
        return read_separated(path, separator, columns, encoding="latin-1")


def _read_named(path: Path, names: tuple[str, ...]) -> pd.DataFrame:
    """A table with columns of these names, whatever their case and the separator.

    Raises:
        DataError: as :func:`~lkgrag.data.readers.read_separated`.
    """
    table = read_separated(path, separator=None)
    found = _find(list(table.columns), names, path)
    return table.rename(columns={column: name for name, column in found.items()})


def _find(header: list[str], names: tuple[str, ...], path: Path) -> dict[str, str]:
    """The columns of these names in whatever case, by name: ``UserID`` is ``userId``.

    Raises:
        HeaderError: one is missing.
    """
    by_plain = {plain(column): column for column in reversed(header)}
    found = {name: by_plain.get(plain(name), name) for name in names}
    check_header(header, tuple(found.values()), path)
    return found


def _with_tags(items: pd.DataFrame, table: pd.DataFrame) -> pd.DataFrame:
    """Items with the tags that enough users gave them.

    Args:
        items: with a column ``item``.
        table: columns ``userId movieId tag``.
    """
    table = table.assign(tag=table["tag"].str.strip().str.lower(), item=table["movieId"])
    users = table.groupby(["item", "tag"])["userId"].nunique()
    kept = users[users >= MIN_TAGGERS].reset_index()
    lists = kept.groupby("item")["tag"].agg(list)
    return items.assign(tag=items["item"].map(lists))


class MovieLensCSV(Reader):
    """``ratings.csv``, optional ``movies.csv``, ``movies_metadata.csv`` and ``tags.csv``."""

    name = "movielens"

    def files(self, folder: Path, config: DataConfig) -> list[Path]:
        """The four files."""
        names = ("ratings.csv", "movies.csv", "movies_metadata.csv", "tags.csv")
        return [existing(folder / name) for name in names]

    def matches(self, folder: Path, config: DataConfig) -> bool:
        """Ratings must be there, with MovieLens' names of columns, or be unreadable beside movies."""
        ratings, movies = self.files(folder, config)[:2]
        if not ratings.is_file():
            return False
        try:
            header = {plain(name) for name in open_table(ratings, None)[0]}
        except DataError:
            # What is wrong is told when it is read.
            return movies.is_file()
        return {"userid", "movieid"} <= header

    def read(self, folder: Path, config: DataConfig) -> Tables:
        """Read the set."""
        ratings, movies, metadata, tags = self.files(folder, config)
        header, _ = open_table(ratings, None)
        found = _find(header, ("userId", "movieId", "rating", "timestamp"), ratings)
        names = dict(zip(EVENT, found.values(), strict=True))
        events = read_events(ratings, names, None)
        if movies.is_file():
            items = self._films(movies)
        else:
            items = pd.DataFrame(
                {"item": ids(events["item"], str(ratings), names["item"]).unique()}
            )
        if metadata.is_file():
            items = self._credits(items, metadata)
        if tags.is_file():
            items = self._tags(items, tags)
        return Tables(
            interactions=events,
            items=items,
            source=str(ratings),
            names=names,
        )

    @staticmethod
    def _films(path: Path) -> pd.DataFrame:
        films = _read_named(path, ("movieId", "title", "genres"))
        title, year = split_year(films["title"])
        genres = split_values(films["genres"], "|")
        items = pd.DataFrame({"item": ids(films["movieId"], str(path), "movieId"), "title": title})
        items["genre"] = [[g for g in row if g != NO_GENRE] for row in genres]
        items["year"] = year
        return items

    @staticmethod
    def _credits(items: pd.DataFrame, path: Path) -> pd.DataFrame:
        table = _read_named(path, ("movieId", "directors", "actors"))
        people = pd.DataFrame(
            {
                "item": table["movieId"].str.strip(),
                "director": split_values(table["directors"], "|"),
                "actor": split_values(table["actors"], "|"),
            }
        ).drop_duplicates("item")
        return items.merge(people, on="item", how="left")

    @staticmethod
    def _tags(items: pd.DataFrame, path: Path) -> pd.DataFrame:
        return _with_tags(items, _read_named(path, ("userId", "movieId", "tag")))


class MovieLens100K(Reader):
    """``u.data``, optional ``u.item`` and ``u.user``."""

    name = "movielens-100k"

    def files(self, folder: Path, config: DataConfig) -> list[Path]:
        """The three files."""
        return [existing(folder / name) for name in ("u.data", "u.item", "u.user")]

    def read(self, folder: Path, config: DataConfig) -> Tables:
        """Read the set; its texts are UTF-8 or Latin-1."""
        data, item, user = self.files(folder, config)
        events = read_events(data, dict(zip(EVENT, EVENT, strict=True)), "\t", EVENT)
        items = users = None
        if item.is_file():
            columns = ("item", "title", "date", "video", "url", *GENRES_100K)
            table = _read_text(item, "|", columns)
            title, year = split_year(table["title"])
            flags = table[GENRES_100K].to_numpy()
            genres = [[g for g, f in zip(GENRES_100K[1:], row[1:]) if f == "1"] for row in flags]
            numbers = ids(table["item"], str(item), "item")
            items = pd.DataFrame({"item": numbers, "title": title, "genre": genres, "year": year})
        if user.is_file():
            columns = ("user", "age", "gender", "occupation", "zip")
            table = _read_text(user, "|", columns)
            users = table[["user", "gender", "occupation"]].copy()
            users["user"] = ids(table["user"], str(user), "user")
            users["age"] = _decades(table["age"])
        return Tables(interactions=events, items=items, users=users, source=str(data))


def _decades(ages: pd.Series) -> list[list[str]]:
    """Ages as decades: a node a year would join too few users."""
    return [[f"{int(a) // 10 * 10}s"] if a.isdecimal() and len(a) <= 3 else [] for a in ages]


class MovieLensDat(Reader):
    """``ratings.dat``, optional ``movies.dat``, ``users.dat`` and ``tags.dat``, fields separated by ``::``."""

    name = "movielens-dat"

    def files(self, folder: Path, config: DataConfig) -> list[Path]:
        """The four files; 1M has no tags, 10M no users."""
        names = ("ratings.dat", "movies.dat", "users.dat", "tags.dat")
        return [existing(folder / name) for name in names]

    def read(self, folder: Path, config: DataConfig) -> Tables:
        """Read the set; its texts are UTF-8 or Latin-1."""
        ratings, movies, users_file, tags = self.files(folder, config)
        events = read_events(ratings, dict(zip(EVENT, EVENT, strict=True)), "::", EVENT)
        items = users = None
        if movies.is_file():
            films = _read_text(movies, "::", ("item", "title", "genres"))
            title, year = split_year(films["title"])
            genres = split_values(films["genres"], "|")
            genres = [[g for g in row if g != NO_GENRE] for row in genres]
            numbers = ids(films["item"], str(movies), "item")
            items = pd.DataFrame({"item": numbers, "title": title, "genre": genres, "year": year})
        if items is not None and tags.is_file():
            of_tags = ("userId", "movieId", "tag", "timestamp")
            items = _with_tags(items, _read_text(tags, "::", of_tags))
        if users_file.is_file():
            columns = ("user", "gender", "age", "occupation", "zip")
            people = _read_text(users_file, "::", columns)
            ages = [[AGES_1M.get(a, a)] for a in people["age"]]
            users = people[["user", "gender", "occupation"]].copy()
            users["user"] = ids(people["user"], str(users_file), "user")
            users["age"] = ages
        return Tables(interactions=events, items=items, users=users, source=str(ratings))
