"""Text: what the catalogue says of its items, and vectors of it."""

from lkgrag.text.items import item_texts

__all__ = ["item_texts"]
