"""Names made fit for a picture or a page."""

from __future__ import annotations

from lkgrag.utils.text import fit, one_line


def label(text: str, width: int) -> str:
    """A name at most ``width`` columns wide, without any character that no picture can show."""
    return fit(one_line(text), width)
