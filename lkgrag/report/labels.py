"""Names cut to fit a picture or a page."""

from __future__ import annotations

from lkgrag.utils.text import fit, one_line


def label(text: str, width: int) -> str:
    """A name of at most ``width`` columns, without characters that no picture can show."""
    return fit(one_line(text), width)
