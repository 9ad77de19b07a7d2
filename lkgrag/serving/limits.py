"""Limits of a ranking: items that are left out, and attributes that items must have. They act before ranking."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from lkgrag.data.cleaning.lists import id_list
from lkgrag.data.cleaning.texts import value_text
from lkgrag.data.id_files import LINES, read_ids
from lkgrag.data.readers.formats import FORMATS, suffix_of
from lkgrag.errors import DataError, nearest, short
from lkgrag.utils.files import user_path

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from lkgrag.serving.context import Context
    from lkgrag.serving.recommendation import Recommendation

log = logging.getLogger(__name__)

#: Unknown items of an exclude list that a warning names, and names of attributes or values that a message lists.
SHOWN, LISTED = 3, 12


@dataclass(frozen=True)
class Limits:
    """Which items a ranking may hold.

    Attributes:
        allowed: bool ``[I]``.
        words: the options that say so, for messages.
    """

    allowed: NDArray[np.bool_]
    words: str

    @property
    def is_empty(self) -> bool:
        """Whether every item is allowed, so that nothing that is missing is missing for these limits."""
        return bool(self.allowed.all())

    @property
    def number(self) -> int:
        """How many items are allowed."""
        return int(self.allowed.sum())


def limit(context: Context, exclude: Any = None, where: Any = None) -> Limits | None:
    """Read an exclude list and filters.

    Args:
        context: of the ranker.
        exclude: items by id or exact title that no ranking may hold, or the path of a text file with one a line; None
            for none. Items that the ranker does not know are told in a warning.
        where: by attribute, the value or the list of values of which an item must have one; all attributes must fit.
            None for none.

    Returns:
        The limits; None without any.

    Raises:
        DataError: ``exclude`` is no list, its file cannot be read, or none of its items is known; an attribute or a
            value is unknown (the message names near ones); or no item is left.
    """
    if exclude is None and where is None:
        return None
    allowed = np.ones(len(context.catalogue), bool)
    words = []
    if exclude is not None:
        allowed[_excluded(context, exclude)] = False
        words.append("exclude")
    if where is not None:
        allowed &= _where(context, where)
        words.append("where")
    if not allowed.any():
        raise DataError(f"{' and '.join(words)}: no item of the {len(allowed):,} is left")
    return Limits(allowed, " and ".join(words))


def tell_short(rankings: list[Recommendation], k: int, limits: Limits | None) -> None:
    """Say in a warning that limits left fewer items than were asked for."""
    if limits is None or limits.is_empty:
        return
    sizes = [len(ranking.items) for ranking in rankings]
    few = [size for size in sizes if size < k]
    if few:
        who = (
            f"{len(few):,} of {len(sizes):,} rankings have" if len(sizes) > 1 else "the ranking has"
        )
        least = min(few)
        log.warning(
            "%s: %d items are left, and %s fewer than k=%d (%s)",
            *(
                limits.words,
                limits.number,
                who,
                k,
                f"{least}" if len(few) == 1 else f"down to {least}",
            ),
        )


def _excluded(context: Context, exclude: Any) -> NDArray[np.int64]:
    """Item indices of an exclude list; unknown items are told."""
    names = _read_names(exclude)
    catalogue = context.catalogue
    found, unknown = [], []
    for name in names:
        try:
            found += catalogue.every(name)
        except KeyError:
            unknown.append(name)
    if unknown:
        hint = nearest(unknown[0], catalogue.ids) or nearest(unknown[0], catalogue.titles)
        if not found:
            raise DataError(
                f"exclude: none of {len(names):,} items is among the {len(catalogue):,} of this ranker, as "
                f"{short(unknown[0])!r}.{hint} Give items by id, or by their exact title"
            )
        shown = ", ".join(repr(short(name)) for name in unknown[:SHOWN])
        more = ", ..." if len(unknown) > SHOWN else ""
        log.warning(
            "exclude: %d of %d items are unknown to this ranker and exclude nothing: %s%s.%s",
            *(len(unknown), len(names), shown, more, hint),
        )
    return np.asarray(found, np.int64)


def _read_names(exclude: Any) -> list[str]:
    """The ids and titles of an exclude list."""
    if isinstance(exclude, os.PathLike):
        return read_exclude_file(Path(exclude))
    if isinstance(exclude, str | bytes | Mapping) or not isinstance(exclude, Iterable):
        raise DataError(
            f"exclude: takes a list of items, or a pathlib.Path of a file with one a line, got {short(repr(exclude))}"
        )
    return id_list(exclude, "exclude", '["50", "Toy Story"]')


def read_exclude_file(path: Path) -> list[str]:
    """The lines of a text file, without empty ones; or the items in a table, as CSV or Parquet.

    Raises:
        DataError: it is missing, a folder, or not UTF-8; or as :func:`~lkgrag.data.id_files.read_ids`.
    """
    if suffix_of(path) in FORMATS and suffix_of(path) != LINES:
        return read_ids(path, "item", "exclude")
    try:
        text = user_path(path, "exclude").read_text(encoding="utf-8-sig")
    except (OSError, ValueError) as error:
        cause = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise DataError(
            f"exclude={path}: cannot be read ({cause}); give a text file with one item a line"
        ) from None
    return [line.strip() for line in text.splitlines() if line.strip()]


def _where(context: Context, where: Any) -> NDArray[np.bool_]:
    """Which items have the attributes, bool ``[I]``."""
    if not isinstance(where, Mapping):
        raise DataError(
            f"where: takes attributes with their values, as {{genre: Drama}}, got {short(repr(where))}"
        )
    attributes = context.attributes
    fits = np.ones(len(context.catalogue), bool)
    for name, values in where.items():
        wanted = [values] if isinstance(values, str) or not isinstance(values, Iterable) else values
        found = np.zeros(len(fits), bool)
        for value in wanted:
            found[attributes.items(str(name), value_text(value))] = True
        fits &= found
    return fits
