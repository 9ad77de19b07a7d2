"""What the service bears: p50, p99 and requests a second of 1, 8 and 64 clients; a kill and a swap under load.

Every answer is compared with what :class:`lkgrag.Ranker` gives for the same user. The runs are taken from ``--root``,
and trained there if they are missing.
"""

from __future__ import annotations

import asyncio
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pandas as pd

from benchmarks.common import data_roots, say
from lkgrag.config.loading import load_config
from lkgrag.run.pipeline import train
from lkgrag.service.engine import to_json
from lkgrag.serving.ranker import Ranker
from lkgrag.utils.layout import RANKER

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

CLIENTS = (1, 8, 64)
#: Requests of a client count, of a kill or a swap, and with a language model.
REQUESTS = {1: 300, 8: 943, 64: 1886}
WITH_LM = 30
#: Seconds between two tries of a client, and until a service must answer.
AGAIN, PATIENCE = 0.1, 300.0
#: Two scores that differ by less are the same: a forward pass of several requests rounds in another order.
CLOSE = 1e-4


@dataclass
class Told:
    """What clients saw.

    Attributes:
        seconds: from each request to its answer, without tries that failed.
        answers: of each request, by its number; each must have one.
        retries: tries that failed.
        whole: seconds of all together.
    """

    seconds: list[float] = field(default_factory=list)
    answers: dict[int, list[bytes]] = field(default_factory=dict)
    retries: int = 0
    whole: float = 0.0

    def figures(self) -> dict[str, float]:
        """Milliseconds and requests a second."""
        p50, p99 = np.percentile(np.asarray(self.seconds) * 1000, [50, 99])
        return {
            "p50_ms": float(p50),
            "p99_ms": float(p99),
            "requests_a_second": len(self.seconds) / self.whole,
        }


class Client:
    """One connection that is kept: a client that costs little, since it shares the machine with the service."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def ask(self, body: bytes) -> tuple[int, bytes]:
        """Status and answer of a ranking.

        Raises:
            OSError: the service is not there, or ended in the midst.
        """
        if self._streams is None:
            self._streams = await asyncio.open_connection("127.0.0.1", self._port)
        reader, writer = self._streams
        head = (
            "POST /recommend HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(body)}\r\n\r\n"
        )
        writer.write(head.encode() + body)
        try:
            lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower().split("\r\n")
            headers = dict(line.split(": ", 1) for line in lines[1:] if line)
            answer = await reader.readexactly(int(headers["content-length"]))
        except asyncio.IncompleteReadError as error:
            raise ConnectionResetError("the answer was cut off") from error
        if headers.get("connection") == "close":
            self.close()
        return int(lines[0].split()[1]), answer

    def close(self) -> None:
        """Forget the connection."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


async def load(
    port: int, bodies: Sequence[bytes], clients: int, at: Callable[[int], None] = lambda done: None
) -> Told:
    """Let clients ask until every request has its answer; one that fails is tried again.

    Args:
        port: of the service.
        bodies: of the requests.
        clients: that ask at once.
        at: called with how many requests are answered.
    """
    told, numbers = Told(), iter(range(len(bodies)))

    async def work() -> None:
        client = Client(port)
        for number in numbers:
            begun = time.monotonic()
            while True:
                start = time.perf_counter()
                try:
                    status, answer = await client.ask(bodies[number])
                except OSError:
                    client.close()
                    status, answer = 0, b""
                if status == 200:
                    break
                if status not in (0, 503):
                    raise RuntimeError(f"{status}: {answer[:200]!r}")
                if time.monotonic() - begun > PATIENCE:
                    raise RuntimeError(f"no answer within {PATIENCE:.0f} s")
                told.retries += 1
                await asyncio.sleep(AGAIN)
            told.seconds.append(time.perf_counter() - start)
            told.answers.setdefault(number, []).append(answer)
            at(len(told.seconds))
        client.close()

    start = time.perf_counter()
    await asyncio.gather(*(work() for _ in range(clients)))
    told.whole = time.perf_counter() - start
    return told


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


def body_of(user: str) -> bytes:
    """The request of a user's ranking."""
    return json.dumps({"user": user}).encode()


def truth(ranker: Ranker, users: Sequence[str]) -> dict[str, bytes]:
    """The answers that are right, by user: each from a call of its own."""
    return {user: to_json(ranker.recommend_users([user])[0]) for user in users}


def is_same(found: Any, expected: Any) -> bool:
    """Whether two answers are the same up to the rounding of their numbers."""
    if isinstance(expected, float) and isinstance(found, float):
        return abs(found - expected) < CLOSE
    if isinstance(expected, dict):
        return (
            isinstance(found, dict)
            and found.keys() == expected.keys()
            and all(is_same(found[key], value) for key, value in expected.items())
        )
    if isinstance(expected, list):
        return (
            isinstance(found, list)
            and len(found) == len(expected)
            and all(map(is_same, found, expected))
        )
    return bool(found == expected)


def compare(told: Told, users: Sequence[str], *right: dict[str, bytes]) -> dict[str, int]:
    """Count what became of the requests.

    Args:
        told: of the clients.
        users: of each request.
        right: answers by user, of the ranker before and of the one after a swap.

    Returns:
        Requests, those with no answer and with several, answers that are wrong, equal bit by bit to the first or to
        the second ranker's, or up to rounding.
    """
    counts: Counter[str] = Counter(dict.fromkeys(("lost", "twice", "wrong", "rounded"), 0))
    counts["requests"] = len(users)
    for number, user in enumerate(users):
        answers = told.answers.get(number, [])
        counts["lost"] += not answers
        counts["twice"] += len(answers) > 1
        for answer in answers:
            counts[_verdict(answer, [of[user] for of in right])] += 1
    return dict(counts)


def _verdict(answer: bytes, right: list[bytes]) -> str:
    names = ("equal", "equal_to_new")
    for name, expected in zip(names, right, strict=False):
        if answer == expected:
            return name
    found = json.loads(answer)
    return "rounded" if any(is_same(found, json.loads(r)) for r in right) else "wrong"


def find_run(root: Path, name: str, options: dict[str, str]) -> Path:
    """A finished run; it is trained if it is missing."""
    folder = root / name
    if not (folder / RANKER).is_dir():
        say(f"service: train {folder}")
        roots = data_roots()
        where = {"data.root": roots["ml-100k"]} if "ml-100k" in roots else {}
        train(load_config({**options, **where, "out": str(folder)}))
    return folder


def measure(root: Path, quick: bool = False) -> dict[str, Any]:
    """All parts.

    Args:
        root: of the runs.
        quick: a tenth of the requests, and no language model.
    """
    run = find_run(root, "ml-100k", {"preset": "quick", "data.name": "ml-100k"})
    busy = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    note = f"other work on the machine at the start: a load average of {busy:.1f}"
    result = {"note": note, **measure_run(run, 0.1 if quick else 1.0)}
    if not quick:
        with_lm = find_run(root, "ml-100k-lm", {"data.name": "ml-100k"})
        result["with_lm"] = measure_lm(with_lm, WITH_LM)
    return result


def measure_run(run: Path, share: float = 1.0) -> dict[str, Any]:
    """A run without a language model: load, what sharing a forward pass gives, a kill, a swap.

    Args:
        run: its folder.
        share: of the requests.
    """
    ranker = Ranker.from_pretrained(run, "cpu", "never")
    users = ranker.users()
    right = truth(ranker, users)
    result: dict[str, Any] = {"load": {}, "one_at_a_time": {}}
    for part, options in (("load", ()), ("one_at_a_time", ("together=1",))):
        with served(run, "watch=0", "serving.lm=never", *options) as process:
            asyncio.run(load(process.port, [body_of(u) for u in users[:64]], 4))
            for clients in CLIENTS:
                asked = _turns(users, max(clients, int(REQUESTS[clients] * share)))
                before = process.cpu_seconds()
                told = asyncio.run(load(process.port, [body_of(u) for u in asked], clients))
                cpu = (process.cpu_seconds() - before) / len(asked) * 1000
                row = {**told.figures(), "cpu_ms_a_request": cpu, **compare(told, asked, right)}
                result[part][str(clients)] = row
                say(f"service, {part}, {clients}: {row}")
    result["kill"] = _kill(run, users, right)
    say(f"service, kill: {result['kill']}")
    with tempfile.TemporaryDirectory() as folder:
        result["swap"] = _swap(run, Path(folder) / "run", users, right)
    say(f"service, swap: {result['swap']}")
    return result


def measure_lm(run: Path, requests: int) -> dict[str, Any]:
    """One client of a run with its language model."""
    ranker = Ranker.from_pretrained(run, "cpu", "always")
    users = ranker.users()[:requests]
    right = truth(ranker, users)
    with served(run, "watch=0", "serving.lm=always") as process:
        asyncio.run(load(process.port, [body_of(u) for u in users[:3]], 1))
        before = process.cpu_seconds()
        told = asyncio.run(load(process.port, [body_of(u) for u in users], 1))
        cpu = (process.cpu_seconds() - before) / len(users) * 1000
    return {**told.figures(), "cpu_ms_a_request": cpu, **compare(told, users, right)}


def _turns(users: Sequence[str], number: int) -> list[str]:
    return [users[n % len(users)] for n in range(number)]


def _kill(run: Path, users: Sequence[str], right: dict[str, bytes]) -> dict[str, Any]:
    """Every user's ranking once, while the process is killed and started again after a third."""
    with served(run, "watch=0", "serving.lm=never") as process:
        third = len(users) // 3

        def kill(done: int) -> None:
            if done == third:
                process.kill()
                process.start()

        told = asyncio.run(load(process.port, [body_of(u) for u in users], 8, kill))
    return {"retries": told.retries, **compare(told, users, right)}


def _swap(run: Path, copy: Path, users: Sequence[str], right: dict[str, bytes]) -> dict[str, Any]:
    """Rankings without end, while the run is updated; afterwards all are of the new ranker."""
    shutil.copytree(run, copy)
    with served(copy, "watch=1", "serving.lm=never") as process:
        asked: list[str] = []
        told = Told()
        updating = _start_update(copy)
        end = time.monotonic() + PATIENCE
        rounds_after = 0
        # Two more rounds after the update: the service has looked, loaded and exchanged it by then.
        while rounds_after < 2:
            part = _turns(users, 400)
            one = asyncio.run(load(process.port, [body_of(u) for u in part], 8))
            told.answers.update({len(asked) + n: a for n, a in one.answers.items()})
            told.retries += one.retries
            asked += part
            has_new = _digest(process.port) != _digest_of(run)
            rounds_after += has_new
            if time.monotonic() > end:
                raise RuntimeError("the new ranker was not taken")
        if updating.wait(PATIENCE) != 0:
            raise RuntimeError("the update failed")
    new = truth(Ranker.from_pretrained(copy, "cpu", "never"), users)
    return {"retries": told.retries, **compare(told, asked, right, new)}


def _start_update(run: Path) -> subprocess.Popen[bytes]:
    """Add a user by ``lkgrag.update`` in a process of its own."""
    ids = Ranker.from_pretrained(run, "cpu", "never").context.catalogue.ids[:5]
    new = run.with_name("new.csv")
    pd.DataFrame({"user": "newcomer", "item": ids, "timestamp": range(5)}).to_csv(new, index=False)
    line = [sys.executable, "-m", "lkgrag.update", f"run={run}", f"data.root={new}"]
    line += ["data.reader=table", "unchosen=false"]
    return subprocess.Popen(line, stdout=subprocess.DEVNULL, env=os.environ)


def _digest(port: int) -> str:
    """The digest that the service tells of its ranker."""
    # Only here: nothing else needs a whole client.
    from urllib.request import urlopen

    with urlopen(f"http://127.0.0.1:{port}/readyz", timeout=60) as response:
        return str(json.load(response)["ranker"])


def _digest_of(run: Path) -> str:
    from lkgrag.service.served import digest_of

    return str(digest_of(run / RANKER))


def table(result: dict[str, Any]) -> str:
    """The table of the docs."""
    lines = [
        "| clients | p50, ms | p99, ms | requests a second | together=1 | processor, ms a request | together=1 |",
        "|---:|---:|---:|---:|---:|---:|---:|",
    ]
    for clients, row in result["load"].items():
        alone = result["one_at_a_time"][clients]
        cells = [f"{row[name]:,.0f}" for name in ("p50_ms", "p99_ms", "requests_a_second")]
        cells += [f"{alone['requests_a_second']:,.0f}"]
        cells += [f"{r['cpu_ms_a_request']:.1f}" for r in (row, alone)]
        lines.append(f"| {clients} | {' | '.join(cells)} |")
    if "with_lm" in result:
        row = result["with_lm"]
        cells = [f"{row[name]:,.0f}" for name in ("p50_ms", "p99_ms")]
        cells += [f"{row['requests_a_second']:.1f}", "–", f"{row['cpu_ms_a_request']:.0f}", "–"]
        lines.append(f"| 1, language model | {' | '.join(cells)} |")
    return "\n".join(lines)
