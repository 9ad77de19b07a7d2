"""Requests: one ranking to make, for a user of the data or for anyone's history."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import TYPE_CHECKING

import numpy as np

from lkgrag.data.cleaning.columns import LARGEST
from lkgrag.data.cleaning.lists import id_list, list_of
from lkgrag.data.cleaning.texts import as_float, is_missing
from lkgrag.errors import DataError, short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from lkgrag.serving.context import Context
    from lkgrag.serving.limits import Limits
    from lkgrag.text.requests import RequestScores


@dataclass(frozen=True)
class Asked:
    """A request in words.

    Attributes:
        text: in one line.
        weight: in multiples of the learned one.
        scores: of all items.
    """

    text: str
    weight: float
    scores: RequestScores


@dataclass(frozen=True)
class Request:
    """One ranking to make.

    Attributes:
        history: item indices, int64, oldest first; may be empty.
        rating: of each history item, float32; NaN where unknown.
        candidates: the items to rank, int64; None for the retriever's proposals.
        user: the user's id, to be shown; None for a plain history.
        target: the item that was chosen in truth, to be marked; None where unknown.
        index: user index, -1 for someone unknown.
        asked: what is asked for in words; None for the history alone.
        allowed: bool ``[I]``, the items that the ranking may hold; None for all.
        diversity: how much variety counts, from 0, for the order of the scores, to 1.
    """

    history: NDArray[np.int64]
    rating: NDArray[np.float32]
    candidates: NDArray[np.int64] | None = None
    user: str | None = None
    target: int | None = None
    index: int = -1
    asked: Asked | None = None
    allowed: NDArray[np.bool_] | None = None
    diversity: float = 0.0


def request_for(
    context: Context,
    history: Sequence[object],
    candidates: Sequence[object] | None,
    ratings: Sequence[float] | None,
) -> Request:
    """A request for a history of ids or titles.

    Raises:
        DataError: a list is a text or no list, an item is unknown, the list of candidates is empty, a rating is no
            number, or the number of ratings differs from that of the history items.
    """
    items = _indices(context, history, "history")
    rating = np.full(len(items), np.nan) if ratings is None else _numbers(ratings)
    if len(rating) != len(items):
        raise DataError(f"ratings: {len(rating)} ratings for {len(items)} history items")
    return Request(items, rating.astype(np.float32), candidate_items(context, candidates))


def request_of_user(
    context: Context, user: str, candidates: Sequence[object] | None = None
) -> Request:
    """A request for a user of the data.

    Raises:
        DataError: the user or a candidate is unknown.
    """
    return requests_of_users(context, [user], candidates)[0]


def requests_of_users(
    context: Context, users: Sequence[str], candidates: Sequence[object] | None = None
) -> list[Request]:
    """A request for each of several users of the data, with the same candidates.

    Raises:
        DataError: a user or a candidate is unknown.
    """
    named = candidate_items(context, candidates)
    indices = context.users.indices(users, context.dropped, context.config.data.min_user)
    out = []
    for user, index in zip(users, indices, strict=True):
        ((_, (items, rating)),) = context.users.rows(index, index + 1)
        out.append(Request(items, rating, named, user, index=index))
    return out


def limited(requests: Sequence[Request], limits: Limits | None) -> list[Request]:
    """The same requests within limits; candidates that are named count only if they are allowed.

    Raises:
        DataError: no candidate is left.
    """
    if limits is None:
        return list(requests)
    out = []
    for request in requests:
        candidates = request.candidates
        if candidates is not None:
            candidates = candidates[limits.allowed[candidates]]
            if not len(candidates):
                raise DataError(
                    f"candidates: none of them is left by {limits.words}; name others, or allow more"
                )
        out.append(replace(request, candidates=candidates, allowed=limits.allowed))
    return out


def candidate_items(context: Context, items: Sequence[object] | None) -> NDArray[np.int64] | None:
    """Item indices of candidates, each once; None for the retriever's proposals.

    Args:
        context: of the ranker.
        items: ids or titles; None for the retriever's proposals.

    Raises:
        DataError: the list is empty, or an item is unknown.
    """
    if items is None:
        return None
    index = _indices(context, items, "candidates")
    if not len(index):
        raise DataError("candidates: the list is empty; leave it out for the retriever's proposals")
    # A candidate that is named twice counts once.
    return np.asarray(list(dict.fromkeys(index.tolist())), np.int64)


def user_ids(users: Sequence[object]) -> list[str]:
    """The ids of users that a caller asks for.

    Raises:
        DataError: it is no list, it is empty, or an element is no id.
    """
    ids = id_list(users, "users", '["1", "2"]')
    if not ids:
        raise DataError(
            "users: the list is empty; give the ids of users, or history=[...] for someone unknown"
        )
    return ids


def _indices(context: Context, items: Sequence[object], what: str) -> NDArray[np.int64]:
    """The item indices of a list of ids or titles."""
    return context.catalogue.index(items, what, context.dropped, context.config.data.min_item)


def _numbers(ratings: Sequence[object]) -> NDArray[np.float64]:
    """Ratings as numbers, NaN for None."""
    out = []
    for place, value in enumerate(
        list_of(ratings, "ratings", "[5, 3.5]", is_ordered=True), start=1
    ):
        is_number = isinstance(value, numbers.Real | Decimal)
        # NumPy counts spans of time among whole numbers.
        is_number &= not isinstance(value, bool | np.timedelta64)
        if not (is_missing(value) or is_number):
            raise DataError(
                f"ratings: element {place}, {short(repr(value))}, is no number; leave it None if unknown"
            )
        out.append(math.nan if is_missing(value) else as_float(value))
    rating = np.array(out, np.float64)
    if (np.abs(np.nan_to_num(rating)) > LARGEST).any():
        raise DataError(
            "ratings: a rating is infinite, or beyond 32 bits; give finite numbers, or None where unknown"
        )
    return rating
