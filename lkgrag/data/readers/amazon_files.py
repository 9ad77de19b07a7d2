"""Amazon's files: which there are, and the objects in them."""

from __future__ import annotations

import ast
import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from lkgrag.data.readers.column_names import usual_columns
from lkgrag.data.readers.formats import suffix_of
from lkgrag.data.readers.packed import unpacked_name
from lkgrag.data.readers.text import open_table, read_lines
from lkgrag.errors import DataError

#: Named in messages where there is no file.
EVENTS_2014, META_2014 = "ratings_X.csv", "meta_X.json"
#: Names of the columns of the 5-core files of 2023, by usual name.
HEADER_2023 = {"user": "user_id", "item": "parent_asin", "rating": "rating", "time": "timestamp"}
#: Names of the fields of reviews, by usual name: of 2014 and 2018, and of 2023.
REVIEW = {"user": "reviewerID", "item": "asin", "rating": "overall", "time": "unixReviewTime"}
REVIEW_2023 = {"user": "user_id", "item": "parent_asin", "rating": "rating", "time": "timestamp"}
#: Suffixes of files with one object a line.
OBJECTS = (".json", ".jsonl")
#: Parts of a data set of 2023, in the order of time.
PARTS = ("train", "valid", "test")
#: Two ids, a rating and a time: a file of ratings without a header.
RATING = re.compile(r"[A-Z0-9#][\w-]{7,},[A-Z0-9#][\w-]{7,},\d(\.\d+)?,\d{9,13}$")


def event_files(folder: Path, name: str) -> list[Path]:
    """The files of interactions: ratings, or else reviews, or else what looks like either; in parts, or one.

    Args:
        folder: of the files.
        name: of the data set; ``amazon-beauty`` picks ``ratings_Beauty.csv`` among several.

    Raises:
        DataError: it is not clear which of several files is meant.
    """
    there = [
        p
        for p in sorted(folder.iterdir() if folder.is_dir() else [])
        if p.is_file()
        and suffix_of(p) in (".csv", *OBJECTS)
        and not p.name.startswith(("meta_", "."))
    ]
    exact = [p for p in there if _stem(p) == name and (_is_named(p) or _looks_right(p))]
    if len(exact) == 1:
        return exact
    ratings = [
        p
        for p in there
        if p.name.startswith("ratings_") and suffix_of(p) == ".csv" and not _has_other_header(p)
    ]
    reviews = [p for p in there if p.name.startswith("reviews_") and reads_objects(p)]
    found = ratings or reviews or [p for p in there if _looks_right(p)]
    # What metadata belong to is meant, even if it is broken.
    described = {_stem(p).lower().removeprefix("meta_") for p in folder.glob("meta_*")}
    found = found or [p for p in there if _subject(p) in described]
    parts = [[p for p in found if _stem(p).endswith(f".{part}")] for part in PARTS]
    whole = [p for p in found if not any(p in group for group in parts)]
    if whole:
        return [_named(folder, whole, name)]
    train = [_named(folder, group, name) for group in parts if group]
    return train


def metadata_file(folder: Path, events: Path, name: str) -> Path:
    """The metadata that belong to a file of interactions; a name that is not there where there are none.

    Raises:
        DataError: it is not clear which of several files is meant.
    """
    there = [
        p
        for p in sorted(folder.iterdir() if folder.is_dir() else [])
        if p.is_file() and p.name.startswith("meta_") and reads_objects(p)
    ]
    if len(there) < 2:
        return there[0] if there else folder / META_2014
    of_events = [p for p in there if _stem(p).lower() == f"meta_{_subject(events)}"]
    return of_events[0] if len(of_events) == 1 else _named(folder, there, name)


def _named(folder: Path, paths: list[Path], name: str) -> Path:
    """The single file, or the one that the name of the data set picks.

    Raises:
        DataError: there are several, and the name picks none.
    """
    if len(paths) == 1:
        return paths[0]
    word = re.sub(r"^amazon-|-(2014|2018|2023)$", "", name.lower()).replace("-", "_")
    named = [p for p in paths if word in p.name.lower()]
    if len(named) != 1:
        kind = paths[0].name.split("_")[0] + "_*" + suffix_of(paths[0])
        raise DataError(
            f"{folder}: several files match {kind} ({', '.join(p.name for p in paths[:4])}): leave one, or "
            "name it by data.name, or give the file itself by data.root"
        )
    return named[0]


def _stem(path: Path) -> str:
    return unpacked_name(path).removesuffix(suffix_of(path))


def _subject(path: Path) -> str:
    """What a file is of: ``beauty`` of ``reviews_Beauty_5.json.gz``."""
    return re.sub(r"^(ratings|reviews)_|(_5|\.(train|valid|test))$", "", _stem(path).lower())


def _is_named(path: Path) -> bool:
    return path.name.startswith(("ratings_", "reviews_"))


def reads_objects(path: Path) -> bool:
    """Whether a file has one object a line, by its suffix."""
    return suffix_of(path) in OBJECTS


def _looks_right(path: Path) -> bool:
    """Whether a file with any name holds reviews or ratings of Amazon."""
    try:
        if reads_objects(path):
            fields = set(next(iter(_first_object(path)), {}))
            return {"reviewerID", "asin"} <= fields or (
                "user_id" in fields and bool({"parent_asin", "asin"} & fields)
            )
        return has_header(path) or bool(RATING.match(next(read_lines(path), "").strip()))
    except DataError:
        return False


def has_header(path: Path) -> bool:
    """Whether a table has the header of the 5-core files of 2023."""
    return {HEADER_2023["user"], HEADER_2023["item"]} <= set(open_table(path)[0])


def _has_other_header(path: Path) -> bool:
    """Whether a table has a header as plain tables have it; ratings of Amazon have none."""
    try:
        header = open_table(path)[0]
    except DataError:
        return False
    is_plain = {"user", "item"} <= set(usual_columns(header, ("user", "item"), {}))
    return is_plain and not has_header(path)


def _first_object(path: Path) -> Iterator[dict[str, Any]]:
    for _, value in read_objects(path):
        yield value
        return


def review_fields(path: Path) -> dict[str, str]:
    """Names of the fields of a file of reviews: of 2023 if the first one has a ``user_id``."""
    first = next(_first_object(path), {})
    return REVIEW_2023 if "user_id" in first and "reviewerID" not in first else REVIEW


def read_objects(
    path: Path, user: str | None = None, item: str | None = None, other_item: str | None = None
) -> Iterator[tuple[int, dict[str, Any]]]:
    """The objects of a file, each with the number of its line.

    Args:
        path: the file, packed or not.
        user: a field that must be there and hold text; None for none.
        item: likewise.
        other_item: a field that stands in for ``item`` where that is missing.

    Raises:
        DataError: a line is no object, or an id is no string.
    """
    for number, line in enumerate(read_lines(path), start=1):
        if not line.strip():
            continue
        value = parse_line(line, path, number)
        if item is not None and other_item is not None and value.get(item) is None:
            value[item] = value.get(other_item)
        for field in (user, item):
            if field is not None and not isinstance(value.get(field), str):
                raise DataError(f"{path}: line {number}: no '{field}', or not a string")
        yield number, value


def parse_line(line: str, path: Path, number: int) -> dict[str, Any]:
    """One object of reviews or metadata, JSON or a Python literal, which is never executed.

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
