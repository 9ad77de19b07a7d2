"""Text for a terminal: in one line, cut to a width, numbers with two decimals."""

from __future__ import annotations

from typing import TYPE_CHECKING

from rich.cells import cell_len, set_cell_size
from rich.text import Text

if TYPE_CHECKING:
    from rich.console import Console


def one_line(text: str) -> str:
    """Return the text in one line, without characters that could move the cursor of a terminal."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())


def shown_title(text: str) -> str:
    """Return a title in one line, or ``(no title)``."""
    return one_line(text) or "(no title)"


def fit(text: str, columns: int) -> str:
    """Cut text to a number of columns; characters of some scripts take two columns of a terminal."""
    if cell_len(text) <= columns:
        return text
    return set_cell_size(text, columns - 1).rstrip(" ,;:(") + "…"


def two_places(value: float, sign: str = "") -> str:
    """Write a number with two decimals, with ``sign="+"`` always with its sign; -0.001 is 0.00, not -0.00."""
    return f"{round(value, 2) + 0.0:{sign}.2f}"


def print_line(console: Console, text: Text) -> None:
    """Print text; a character that the encoding of the console's stream lacks becomes ``?``."""
    encoding = getattr(console.file, "encoding", None) or "utf-8"
    text = text.copy()
    # One character for another, so that the styles stay where they are.
    text.plain = text.plain.encode(encoding, "replace").decode(encoding)
    console.print(text)


def print_wrapped(console: Console, indent: int, text: Text) -> None:
    """Print text with every line after the first one indented by ``indent`` columns."""
    for line in text.wrap(console, max(console.width - indent, 20)):
        line.rstrip()
        print_line(console, Text(" " * indent).append_text(line))
