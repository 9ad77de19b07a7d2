"""What to tell custom code that asks for vectors of the items' texts where there are none."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch_geometric.data import HeteroData


def advise_on_vectors(error: BaseException, data: HeteroData) -> str:
    """How to get the items' vectors, if custom code failed for want of them; else how to see where it failed.

    Args:
        error: what the code raised.
        data: the graph that it was given.
    """
    if _asks_for_vectors(error, data):
        return "data['item'].x holds vectors of the items' texts only with an encoder: set text.encoder=minilm"
    return "--debug shows where"


def _asks_for_vectors(error: BaseException, data: HeteroData) -> bool:
    """Whether code failed because the items have no ``x``: by ``data["item"].x`` or ``data.x_dict``."""
    if "x" in data["item"] or not isinstance(error, AttributeError | KeyError):
        return False
    return re.search(r"'(x|x_dict|item)'", str(error)) is not None
