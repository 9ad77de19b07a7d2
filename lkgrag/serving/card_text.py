"""Text in a model card: user's words escaped, and tables."""

from __future__ import annotations

import html
import re
from collections.abc import Sequence

from lkgrag.utils.text import one_line

#: Characters that a user's text shows in a card.
LONGEST, LONGEST_SENTENCE = 100, 600
#: What Markdown reads as markup, also within a table.
_MARKUP = re.compile(r"([\\`*_\[\]|#~$!])")
#: What becomes a link or a mention of itself.
_LINKS = {"://": ":&#47;&#47;", "@": "&#64;", "www.": "www&#46;"}


def plain(text: str) -> str:
    """A text in one line without control characters, and not too long."""
    line = one_line(text)
    return line if len(line) <= LONGEST else line[:LONGEST] + "…"


def escape(text: str, long: bool = False) -> str:
    """A text that Markdown shows as it is: no markup, HTML or link comes of it.

    Args:
        text: any.
        long: a sentence of this package with names of the user in it.
    """
    line = one_line(text)[:LONGEST_SENTENCE] if long else plain(text)
    line = html.escape(line, quote=False)
    if not long:
        for word, entity in _LINKS.items():
            line = line.replace(word, entity)
    return _MARKUP.sub(r"\\\1", line.replace("&#", "\0")).replace("\0", "&#")


def table(heads: Sequence[str], rows: Sequence[Sequence[str]], align: str = "---") -> str:
    """A table; its cells are escaped already.

    Args:
        heads: of the columns.
        rows: of cells.
        align: of all columns but the first, in the way of Markdown.
    """
    rule = ["---", *[align] * (len(heads) - 1)]
    return "\n".join(f"| {' | '.join(row)} |" for row in (heads, rule, *rows))
