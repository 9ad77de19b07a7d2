"""Parquet files that are read batch by batch, within a few batches' memory."""

from __future__ import annotations

import os

import pyarrow.parquet as pq


def open_parquet(path: str | os.PathLike[str]) -> pq.ParquetFile:
    """Open a file of which batches are read.

    Arrow's default buffers columns ahead, and keeps them until the file is closed: memory would grow to the size of the
    file.

    Raises:
        pyarrow.ArrowException: the file is broken.
        OSError: it is missing, or cannot be read.
    """
    return pq.ParquetFile(path, pre_buffer=False)
