"""Clients that ask a service for rankings until each request has its answer."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Seconds between two tries, and until a service must answer.
AGAIN, PATIENCE = 0.1, 300.0


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


def body_of(user: str) -> bytes:
    """The request of a user's ranking."""
    return json.dumps({"user": user}).encode()


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
