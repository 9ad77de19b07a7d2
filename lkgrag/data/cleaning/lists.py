"""Lists of ids that a caller gives: what is no list is refused, and each element becomes a text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Set
from typing import Any

from lkgrag.data.cleaning.texts import NotExact, id_text, is_missing
from lkgrag.errors import DataError, short


def list_of(values: Any, name: str, example: str, is_ordered: bool = False) -> list[Any]:
    """The elements of a list, a tuple, an array, a column of a table, or of anything else with elements.

    Args:
        values: as given.
        name: of the argument, for messages.
        example: of such a list, for messages.
        is_ordered: whether the order counts, which a set does not have.

    Raises:
        DataError: it is a single text or number, a mapping, None, or a set where the order counts.
    """
    if isinstance(values, str | bytes | bytearray):
        # A text has elements, too: its characters.
        raise DataError(f"{name}: must be a list, as {example}, got the text {short(repr(values))}")
    if isinstance(values, Mapping) or not isinstance(values, Iterable):
        raise DataError(f"{name}: must be a list, as {example}, got {_describe(values)}")
    if is_ordered and isinstance(values, Set):
        raise DataError(f"{name}: must be a list, as {example}: a set has no order")
    if getattr(values, "ndim", 1) != 1:
        raise DataError(
            f"{name}: must be a list, as {example}, got {_describe(values)} of several dimensions"
        )
    # Elements of Arrow's columns are no values of Python.
    return [value.as_py() if hasattr(value, "as_py") else value for value in values]


def id_list(values: Any, name: str, example: str, is_ordered: bool = False) -> list[str]:
    """The elements of such a list as ids; arguments as of :func:`list_of`.

    Raises:
        DataError: as :func:`list_of`; an element is missing, or of a type that does not give its exact text.
    """
    out = []
    for place, value in enumerate(list_of(values, name, example, is_ordered), start=1):
        try:
            text = "" if is_missing(value) else id_text(value)
        except NotExact as error:
            raise DataError(f"{name}: element {place}, {short(repr(value))}, is {error}") from None
        if not text:
            raise DataError(f"{name}: element {place} is empty; give an id, or leave it out")
        out.append(text)
    return out


def _describe(value: object) -> str:
    return "None" if value is None else f"a {type(value).__name__}"
