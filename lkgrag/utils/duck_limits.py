"""How much memory DuckDB may take, and where it puts what does not fit."""

from __future__ import annotations

from pathlib import Path
from typing import Protocol

from lkgrag.errors import ConfigError
from lkgrag.utils.files import user_path
from lkgrag.utils.memory import free_memory, parse_bytes

#: Least memory that counting needs: libraries, and one block of rows of each operator.
LEAST = 512 * 10**6
#: Memory of the libraries, which is there before anything is counted.
LIBRARIES = 300 * 10**6
#: Shares of the rest: the database, and the arrays that its results go into. What is left is for values of each item.
DATABASE, ARRAYS = 0.42, 0.33
#: Memory where the machine does not tell what is free.
UNKNOWN = 4 * 10**9
MISSING = 'engine.name=duckdb: DuckDB is not installed: pip install "lkgrag[large]"'


class Limits(Protocol):
    """Options of a database, as ``engine`` has them."""

    @property
    def memory(self) -> str | None:
        """Memory that queries and their results may take, in words."""

    @property
    def temp(self) -> str | None:
        """Folder for what does not fit into memory."""


def is_installed() -> bool:
    """Whether DuckDB can be imported."""
    try:
        # Only here: it belongs to an extra.
        import duckdb  # noqa: F401
    except ImportError:
        return False
    return True


def memory_of(config: Limits) -> int:
    """Bytes that queries and their results may take together.

    Raises:
        ConfigError: ``engine.memory`` is no amount, or less than :data:`LEAST`.
    """
    if config.memory is None:
        return max(LEAST, (free_memory() or 2 * UNKNOWN) // 2)
    memory = parse_bytes(config.memory, "engine.memory")
    if memory < LEAST:
        raise ConfigError(
            f"engine.memory={config.memory}: counting needs at least {LEAST // 10**6}MB; raise it"
        )
    return memory


def arrays_of(memory: int) -> int:
    """Bytes of :func:`memory_of` that a result may take outside of the database."""
    return int((memory - LIBRARIES) * ARRAYS)


def check_limits(config: Limits, is_needed: bool) -> None:
    """Refuse options by which :func:`open_duck` would fail later.

    Args:
        config: limit and folder.
        is_needed: whether there must be a database.

    Raises:
        ConfigError: the limit is too small, there is no such folder, or DuckDB is needed and not installed.
    """
    memory_of(config)
    temp_root(config, None)
    if is_needed and not is_installed():
        raise ConfigError(MISSING)


def temp_root(config: Limits, beside: Path | None) -> Path | None:
    """The folder of ``engine.temp``, or another one."""
    if config.temp is None:
        return beside
    root = user_path(config.temp, "engine.temp")
    if not root.is_dir():
        raise ConfigError(
            f"engine.temp={config.temp}: no such folder; make it, or name another one"
        )
    return root
