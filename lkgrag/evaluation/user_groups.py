"""Groups of users: by activity, by their taste for popular items, and by their attributes."""

from __future__ import annotations

from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd

from lkgrag.data.cleaning.texts import EXACT
from lkgrag.errors import ConfigError, nearest, short

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

#: Users that a group needs; smaller ones are merged, or left out.
LEAST = 20
#: Values from which on numbers are cut into thirds.
MOST_NUMBERS = 6
#: Share of the users that an attribute's groups must hold to be taken without being named.
COVERED = 0.5
#: Share of the items that are called popular, and of the users with the most extreme tastes on either side.
POPULAR = EXTREME = 0.2
#: What users of small groups are called together.
OTHER = "other"
#: Built-in ways to group users.
ACTIVITY, TASTE = "activity", "taste"


@dataclass(frozen=True)
class Grouping:
    """One way to group users.

    Attributes:
        names: of the groups.
        group: int64 ``[U]``, the group of each user; -1 for none.
        left_out: users of groups that are too small, by group.
    """

    names: list[str]
    group: NDArray[np.int64]
    left_out: dict[str, int] = field(default_factory=dict)


def by_activity(chosen: NDArray[np.int64]) -> Grouping:
    """Thirds of the users by the length of their histories.

    Args:
        chosen: int64 ``[U]``, training interactions of each user.
    """
    return _enough(thirds("history", chosen), len(chosen))


def by_taste(histories: Sequence[NDArray[np.int64]], popularity: NDArray[np.int64]) -> Grouping:
    """Niche, diverse and blockbuster users.

    They are the groups of Abdollahpouri et al. (2019), "The Unfairness of Popularity Bias in Recommendation". Users
    are ordered by the share of popular items in their histories, which are the fifth of all items with the most
    interactions. The lowest fifth of the users is ``niche``, the highest ``blockbuster``, all others
    ``diverse``. Users of one share stay together, in the group where the middle of them falls.

    Args:
        histories: ``U`` arrays of item indices; a user with an empty one has no group.
        popularity: int64 ``[I]``, training interactions.
    """
    popular = np.zeros(len(popularity), bool)
    most = int(np.ceil(POPULAR * len(popularity)))
    popular[np.argsort(-popularity, kind="stable")[:most]] = True
    share = np.array([popular[h].mean() if len(h) else np.nan for h in histories], np.float64)
    known = np.isfinite(share)
    group = np.full(len(share), -1, np.int64)
    # The middle of the users of one share, as a share of all users.
    place = (pd.Series(share[known]).rank(method="average").to_numpy() - 0.5) / max(1, known.sum())
    group[known] = np.searchsorted([EXTREME, 1 - EXTREME], place, side="right")
    names = ["niche", "diverse", "blockbuster"]
    return _enough({name: group == n for n, name in enumerate(names)}, len(share), merges=False)


def by_attributes(users: pd.DataFrame, chosen: Sequence[str]) -> dict[str, Grouping]:
    """Groups by each attribute of the users.

    A number with many values, as an age, is cut into thirds; any other attribute gives a group a value.

    Args:
        users: one row a user, with columns of values or lists of values, of which the first counts, as of
            :attr:`lkgrag.data.Interactions.users`.
        chosen: names of attributes; none for each whose groups hold half of the users.

    Raises:
        ConfigError: as :func:`check_attributes`.
    """
    check_attributes(users, chosen)
    there = [str(c) for c in users.columns if c != "user"]
    out = {}
    for name in chosen or there:
        found = _by_values(name, pd.Series([_first(v) for v in users[name]], dtype=object))
        held = found.group >= 0
        others = [n for n in found.names if n != OTHER]
        is_telling = len(others) > 1 and held.mean() >= COVERED
        if OTHER in found.names:
            is_telling &= (found.group == found.names.index(OTHER)).mean() < COVERED
        if chosen or is_telling:
            out[name] = found
    return out


def check_attributes(users: pd.DataFrame, chosen: Sequence[str]) -> None:
    """Check that the users have the attributes of ``evaluation.groups``.

    Raises:
        ConfigError: there is no such attribute; the message names near ones.
    """
    there = [str(c) for c in users.columns if c != "user"]
    for name in chosen:
        if name not in there:
            names = ", ".join(there) or "none"
            raise ConfigError(
                f"evaluation.groups: the users have no attribute {short(name)!r}."
                f"{nearest(name, there)} There are: {names}"
            )


def thirds(name: str, values: NDArray[np.number] | pd.Series) -> dict[str, NDArray[np.bool_]]:
    """Thirds of the users by a number, named by the least and the greatest finite one in each.

    An infinite number is in the group at its end.
    """
    numbers = pd.to_numeric(pd.Series(values), errors="coerce").to_numpy(float)
    finite = np.isfinite(numbers)
    if not finite.any():
        return {}
    ends, groups = [], []
    edges = np.unique(np.quantile(numbers[finite], [0, 1 / 3, 2 / 3, 1]))
    for low, high in pairwise(edges):
        inside = ~np.isnan(numbers)
        if low > edges[0]:
            inside &= numbers >= low
        if high < edges[-1]:
            inside &= numbers < high
        if (inside & finite).any():
            ends.append((numbers[inside & finite].min(), numbers[inside & finite].max()))
            groups.append(inside)
    texts = _texts([end for pair in ends for end in pair])
    spans = zip(texts[::2], texts[1::2], strict=True)
    names = [least if least == most else f"{least}–{most}" for least, most in spans]
    return {f"{name} {span}": inside for span, inside in zip(names, groups, strict=True)}


def _texts(numbers: list[float]) -> list[str]:
    """Numbers in as few digits, from six on, as tell them apart; whole numbers in all of theirs."""

    def text(number: float, digits: int) -> str:
        is_whole = number == int(number) and abs(number) < EXACT[64]
        return str(int(number)) if is_whole else f"{number:.{digits}g}"

    for digits in range(6, 18):
        texts = [text(number, digits) for number in numbers]
        if len(set(texts)) == len(set(numbers)):
            break
    return texts


def _by_values(name: str, values: pd.Series) -> Grouping:
    count = values.value_counts()
    is_number = pd.to_numeric(values.dropna(), errors="coerce").notna().all()
    if len(count) > MOST_NUMBERS and is_number:
        return _enough(thirds(name, values), len(values), names_end=len(name) + 1)
    groups = {str(v): (values == v).to_numpy(bool) for v in sorted(count.index, key=str)}
    return _enough(groups, len(values))


def _enough(
    groups: dict[str, NDArray[np.bool_]], size: int, merges: bool = True, names_end: int = 0
) -> Grouping:
    """The groups of ``size`` users that are large enough.

    Those that are too small are one group, or are left out if that is too small, too.
    """
    group = np.full(size, -1, np.int64)
    names: list[str] = []
    small = [name for name, inside in groups.items() if inside.sum() < LEAST]
    for name, inside in groups.items():
        if name not in small:
            group[inside] = len(names)
            names.append(name[names_end:])
    rest = np.logical_or.reduce([groups[n] for n in small]) if small else np.zeros(size, bool)
    left_out = {name[names_end:]: int(groups[name].sum()) for name in small if groups[name].any()}
    if merges and len(left_out) > 1 and rest.sum() >= LEAST:
        other = OTHER if OTHER not in names else "all others"
        group[rest] = len(names)
        return Grouping([*names, other], group)
    return Grouping(names, group, left_out)


def _first(value: object) -> str | None:
    """The first of a list of values as text, or the value; None for none."""
    if isinstance(value, list | tuple | np.ndarray):
        return str(value[0]) if len(value) else None
    return None if value is None or value != value else str(value)
