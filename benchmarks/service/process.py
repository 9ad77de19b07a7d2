"""A service in a process of its own, which can be killed and started again."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.service.clients import AGAIN, PATIENCE

if TYPE_CHECKING:
    from collections.abc import Iterator


class Process:
    """A service in a process of its own.

    Args:
        run: folder of the run.
        options: further ones of the command.
    """

    def __init__(self, run: Path, *options: str) -> None:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = int(free.getsockname()[1])
        self._line = [sys.executable, "-m", "lkgrag.serve", f"run={run}", f"port={self.port}"]
        self._line += options
        self.start()

    def start(self) -> None:
        """Start it on its port; it is ready later."""
        self._process = subprocess.Popen(self._line, stdout=subprocess.DEVNULL)

    def wait_ready(self) -> None:
        """Wait until it listens.

        Raises:
            RuntimeError: it has ended, or takes too long.
        """
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end and self._process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(AGAIN)
        raise RuntimeError("the service does not start")

    def cpu_seconds(self) -> float:
        """Seconds of processor time that it has used; NaN where the system does not tell."""
        stat = Path(f"/proc/{self._process.pid}/stat")
        if not stat.exists():
            return float("nan")
        # After the name, which may hold spaces: user and system time are the 12th and 13th value.
        user, system = stat.read_text().rpartition(")")[2].split()[11:13]
        return (int(user) + int(system)) / os.sysconf("SC_CLK_TCK")

    def kill(self) -> None:
        """End it at once, as a lack of memory would."""
        self._process.kill()
        self._process.wait()

    def stop(self) -> None:
        """End it as an operator does.

        Raises:
            RuntimeError: it does not end with success.
        """
        self._process.send_signal(signal.SIGTERM)
        if self._process.wait(PATIENCE) != 0:
            raise RuntimeError("the service did not end with success")


@contextmanager
def served(run: Path, *options: str) -> Iterator[Process]:
    """A service that is ready, and that ends with success."""
    process = Process(run, *options)
    try:
        process.wait_ready()
        yield process
        process.stop()
    finally:
        process.kill()
