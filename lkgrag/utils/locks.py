"""Locks of folders, and how a locked folder is emptied."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lkgrag.errors import LkgragError, RunError


def clear(folder: Path, first: str = "", last: str = "") -> None:
    """Delete everything in a folder except its lock.

    Args:
        folder: the folder to empty.
        first: the entry to delete first, because it says that the others are complete.
        last: the entry to delete last, because it shows that this package wrote the folder.
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
    """Hold an exclusive lock, which the system releases when the process ends, even if it is killed.

    Args:
        path: the file that stands for the lock.
        wait: whether to wait while another process holds it.
        what: the thing that is locked, for messages.

    Raises:
        RunError: another running process holds the lock, and ``wait`` is False.
        LkgragError: the file cannot be written.
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
        except OSError as error:
            raise LkgragError(
                f"cannot lock {path}: {error.strerror}; the file system of a shared folder must lock files (NFS 4 does), "
                "or choose another out= and cache.root="
            ) from error
        os.ftruncate(handle, 0)
        os.pwrite(handle, f"pid {os.getpid()}".encode(), 0)
        yield
    finally:
        os.close(handle)
