"""Splits: which interactions train, and which are predicted from what precedes them."""

from lkgrag.data.splits.base import Events, Split, span
from lkgrag.data.splits.sequence import make_split
from lkgrag.data.splits.time import time_split

__all__ = ["Events", "Split", "make_split", "span", "time_split"]
