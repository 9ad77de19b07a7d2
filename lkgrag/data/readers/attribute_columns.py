"""Attribute columns of plain tables: lists are split, and columns whose values would each be a node are left out."""

from __future__ import annotations

import ast
import json
from typing import Any

import numpy as np
import pandas as pd

#: Characters of an average value from which on a column is free text.
PROSE = 80
#: Values of a column that are looked at.
LOOKED_AT = 2_000
#: Separators of several values in one cell.
BETWEEN_VALUES = "|"
#: RecBole's separator, which stands for "not set" here.
UNSET = " "


def attribute_columns(
    table: pd.DataFrame, meanings: tuple[str, ...], separator: str
) -> tuple[pd.DataFrame, list[str]]:
    """Make attribute columns of cells as text files have them.

    A cell like ``a|b`` or ``["a", "b"]`` becomes a list. Columns of fractions (prices), of long texts
    (descriptions), of addresses (images) and of objects are left out.

    Args:
        table: with a column for each of ``meanings`` that is there.
        meanings: the id and the title, which stay as they are.
        separator: between the values of a cell; a space: ``|``.

    Returns:
        The table, and the columns that were left out, each with the reason in words.
    """
    separator = BETWEEN_VALUES if separator == UNSET else separator
    out, left_out = {}, []
    for column in map(str, table.columns):
        if column in meanings:
            out[column] = table[column]
            continue
        values = [_listed(value, separator) for value in table[column].tolist()]
        reason = _useless(values)
        if reason is None:
            if all(_is_number(value) for cell in values for value in cell):
                # Whole numbers that a missing value elsewhere has turned into fractions: 1999.0 is 1999.
                values = [[_whole(value) for value in cell] for cell in values]
            out[column] = pd.Series(values, index=table.index, dtype=object)
        else:
            left_out.append(f"{column} ({reason})")
    return pd.DataFrame(out), left_out


def _listed(value: Any, separator: str) -> list[Any]:
    """A cell as a list of its values; empty ones are no values."""
    if isinstance(value, str):
        text = value.strip()
        if text[:1] == "[" and text[-1:] == "]":
            value = _parsed(text)
        else:
            value = [part.strip() for part in text.split(separator)]
    if isinstance(value, list | tuple | set | np.ndarray):
        return [v for v in value if not _is_empty(v)]
    return [] if _is_empty(value) else [value]


def _parsed(text: str) -> Any:
    """A list as JSON or Python writes it, or the text itself."""
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(text)
        except (ValueError, SyntaxError, TypeError, MemoryError, RecursionError):
            continue
    return text


def _is_empty(value: Any) -> bool:
    if isinstance(value, str):
        return not value or value.lower() in ("nan", "none", "null")
    return (
        value is None
        or value is pd.NA
        or value is pd.NaT
        or (isinstance(value, float) and np.isnan(value))
    )


def _useless(lists: list[list[Any]]) -> str | None:
    """Why values should be no nodes; None where they should."""
    values = [value for cell in lists for value in cell]
    if not values:
        return "empty"
    if any(isinstance(value, dict | list) for value in values):
        return "objects"
    if any(_fraction(value) for value in values) and all(_is_number(value) for value in values):
        return "numbers with fractions"
    sample = [str(value) for value in values[:LOOKED_AT]]
    if sum(text.startswith(("http://", "https://")) for text in sample) > len(sample) / 2:
        return "addresses"
    if sum(map(len, sample)) / len(sample) > PROSE:
        return "long texts"
    return None


def _is_number(value: Any) -> bool:
    try:
        return bool(np.isfinite(float(value)))
    except (TypeError, ValueError, OverflowError):
        return False


def _whole(value: Any) -> str:
    text = str(value)
    return text[:-2] if text.endswith(".0") else text


def _fraction(value: Any) -> bool:
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        return False
    return bool(np.isfinite(number)) and number % 1 != 0
