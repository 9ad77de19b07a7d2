"""Ids and values as texts: exact, or refused; and one spelling for what Unicode can write in two ways."""

from __future__ import annotations

import enum
import math
import uuid
from collections.abc import Iterable
from decimal import Decimal
from fractions import Fraction
from typing import Any
from unicodedata import is_normalized, normalize

import numpy as np
import pandas as pd

#: From here on, whole numbers that differ can be the same float, by its bits.
EXACT = {16: 2**11, 32: 2**24, 64: 2**53}


class NotExact(Exception):  # noqa: N818
    """A value that is no exact text; the message says why and which type is wanted."""


def clean(text: str) -> str:
    """Text that can be written as UTF-8; halves of surrogate pairs become question marks."""
    return text if text.isascii() else text.encode("utf-8", "replace").decode("utf-8")


def clean_id(text: str) -> str:
    """An id that can be written as UTF-8; halves of surrogate pairs are spelled out, so that ids stay apart."""
    return text if text.isascii() else text.encode("utf-8", "backslashreplace").decode("utf-8")


def as_float(value: Any) -> float:
    """A number as a float; infinite if it is beyond all floats."""
    try:
        return float(value)
    except OverflowError:
        return math.inf if value > 0 else -math.inf


def is_missing(value: Any) -> bool:
    """Whether a cell is empty: None, NaN, pandas' NA and NaT, a NaN of ``decimal``."""
    if value is None or value is pd.NA or value is pd.NaT:
        return True
    if isinstance(value, float | np.floating):
        return bool(np.isnan(value))
    if isinstance(value, np.datetime64 | np.timedelta64):
        return bool(np.isnat(value))
    return isinstance(value, Decimal) and value.is_nan()


def id_text(value: Any, bits: int = 64) -> str:
    """The text of an id. Equal numbers give equal texts: ``1``, ``1.0`` and ``Decimal(1)`` are ``1``.

    Args:
        value: text, bytes in UTF-8, or a whole number of any type.
        bits: of the column's floats.

    Raises:
        NotExact: it is something else, or a float that may stand for several numbers.
    """
    if isinstance(value, str):
        return clean_id(value.value if isinstance(value, enum.Enum) else value).strip()
    if isinstance(value, bool | np.bool_):
        raise NotExact("a bool; give int64 or text")
    # NumPy counts spans of time among whole numbers.
    if isinstance(value, int | np.integer) and not isinstance(value, np.timedelta64):
        return str(int(value))
    if isinstance(value, float | np.floating | Decimal | Fraction):
        return _whole(value, value.dtype.itemsize * 8 if isinstance(value, np.floating) else bits)
    if isinstance(value, bytes | bytearray | memoryview):
        try:
            return bytes(value).decode("utf-8").strip()
        except UnicodeDecodeError:
            raise NotExact("bytes that are no UTF-8; give text") from None
    if isinstance(value, uuid.UUID):
        return str(value)
    raise NotExact(f"of type {type(value).__name__}; give int64 or text")


def _whole(value: Any, bits: int) -> str:
    """A whole number of a type that has fractions, too."""
    try:
        is_whole = math.isfinite(value) and value == int(value)
    except (ValueError, OverflowError):
        is_whole = False
    if not is_whole:
        raise NotExact("no whole number; give int64 or text")
    if isinstance(value, float | np.floating) and abs(int(value)) > EXACT.get(bits, EXACT[64]):
        raise NotExact(
            f"a float{bits} beyond {EXACT.get(bits, EXACT[64]):,}, where several numbers are one; give int64 or text"
        )
    return str(int(value))


def value_text(value: Any) -> str:
    """The text of an attribute's value, as :func:`id_text` where that is exact."""
    try:
        return id_text(value) if not isinstance(value, bool | np.bool_) else str(value)
    except NotExact:
        return clean(str(value)).strip()


def normal(text: str) -> str:
    """The form of a text that is compared: of characters that are written in two ways, the composed one."""
    return text if text.isascii() or is_normalized("NFC", text) else normalize("NFC", text)


class Spellings:
    """Gives texts that differ by Unicode's composition only the spelling that came first.

    Attributes:
        first: that spelling by the form that is compared, of texts with other letters than ASCII's.
    """

    def __init__(self) -> None:
        self.first: dict[str, str] = {}

    def of(self, text: str) -> str:
        """The first spelling of a text."""
        return text if text.isascii() else self.first.setdefault(normal(text), text)

    def column(self, texts: pd.Series) -> pd.Series:
        """A column with the first spellings; a column without other letters than ASCII's as it is."""
        values = texts.tolist()
        if all(text.isascii() for text in values):
            return texts
        return pd.Series([self.of(text) for text in values], index=texts.index, dtype=object)

    def list(self, texts: Iterable[str]) -> list[str]:
        """The first spellings, each once."""
        return list(dict.fromkeys(self.of(text) for text in texts))
