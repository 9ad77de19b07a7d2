"""Interactions from lists of items, a user each."""

import pandas as pd

from lkgrag.config import DataConfig
from lkgrag.data import Interactions


def sequences(*rows, start=0):
    """User ``u`` chose the items of row ``u`` at times ``start``, ``start + 1``, ..."""
    events = [(f"u{u}", f"{i}", start + t) for u, row in enumerate(rows) for t, i in enumerate(row)]
    return Interactions.from_frames(
        pd.DataFrame(events, columns=["user", "item", "time"]),
        config=DataConfig(min_user=1, min_item=1, duplicates="keep"),
    )
