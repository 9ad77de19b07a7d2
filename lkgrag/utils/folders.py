"""A folder that is replaced as a whole: whoever looks, and whatever is killed, finds the old or the new one."""

from __future__ import annotations

import ctypes
import os
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

#: Of the system's calls that exchange two names: the flag, and the folder that paths are relative to.
LINUX_EXCHANGE, MAC_SWAP, HERE = 2, 2, -100


@contextmanager
def replaced_folder(folder: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``folder``, and put it in its place if the block succeeds.

    What a killed process left behind is put right first.

    Raises:
        OSError: the folder cannot be written.
    """
    part, old = _beside(folder, "part"), _beside(folder, "old")
    restore_folder(folder)
    for leftover in (part, old):
        shutil.rmtree(leftover, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        yield part
    except BaseException:
        shutil.rmtree(part, ignore_errors=True)
        raise
    if not folder.exists():
        os.replace(part, folder)
        return
    if not exchange(part, folder):
        # Killed between the two, restore_folder finds the old one.
        os.replace(folder, old)
        os.replace(part, folder)
    for leftover in (part, old):
        shutil.rmtree(leftover, ignore_errors=True)


def restore_folder(folder: Path) -> None:
    """Put a folder back that a process was about to replace when it was killed; nothing where it is there."""
    old = _beside(folder, "old")
    if old.is_dir() and not folder.exists():
        os.replace(old, folder)


def _beside(folder: Path, word: str) -> Path:
    return folder.with_name(f".{folder.name}.{word}")


def exchange(one: Path, other: Path) -> bool:
    """Exchange the names of two folders in one step; False where the system or the disk cannot."""
    try:
        library = ctypes.CDLL(None, use_errno=True)
        names = os.fsencode(one), os.fsencode(other)
        if sys.platform == "darwin":
            return bool(library.renamex_np(*names, MAC_SWAP) == 0)
        return bool(library.renameat2(HERE, names[0], HERE, names[1], LINUX_EXCHANGE) == 0)
    except (AttributeError, OSError, TypeError):
        return False
