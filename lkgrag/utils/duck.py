"""DuckDB, an embedded database, within a limit of memory and a folder for what does not fit."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lkgrag.errors import ConfigError, DataError, LkgragError, short
from lkgrag.utils.duck_limits import (
    DATABASE,
    LIBRARIES,
    MISSING,
    Limits,
    arrays_of,
    memory_of,
    temp_root,
)
from lkgrag.utils.files import atomic
from lkgrag.utils.locks import locked

if TYPE_CHECKING:
    import duckdb
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

#: Rows of a batch of results.
BATCH = 1 << 20
#: Beginning of the names of temporary folders, and of those that are not locked yet.
PREFIX, FRESH = ".lkgrag-duckdb-", ".lkgrag-new-duckdb-"
#: Held while the folder is in use.
LOCK = ".lock"


class Duck:
    """An open database. Use :func:`open_duck`.

    Attributes:
        memory: bytes that its queries may take.
        arrays: bytes that a result may take outside of the database.
        temp: folder of this database for what does not fit into memory.
    """

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, memory: int, arrays: int, temp: Path
    ) -> None:
        self.connection = connection
        self.memory = memory
        self.arrays = arrays
        self.temp = temp

    def run(self, sql: str) -> None:
        """Run a statement without a result."""
        with self._explained():
            self.connection.execute(sql)

    def row(self, sql: str) -> tuple[Any, ...]:
        """The only row of a result."""
        with self._explained():
            (found,) = self.connection.execute(sql).fetchall()
        return tuple(found)

    def put(self, name: str, columns: dict[str, NDArray]) -> None:
        """Give arrays of one length a name in queries, in which NaN is null."""
        # Only here: most commands need no database.
        import pyarrow as pa

        table = pa.table({column: known(values) for column, values in columns.items()})
        self.connection.register(name, table)

    def forget(self, name: str) -> None:
        """Let arrays go that :meth:`put` has named."""
        self.connection.unregister(name)

    def batches(self, sql: str) -> Iterator[pa.RecordBatch]:
        """The rows of a result in their order, in batches."""
        with self._explained():
            yield from self.connection.sql(sql).to_arrow_reader(BATCH)

    def columns(self, sql: str) -> dict[str, NDArray]:
        """A whole result as arrays by name; an unknown float is NaN."""
        with self._explained():
            table = self.connection.sql(sql).to_arrow_table()
            return {name: table[name].to_numpy(zero_copy_only=False) for name in table.column_names}

    def sums(self, sql: str, size: int) -> NDArray[np.int64]:
        """Sums of ``value`` by ``place``, two columns of a result, as int64 ``[size]``.

        In one array: the database's table of groups would take several times its memory.
        """
        # Only here: most commands need no database.
        import numpy as np

        out = np.zeros(size, np.int64)
        for batch in self.batches(sql):
            value = batch["value"].to_numpy(zero_copy_only=False)
            np.add.at(out, batch["place"].to_numpy(), value.astype(np.int64, copy=False))
        return out

    def write(self, sql: str, path: Path, group: int | None = None) -> None:
        """Write a result as Parquet, atomically.

        Args:
            sql: the query.
            path: of the file.
            group: rows of a group; the database's by default.

        Raises:
            LkgragError: the disk is full, the memory too little, or a file that is read is broken.
        """
        with atomic(path) as tmp, self._explained():
            rows = "" if group is None else f", row_group_size {group}"
            self.connection.execute(
                f"copy ({sql}) to {quoted(tmp)} (format parquet, compression zstd{rows})"
            )

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what a query raises into one line.

        Raises:
            LkgragError: with that line.
        """
        # Only here: most commands need no database.
        import duckdb

        try:
            yield
        except duckdb.Error as error:
            explained = explain(error, self.temp)
            if explained is None:
                raise
            raise explained from error


def explain(error: Exception, temp: Path) -> LkgragError | None:
    """What the user can do about an error of the database; None where it is a fault of the program.

    Args:
        error: that the database raised.
        temp: the database's folder.
    """
    text = str(error)
    lower = text.lower()
    if "no space left" in lower or "max_temp_directory_size" in lower or "disk full" in lower:
        return LkgragError(
            f"the disk of {temp.parent} is full: free space, or choose another folder by engine.temp="
        )
    if type(error).__name__ == "OutOfMemoryException":
        return LkgragError(
            "engine.memory is too little for these data: raise it, as engine.memory=8GB"
        )
    file = re.search(r"['\"]([^'\"]+\.parquet)['\"]", text)
    if file is not None:
        name = re.sub(r"\[([*?\[\]])\]", r"\1", file[1])
        return DataError(f"{name}: missing, or no whole Parquet file; delete it and run again")
    if type(error).__name__ == "IOException":
        return LkgragError(f"a file of the database cannot be read or written: {short(text)}")
    return None


@contextmanager
def open_duck(config: Limits, threads: int = 1, beside: Path | None = None) -> Iterator[Duck]:
    """Open a database in memory, and delete its files in the end.

    Args:
        config: limit and folder.
        threads: of the database.
        beside: folder of the temporary files where ``engine.temp`` names none; the system's by default.

    Raises:
        ConfigError: DuckDB is not installed, the limit is too small, or there is no such folder.
    """
    memory = memory_of(config)
    try:
        # Only here: most commands need no database.
        import duckdb  # noqa: F401
    except ImportError:
        raise ConfigError(MISSING) from None
    root = temp_root(config, beside)
    try:
        sweep_temporary(root or Path(tempfile.gettempdir()))
        # Under another name first: whoever sweeps there must not find it before it is locked.
        fresh = Path(tempfile.mkdtemp(prefix=FRESH, dir=root))
    except OSError as error:
        raise ConfigError(
            f"engine.temp={root}: cannot be written ({error.strerror}); name another folder"
        ) from error
    rest = memory - LIBRARIES
    temp = fresh.with_name(fresh.name.replace(FRESH, PREFIX, 1))
    with locked(fresh / LOCK, wait=False):
        fresh.rename(temp)
        yield from _connected(temp, rest, threads)


def _connected(temp: Path, rest: int, threads: int) -> Iterator[Duck]:
    """As :func:`open_duck`, with a folder that is held."""
    # Only here, as above.
    import duckdb

    memory = int(rest * DATABASE)
    connection = duckdb.connect(
        ":memory:",
        config={
            "threads": max(1, threads),
            "memory_limit": f"{memory}B",
            "temp_directory": str(temp / "spill"),
            # Nothing is fetched, and bars would tear the lines of progress.
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
        },
    )
    try:
        connection.execute("set enable_progress_bar = false")
        yield Duck(connection, memory, arrays_of(rest + LIBRARIES), temp)
    finally:
        connection.close()
        shutil.rmtree(temp, ignore_errors=True)


def sweep_temporary(folder: Path) -> None:
    """Delete what the databases of killed processes left in a folder: the files of those that nobody holds."""
    for path in folder.glob(f"{PREFIX}*"):
        with suppress(LkgragError, OSError), locked(path / LOCK, wait=False):
            shutil.rmtree(path, ignore_errors=True)


def known(values: NDArray) -> pa.Array:
    """An array for queries and their files: NaN becomes null.

    The files' statistics leave NaN out, so a query could take a block with NaN for one without.
    """
    # Only here: commands that need no table do not wait for Arrow.
    import pyarrow as pa

    return pa.array(values, from_pandas=True)


def quoted(text: str | Path) -> str:
    """A text as SQL writes it."""
    return "'" + str(text).replace("'", "''") + "'"


def parquet(files: Iterable[Path], is_numbered: bool = False) -> str:
    """Files as a table of a query, their rows in the order of the files.

    Args:
        files: all of one schema.
        is_numbered: whether there is a column ``file_row_number``, from 0 on in each file.
    """
    # A star or a bracket in a path would be a pattern.
    names = [re.sub(r"([*?\[\]])", r"[\1]", str(path)) for path in files]
    numbered = ", file_row_number = true" if is_numbered else ""
    return f"read_parquet([{', '.join(map(quoted, names))}]{numbered})"
