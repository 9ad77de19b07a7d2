"""Sums of a folder's files in its ``done.json``, so that a damaged file is found before it is read.

The sums are SHA-256 (FIPS 180-4). ``done.json`` also holds a sum of itself. Folders of older versions have no
sums: nothing is compared there.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable, Collection, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from lkgrag.errors import LkgragError
from lkgrag.utils.files import atomic, nan_to_none, read_json

#: Written last: a folder with it is complete.
DONE = "done.json"
#: Its keys for the sums of the files, by path, and for the sum of itself.
FILES, SEAL = "files", "sha256"
#: Files that are hashed at once; the hash needs no lock of the interpreter.
AT_ONCE = 4


def write_done(
    folder: Path, content: dict[str, Any] | None = None, files: Iterable[str] | None = None
) -> None:
    """Write ``done.json`` with the sums of files, atomically.

    Args:
        folder: the folder, whose other files are complete.
        content: plain values that ``done.json`` also holds.
        files: paths relative to the folder, with ``/``; by default all files in it that are not hidden.
    """
    names = sorted(walk(folder) if files is None else files)
    body = {**(content or {}), FILES: dict(zip(names, _hash_all(folder, names), strict=True))}
    # As JSON gives it back: the sum is one of the text.
    body = json.loads(json.dumps(nan_to_none(body)))
    with atomic(folder / DONE) as tmp:
        tmp.write_text(_seal(body), encoding="utf-8")


def find_damage(folder: Path, select: Callable[[str], bool] = lambda name: True) -> str | None:
    """Compare files with their sums in ``done.json``.

    Files without a sum are not compared, because they may have been written later.

    Args:
        folder: the folder.
        select: tells by its path, as in :func:`write_done`, whether a file is compared; by default all are.

    Returns:
        The first damaged file and what is wrong with it; None if there is none, or if there are no sums.

    Raises:
        OSError: the machine refuses to read a file.
    """
    sums = read_sums(folder)
    if isinstance(sums, str):
        return sums
    names = sorted(filter(select, sums))
    missing = [name for name in names if not (folder / name).is_file()]
    if missing:
        return f"{folder / missing[0]}: no such file"
    for name, found in zip(names, _hash_all(folder, names), strict=True):
        if found != sums[name]:
            return f"{folder / name}: broken, its SHA-256 is not the one in {DONE}"
    return None


def read_sums(folder: Path) -> dict[str, str] | str:
    """The sums in ``done.json`` by path; empty if it is of an older version, or not there.

    Returns:
        The sums, or what is wrong with ``done.json`` itself.
    """
    path = folder / DONE
    if not path.is_file():
        return {}
    try:
        body = read_json(path)
    except LkgragError as error:
        if isinstance(error.__cause__, OSError):
            raise error.__cause__ from None
        return str(error)
    if not isinstance(body, dict):
        return f"{path}: broken, it holds no object"
    if not body.keys() & {FILES, SEAL}:
        return {}
    sums = body.get(FILES)
    body.pop(SEAL, None)
    # Compared as bytes, so that a change which leaves all values as they are is found as well.
    if not isinstance(sums, dict) or _seal(body).encode() != path.read_bytes():
        return f"{path}: broken, its own SHA-256 differs"
    return sums


def find_extra(folder: Path) -> list[str]:
    """Paths of files that have no sum, although others have; hidden files do not count."""
    sums = read_sums(folder)
    if not isinstance(sums, dict) or not sums:
        return []
    return sorted(set(walk(folder)) - sums.keys())


def hash_file(path: Path) -> str:
    """SHA-256 of a file, as 64 hexadecimal digits."""
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _hash_all(folder: Path, names: Collection[str]) -> list[str]:
    """SHA-256 of files, in their order."""
    with ThreadPoolExecutor(AT_ONCE) as pool:
        return list(pool.map(lambda name: hash_file(folder / name), names))


def walk(folder: Path) -> Iterator[str]:
    """Paths of all files below a folder but ``done.json``; hidden ones, such as locks, are left out."""
    for place, folders, names in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        for name in names:
            path = (Path(place) / name).relative_to(folder).as_posix()
            if path != DONE and not name.startswith("."):
                yield path


def _seal(body: dict[str, Any]) -> str:
    """The text of ``done.json``: the body, and last the sum of the body."""
    seal = hashlib.sha256(json.dumps(body, sort_keys=True).encode()).hexdigest()
    text = json.dumps({**body, SEAL: seal}, indent=2, ensure_ascii=False)
    return text + "\n"
