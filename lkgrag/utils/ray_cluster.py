"""Ray clusters: one of this machine that is ended again, or one that runs already; and what its workers need."""

from __future__ import annotations

import logging
import os
import re
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout, suppress
from pathlib import Path
from types import ModuleType
from typing import Any

from lkgrag.errors import ConfigError, LkgragError, RunError, short
from lkgrag.utils import ray_worker
from lkgrag.utils.files import atomic
from lkgrag.utils.locks import locked

MISSING = 'engine=ray: Ray is not installed: pip install "lkgrag[ray]"'
#: Beginning of the names of folders of this machine's clusters, and the file that is held while one runs.
PREFIX, LOCK = "lkgrag-ray-", ".lock"
#: Longest folder: the paths of Ray's sockets in it must stay below the system's limit of 107 bytes.
LONGEST = 20
#: Bytes of a cluster's shared memory, Ray's least: nothing large is passed between processes.
STORE = 80 * 1024**2
#: Seconds for the first answer of a cluster's port, and for that of Ray itself.
REACH, ANSWER = 10.0, 60.0
#: How often a folder is deleted until it is gone, and the seconds between.
TRIES, PAUSE = 10, 0.2
#: Ray reads these when it is imported: nothing is reported to anyone, and its lines do not tear ours.
QUIET = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",
    "RAY_DEDUP_LOGS": "0",
}
_ADDRESS = re.compile(r"(ray://)?(\[[0-9a-fA-F:.]+\]|[^\s:/\[\]]+):(\d{1,5})")


def import_ray() -> ModuleType:
    """Ray, quiet.

    Raises:
        ConfigError: it is not installed.
    """
    for name, value in QUIET.items():
        os.environ.setdefault(name, value)
    try:
        # Only here: it belongs to an extra.
        import ray
    except ImportError:
        raise ConfigError(MISSING) from None
    return ray


def check_address(address: str) -> tuple[str, int] | None:
    """The host and the port of an address; None for ``auto``.

    Args:
        address: ``auto``, ``HOST:PORT`` or ``ray://HOST:PORT``.

    Raises:
        ConfigError: it is none of these.
    """
    if address == "auto":
        return None
    found = _ADDRESS.fullmatch(address)
    if found is None or not 0 < int(found[3]) < 2**16:
        raise ConfigError(
            f"option 'address': {short(address)!r} is no address of a cluster: write auto, HOST:PORT or "
            "ray://HOST:PORT"
        )
    return found[2].strip("[]"), int(found[3])


@contextmanager
def open_cluster(address: str | None, cpus: int) -> Iterator[ModuleType]:
    """Start a cluster on this machine, or connect to one; in the end it is left, and ours is ended.

    Args:
        address: of a cluster, as :func:`check_address` takes it; None for one on this machine.
        cpus: of a cluster on this machine.

    Yields:
        The module ``ray``, connected.

    Raises:
        ConfigError: Ray is not installed, or the address is none.
        RunError: the cluster does not start, cannot be reached, or has another version of Ray or Python.
    """
    ray = import_ray()
    with open(os.devnull, "w", encoding="utf-8") as nowhere, redirect_stdout(nowhere):
        # A thread of Ray prints what it knows of lost workers, whatever it is told.
        yield from _open(ray, address, cpus)


def _open(ray: ModuleType, address: str | None, cpus: int) -> Iterator[ModuleType]:
    """As :func:`open_cluster`, not quiet."""
    # Lines of workers stay in Ray's files.
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.CRITICAL}
    if address is not None:
        _reach(address)
        with _left(ray):
            _start(ray, f"at address={address}", address=address, **options)
            yield ray
        return
    with _own_folder() as folder, _left(ray):
        own: dict[str, Any] = {
            "num_gpus": 0,
            "include_dashboard": False,
            "object_store_memory": STORE,
        }
        # Not by RAY_ADDRESS, which would connect to another cluster.
        options |= {**own, "address": "local", "num_cpus": cpus, "_temp_dir": str(folder)}
        _start(ray, "on this machine", **options)
        yield ray


def _start(ray: ModuleType, where: str, **options: object) -> None:
    """Start or connect.

    Raises:
        RunError: that fails, however Ray says so.
    """
    try:
        with warnings.catch_warnings():
            # The error says the same.
            warnings.simplefilter("ignore")
            ray.init(**options)
    except (Exception, SystemExit) as error:
        raise RunError(
            f"Ray's cluster {where} does not answer ({short(str(error)) or type(error).__name__}): "
            "check it by `ray status`, or leave address= out for workers on this machine"
        ) from error


@contextmanager
def _left(ray: ModuleType) -> Iterator[None]:
    """Leave the cluster after the block; one that this process started ends."""
    try:
        yield
    finally:
        # A broken connection must not hide why the block ended.
        with suppress(Exception):
            ray.shutdown()


@contextmanager
def _own_folder() -> Iterator[Path]:
    """A folder for a cluster of this machine, without those that killed processes left behind."""
    root = Path(tempfile.gettempdir())
    if len(str(root)) > LONGEST:
        root = Path("/tmp")
    for path in root.glob(f"{PREFIX}*"):
        with suppress(LkgragError, OSError), locked(path / LOCK, wait=False):
            _remove(path)
    folder = Path(tempfile.mkdtemp(prefix=PREFIX, dir=root))
    try:
        with locked(folder / LOCK, wait=False):
            # Ray opens its own folder to everyone.
            (folder / "r").mkdir()
            yield folder / "r"
    finally:
        _remove(folder)


def _remove(folder: Path) -> None:
    """Delete a folder in which Ray's last processes may still write a line; what stays is deleted the next time."""
    for _ in range(TRIES):
        shutil.rmtree(folder, ignore_errors=True)
        if not folder.exists():
            return
        time.sleep(PAUSE)


def _reach(address: str) -> None:
    """Ask a cluster for a sign of life. Ray itself would wait for minutes, then end the process.

    Raises:
        RunError: there is none in time.
    """
    advice = "start it by `ray start --head`, or leave address= out for workers on this machine"
    place = check_address(address)
    if place is not None:
        try:
            socket.create_connection(place, timeout=REACH).close()
        except OSError as error:
            why = error.strerror or str(error)
            raise RunError(
                f"address={address}: no cluster can be reached there ({why}); {advice}"
            ) from error
    if address.startswith("ray://"):
        # Ray's client has a limit of its own.
        return
    line = [sys.executable, "-m", "ray.scripts.scripts", "health-check", "--skip-version-check"]
    try:
        answer = subprocess.run([*line, "--address", address], capture_output=True, timeout=ANSWER)
    except subprocess.TimeoutExpired:
        answer = None
    if answer is not None and b"AuthenticationError" in answer.stderr:
        raise RunError(
            f"address={address}: the cluster wants its token: set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN_PATH to the "
            "token's file if it is not ~/.ray/auth_token"
        )
    if answer is None or answer.returncode:
        raise RunError(f"address={address}: there is no cluster of Ray that answers; {advice}")


def count_places(ray: ModuleType, threads: int) -> int:
    """How many workers a cluster has CPUs for; at least 1.

    Args:
        ray: the module, connected.
        threads: of a worker.
    """
    return max(1, int(ray.cluster_resources().get("CPU", 0) // threads))


@contextmanager
def put_token(out: Path) -> Iterator[tuple[str, str]]:
    """A file in the folder of the results, by which a worker knows the folder: its name and its text."""
    text = secrets.token_hex(16)
    path = out / f".token-{text[:8]}.tmp"
    with atomic(path) as tmp:
        tmp.write_text(text, encoding="utf-8")
    try:
        yield path.name, text
    finally:
        path.unlink(missing_ok=True)


@contextmanager
def travelling(ray: ModuleType, *modules: ModuleType) -> Iterator[None]:
    """Send the classes of workers as code within the block, not as names in modules.

    Args:
        ray: the module.
        modules: of the classes, beside :mod:`~lkgrag.utils.ray_worker`.
    """
    registered = (ray_worker, *modules)
    for module in registered:
        ray.cloudpickle.register_pickle_by_value(module)
    try:
        yield
    finally:
        for module in registered:
            ray.cloudpickle.unregister_pickle_by_value(module)
