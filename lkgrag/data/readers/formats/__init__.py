"""Tables in files: CSV and its kin, JSON lines, Parquet and Arrow; headers first, then rows batch by batch."""

from lkgrag.data.readers.formats.base import Batch, Piece, TableFile
from lkgrag.data.readers.formats.choice import FORMATS, is_table, open_file, suffix_of
from lkgrag.data.readers.formats.columns import ArrowTable, ParquetTable, parquet_parts
from lkgrag.data.readers.formats.lines import JsonTable, TextTable

__all__ = [
    "FORMATS",
    "ArrowTable",
    "Batch",
    "JsonTable",
    "ParquetTable",
    "Piece",
    "TableFile",
    "TextTable",
    "is_table",
    "open_file",
    "parquet_parts",
    "suffix_of",
]
