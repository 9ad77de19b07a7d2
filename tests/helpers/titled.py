"""Interactions with as many titled items as asked for."""

import pandas as pd

from lkgrag.config import DataConfig
from lkgrag.data import Interactions


def titled(num_items):
    """One user chose each of the items once."""
    ids = [f"i{i}" for i in range(num_items)]
    return Interactions.from_frames(
        pd.DataFrame({"user": "u", "item": ids, "time": range(num_items)}),
        items=pd.DataFrame({"item": ids, "title": [f"Thing {i}" for i in range(num_items)]}),
        config=DataConfig(min_user=1, min_item=1),
    )
