"""Readers: from a folder of raw files to :class:`~lkgrag.data.Tables`.

``base.py`` has the contract, :class:`Reader`. Each layout stands in a file of its own: ``table.py``,
``recbole.py``, ``movielens.py`` and ``amazon.py`` with what belongs to it. What they share: ``text.py`` and
``packed.py`` (text files, packed or not), ``formats`` (CSV, JSON, Parquet, Arrow), ``batches.py`` and ``parts.py``
(interactions in batches and of several files), ``histories.py`` (sequences out of rows with a history).
``resolver.py`` lists the readers, ``location.py`` finds the folder and its reader, and ``reading.py`` reads.
"""

from lkgrag.data.readers.base import Reader
from lkgrag.data.readers.reading import data_folder, files_digest, read_tables
from lkgrag.data.readers.recbole import read_recbole
from lkgrag.data.readers.resolver import BUILT_IN, GROUP, find_reader, readers, register_reader
from lkgrag.data.readers.text import read_lines, read_rows, read_separated, split_values

__all__ = [
    "BUILT_IN",
    "GROUP",
    "Reader",
    "data_folder",
    "files_digest",
    "find_reader",
    "read_lines",
    "read_recbole",
    "read_rows",
    "read_separated",
    "read_tables",
    "readers",
    "register_reader",
    "split_values",
]
