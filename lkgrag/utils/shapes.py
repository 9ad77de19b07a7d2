"""The text of containers of large arrays: their sizes, as PyG shows its ``Data``."""

from __future__ import annotations

from dataclasses import fields
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import DataclassInstance


def sizes(self: DataclassInstance) -> str:
    """Describe a dataclass in one line by its sizes; to be used as its ``__repr__``.

    >>> from lkgrag.serving.catalogue import Catalogue
    >>> Catalogue(["1", "2"], ["Heat", "Fargo"])
    Catalogue(ids=[2], titles=[2])
    """
    shown = ", ".join(f"{f.name}={_size(getattr(self, f.name))}" for f in fields(self))
    return f"{type(self).__name__}({shown})"


def _size(value: object) -> str:
    if hasattr(value, "shape"):
        return str(list(value.shape))
    return f"[{len(value)}]" if isinstance(value, list | tuple | dict) else repr(value)
