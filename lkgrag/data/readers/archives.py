"""ZIP archives of whole data sets: unpacked once, to the cache of this package."""

from __future__ import annotations

import hashlib
import os
import shutil
import tempfile
import zipfile
import zlib
from pathlib import Path

from lkgrag.data.assets.fetching import cache_root
from lkgrag.data.readers.packed import members
from lkgrag.errors import DataError

#: Folder of the cache.
UNPACKED = "unpacked"


def unpack(archives: list[Path]) -> Path:
    """The folder with the files of archives; those of several archives lie in one folder.

    The folder's name depends on names, sizes and checksums of what is inside, so other archives never meet it.

    Raises:
        DataError: an archive is broken or locked, two files have one name, or the cache cannot be written.
    """
    try:
        sha = hashlib.sha256()
        for path in archives:
            with zipfile.ZipFile(path) as archive:
                for m in members(archive):
                    sha.update(f"{m.filename}\0{m.file_size}\0{m.CRC}\n".encode())
        folder = cache_root() / UNPACKED / sha.hexdigest()[:24]
        if not folder.is_dir():
            folder.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=folder.parent, prefix=".unpack-") as tmp:
                new = Path(tmp) / "content"
                new.mkdir()
                for path in archives:
                    _unpack_one(path, new)
                _put_in_place(new, folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(
            f"{path}: a broken or locked ZIP archive ({error}); fetch it again, or unpack it by hand"
        ) from None
    except OSError as error:
        raise DataError(
            f"{path}: cannot be unpacked to {cache_root() / UNPACKED} ({error.strerror or error}); free space, set "
            "LKGRAG_CACHE to another folder, or unpack it by hand"
        ) from None
    return folder


def _put_in_place(new: Path, folder: Path) -> None:
    """Rename a complete folder; if another process was faster, its folder is the same."""
    try:
        os.rename(new, folder)
    except OSError:
        if not folder.is_dir():
            raise


def _unpack_one(path: Path, folder: Path) -> None:
    with zipfile.ZipFile(path) as archive:
        for m in members(archive):
            # No part of a name may lead elsewhere.
            parts = [
                p for p in Path(m.filename.replace("\\", "/")).parts if p not in ("/", "..", ".")
            ]
            target = folder.joinpath(*parts)
            if target.exists():
                raise DataError(
                    f"{path}: {m.filename} is in another archive too; leave one of them"
                )
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(m) as source, open(target, "wb") as file:
                shutil.copyfileobj(source, file, 1 << 20)
