"""Files that may be packed: plain, gzipped, or alone in a ZIP archive; and what a file without text is."""

from __future__ import annotations

import gzip
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, cast

from lkgrag.errors import DataError

#: What a name may end in beside its own suffix.
PACKINGS = ("", ".gz", ".zip")
GZIP = b"\x1f\x8b"
#: First bytes of files that hold no text, and what to do with them.
KINDS = (
    (b"PAR1", "this is a Parquet file; name it .parquet"),
    (b"PK\x03\x04", "this is a ZIP archive or a workbook of Excel; unpack it, or save it as CSV"),
    (b"\xd0\xcf\x11\xe0", "this is a workbook of Excel; save it as CSV"),
    (b"SQLite format 3", "this is a data base of SQLite; export its tables as CSV"),
    (b"ARROW1", "this is an Arrow file; name it .arrow"),
    (b"BZh", "this is a bzip2 file; unpack it by: bunzip2 FILE"),
    (b"\xfd7zXZ", "this is an xz file; unpack it by: unxz FILE"),
    (b"\x28\xb5\x2f\xfd", "this is a Zstandard file; unpack it by: unzstd FILE"),
)


def existing(path: Path) -> Path:
    """The file of this name, plain or packed; the plain name where there is none."""
    found = (path.with_name(path.name + packing) for packing in PACKINGS)
    return next((file for file in found if file.is_file()), path)


def unpacked_name(path: Path) -> str:
    """The file's name without ``.gz`` or ``.zip``."""
    return path.name.removesuffix(".gz").removesuffix(".zip")


def members(archive: zipfile.ZipFile) -> list[zipfile.ZipInfo]:
    """The files of an archive, without those that a system adds for itself."""
    return [
        m
        for m in archive.infolist()
        if not m.is_dir()
        and not m.filename.startswith("__MACOSX/")
        and not m.filename.rpartition("/")[2].startswith(".")
    ]


@contextmanager
def open_binary(path: Path) -> Iterator[IO[bytes]]:
    """Open a file for reading; a packed one is unpacked on the way.

    Raises:
        DataError: a ZIP archive is broken, or holds several files.
        OSError: as :func:`open` and :mod:`gzip`.
    """
    with open(path, "rb") as raw:
        head = raw.read(2)
        raw.seek(0)
        if path.suffix == ".gz" or head == GZIP:
            with gzip.GzipFile(fileobj=raw) as file:
                yield cast("IO[bytes]", file)
        elif path.suffix == ".zip":
            try:
                with zipfile.ZipFile(raw) as archive:
                    inside = members(archive)
                    if len(inside) != 1:
                        raise DataError(
                            f"{path}: holds {len(inside)} files where one is read; unpack it"
                        )
                    with archive.open(inside[0]) as member:
                        yield member
            except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
                raise DataError(
                    f"{path}: a broken or locked ZIP archive ({error}); fetch it again, or unpack it"
                ) from None
        else:
            yield raw


def refuse_other_text(path: Path, head: bytes) -> None:
    """Refuse what is no UTF-8 text with lines, by the first bytes of a file.

    Raises:
        DataError: UTF-16 or UTF-32, lines that end with CR alone, or a well-known binary file; the message
            holds the command that converts.
    """
    convert = f"convert it by: iconv -f %s -t UTF-8 {path.name} > NEW"
    if head[:4] in (b"\xff\xfe\0\0", b"\0\0\xfe\xff"):
        raise DataError(f"{path}: line 1: UTF-32 text, not UTF-8; {convert % 'UTF-32'}")
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise DataError(f"{path}: line 1: UTF-16 text, not UTF-8; {convert % 'UTF-16'}")
    for magic, words in KINDS:
        if head.startswith(magic):
            raise DataError(f"{path}: line 1: no text: {words}")
    even, odd = head[:64:2], head[1:64:2]
    for name, zeros, letters in (("UTF-16LE", odd, even), ("UTF-16BE", even, odd)):
        if len(head) >= 4 and not any(zeros) and all(letters):
            raise DataError(f"{path}: line 1: {name} text, not UTF-8; {convert % name}")
    line = head.partition(b"\n")[0].rstrip(b"\r")
    if b"\r" in line:
        raise DataError(
            f"{path}: line 1: lines that end with CR alone, as on old Macs; convert it by: "
            f"tr '\\r' '\\n' < {path.name} > NEW"
        )
