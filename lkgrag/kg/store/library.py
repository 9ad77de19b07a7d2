"""ladybug, an embedded graph database: how a file is opened, and its errors in words that say what to do."""

from __future__ import annotations

import re
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lkgrag.errors import ConfigError, DataError, LkgragError, short

if TYPE_CHECKING:
    from collections.abc import Iterator

    import ladybug

MISSING = 'graphs in a store: ladybug is not installed: pip install "lkgrag[store]"'
WRITE = "python -m lkgrag.export format=ladybug"
#: Least size of the address space of a database, and how many times its file; the library takes powers of two.
SPACE, TIMES = 1 << 34, 8
#: Least memory of the pages of a database.
LEAST = 32 << 20
#: Parts of messages of the library, and what they mean here.
MEANINGS: tuple[tuple[str, str], ...] = (
    (
        r"Could not set lock",
        "another process writes to it: wait until it has ended, or open a copy",
    ),
    (
        r"Database file version: (\d+), Current build storage version: (\d+)",
        "of storage version {0}, but the installed ladybug reads {1}: install the ladybug that wrote it, or write it "
        f"again: {WRITE} overwrite=true",
    ),
    (r"not a valid Lbug database", f"no database of ladybug: name one, or write one: {WRITE}"),
    (r"buffer pool is full", "its pages need more memory: raise memory="),
    (r"Mmap for size", "no address space is left: close other databases of this process"),
)


def import_ladybug() -> Any:
    """The library.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        # Only here: it belongs to an extra.
        import ladybug
    except ImportError:
        raise ConfigError(MISSING) from None
    return ladybug


#: What to do about an error that has no meaning of its own.
ADVICE = f"if it is damaged, write it again: {WRITE} overwrite=true"


@contextmanager
def explained(path: Path, doing: str, advice: str = ADVICE) -> Iterator[None]:
    """Turn errors of the library into one line.

    Args:
        path: of the database.
        doing: what failed, as in ``the rows of has_brand cannot be read``.
        advice: what to do about it.

    Raises:
        DataError: something failed.
    """
    try:
        yield
    except LkgragError:
        raise
    except (RuntimeError, ValueError, OSError, MemoryError, IndexError, OverflowError) as error:
        text = str(error)
        for pattern, meaning in MEANINGS:
            if (found := re.search(pattern, text)) is not None:
                raise DataError(f"{path}: {meaning.format(*found.groups())}") from error
        said = short(text.splitlines()[0] if text else type(error).__name__)
        raise DataError(f"{path}: {doing} ({said}); {advice}") from error


def open_database(path: Path, memory: int, threads: int) -> ladybug.Database:
    """Open a database for reading.

    Args:
        path: of its file.
        memory: bytes of the pages that are kept, at least :data:`LEAST`.
        threads: of a query.

    Raises:
        ConfigError: ladybug is not installed.
        DataError: there is no such file, or it is no database, or of another version, or locked.
    """
    library = import_ladybug()
    if path.is_dir():
        raise DataError(f"{path}: a folder, but a database of ladybug is a file; name the file")
    if not path.exists():
        raise DataError(f"{path}: no such database; write it: {WRITE} out={path}")
    size = path.stat().st_size
    if not size:
        raise DataError(f"{path}: empty; write it again: {WRITE} overwrite=true")
    space = SPACE
    while space < TIMES * size:
        space *= 2
    with explained(path, "cannot be opened"):
        database: ladybug.Database = library.Database(
            str(path),
            buffer_pool_size=max(memory, LEAST),
            max_num_threads=threads,
            max_db_size=space,
            read_only=True,
        )
    return database


def answer(
    connection: ladybug.Connection, query: str, parameters: dict[str, Any] | None = None
) -> ladybug.QueryResult:
    """Run one statement; the library gives a list for several."""
    found = connection.execute(query, parameters or {})
    assert not isinstance(found, list)
    return found


def make_database(path: Path, memory: int) -> ladybug.Database:
    """Make a database that one thread writes to, so that rows keep their order.

    Args:
        path: of its file.
        memory: bytes of the pages that are kept, at least :data:`LEAST`.
    """
    made: ladybug.Database = import_ladybug().Database(
        str(path), buffer_pool_size=max(memory, LEAST), max_num_threads=1
    )
    return made
