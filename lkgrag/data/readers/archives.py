"""ZIP archives of whole data sets: unpacked once, to the cache of this package."""

from __future__ import annotations

import hashlib
import shutil
import zipfile
import zlib
from pathlib import Path

from lkgrag.data.assets.fetching import cache_root, complete_folder
from lkgrag.data.readers.packed import members
from lkgrag.errors import AssetError, DataError

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
            with complete_folder(folder) as new:
                for path in archives:
                    _unpack_one(path, new)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, RuntimeError) as error:
        raise DataError(
            f"{path}: a broken or locked ZIP archive ({error}); fetch it again, or unpack it by hand"
        ) from None
    except AssetError as error:
        raise DataError(f"{path}: cannot be unpacked: {error}") from None
    except OSError as error:
        raise DataError(
            f"{path}: cannot be read ({error.strerror or error}); check its permissions"
        ) from None
    return folder


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
