"""Locks of folders, and their emptying."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lkgrag.errors import LkgragError, RunError


def clear(folder: Path, first: str = "", last: str = "") -> None:
    """Delete what is in a folder, but its lock.

    Args:
        folder: to be emptied.
        first: the entry that says that the rest is whole.
        last: the entry by which the folder is known to be ours.
    """
    for entry in sorted(folder.iterdir(), key=lambda e: (e.name == last) - (e.name == first)):
        if entry.name == ".lock":
            continue
        if entry.is_dir() and not entry.is_symlink():
            shutil.rmtree(entry)
        else:
            entry.unlink()


@contextmanager
def locked(path: Path, wait: bool, what: str = "it") -> Iterator[None]:
    """Hold an exclusive lock that the system drops when the process dies, however it dies.

    Raises:
        RunError: another living process holds it and ``wait`` is False.
    """
    try:
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise LkgragError(
            f"cannot write {path}: {error.strerror}; choose another out= or cache.root="
        ) from error
    try:
        flags = fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB
        try:
            fcntl.flock(handle, flags)
        except BlockingIOError:
            holder = os.pread(handle, 32, 0).decode(errors="replace").strip()
            raise RunError(
                f"{what} is in use by a living process{f' ({holder})' if holder else ''}: "
                "wait for it, stop it, or choose another out="
            ) from None
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"pid {os.getpid()}".encode(), 0)
        yield
    finally:
        os.close(handle)
