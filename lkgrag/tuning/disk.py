"""The disk that the cached stages of losing trials take."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable
from pathlib import Path

from lkgrag.errors import LkgragError
from lkgrag.utils.layout import LOCK
from lkgrag.utils.locks import clear, locked
from lkgrag.utils.sums import DONE

log = logging.getLogger(__name__)
GIGABYTE = 1e9


def size_of(folder: Path) -> int:
    """Bytes of the files in a folder; a file that goes meanwhile counts 0."""
    total = 0
    for path in folder.rglob("*"):
        try:
            total += path.stat().st_size if path.is_file() and path.name != LOCK else 0
        except OSError:
            continue
    return total


def free_losers(built: Iterable[Path], kept: Collection[Path], gigabytes: float) -> int:
    """Empty cached stages that the study made, until the rest is small enough; the oldest go first.

    Args:
        built: folders of stages that its trials made.
        kept: those of the best trial and of the defaults, which stay.
        gigabytes: that all others may keep.

    Returns:
        The number of bytes that were freed. A stage that a process uses at the moment stays.
    """
    # Of a trial that ended early there may be a checkpoint without an end.
    losers = [x for x in dict.fromkeys(built) if x not in kept and x.is_dir()]
    ages = {x: (x / DONE if (x / DONE).is_file() else x).stat().st_mtime for x in losers}
    sizes = {folder: size_of(folder) for folder in losers}
    total, freed = sum(sizes.values()), 0
    for folder in sorted(losers, key=ages.__getitem__):
        if total - freed <= gigabytes * GIGABYTE:
            break
        try:
            with locked(folder / LOCK, wait=False):
                clear(folder, first=DONE)
        except (LkgragError, OSError) as error:
            log.debug("%s stays: %s", folder, error)
            continue
        freed += sizes[folder]
    return freed
