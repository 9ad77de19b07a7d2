"""Interactions that do not fit into memory: read, filtered, ordered and split by queries, into Parquet files."""

from lkgrag.data.large.making import make_store
from lkgrag.data.large.splitting import split_store
from lkgrag.data.large.store import Store

__all__ = ["Store", "make_store", "split_store"]
