"""The server: uvicorn with one-line refusals, an end that loses no request, and a patience with slow clients."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import json
import logging
import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any

import h11
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from lkgrag.errors import ConfigError
from lkgrag.service.guard import MOST_HEADERS

if TYPE_CHECKING:
    from starlette.types import ASGIApp

    from lkgrag.service.state import Service

#: Seconds that a connection may be idle, and that the headers of a request may take.
IDLE, HEADERS = 75, 10
#: Connections at once: each takes one of the files that a process may open, of which there are often 1024.
CONNECTIONS = 800
BUSY = (
    b"HTTP/1.1 503 Service Unavailable\r\nContent-Type: application/json\r\nContent-Length: 47\r\n"
    b"Retry-After: 1\r\nConnection: close\r\n\r\n"
    b'{"error": "the service has no connection left"}'
)
#: Connections that wait to be taken, and seconds beyond a request's at the end.
BACKLOG, GRACE = 1024, 5


class Protocol(H11Protocol):
    """HTTP/1.1 that refuses by one line of JSON, and that does not wait for ever for a request's headers."""

    _waiting: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Take a connection."""
        super().connection_made(transport)
        if len(self.connections) > CONNECTIONS:
            transport.write(BUSY)
            transport.close()
        self._start_waiting()

    def data_received(self, data: bytes) -> None:
        """Take a part of a request; from its first byte on, its headers have so many seconds."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop_waiting()
        else:
            self._start_waiting()

    def on_response_complete(self) -> None:
        """Go on with the next request, whose first bytes may have come with those of the last one."""
        super().on_response_complete()
        if (
            self._waiting is None
            and self.conn.their_state is h11.IDLE
            and self.conn.trailing_data[0]
        ):
            self._start_waiting()

    def connection_lost(self, exc: Exception | None) -> None:
        """Forget a connection."""
        self._stop_waiting()
        super().connection_lost(exc)

    def _start_waiting(self) -> None:
        if self._waiting is None:
            self._waiting = self.loop.call_later(HEADERS, self._give_up)

    def _stop_waiting(self) -> None:
        if self._waiting is not None:
            self._waiting.cancel()
            self._waiting = None

    def _give_up(self) -> None:
        self._waiting = None
        if self.conn.their_state is h11.IDLE and not self.transport.is_closing():
            self.send_400_response("no request came in time")

    def send_400_response(self, msg: str) -> None:
        """Refuse what is not HTTP; an answer that has begun is cut off instead."""
        content = json.dumps({"error": f"{msg.rstrip('.')}; this service speaks HTTP/1.1"}).encode()
        headers = [
            (b"content-type", b"application/json"),
            (b"content-length", str(len(content)).encode()),
            (b"x-content-type-options", b"nosniff"),
            (b"connection", b"close"),
        ]
        parts: list[Any] = [
            h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
            h11.Data(data=content),
            h11.EndOfMessage(),
        ]
        if self.cycle is not None and not self.cycle.response_complete:
            # The request that is answered lost its end.
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        with contextlib.suppress(h11.LocalProtocolError):
            for part in parts:
                self.transport.write(self.conn.send(part) or b"")
        self.transport.close()


class Server(uvicorn.Server):
    """A server that ends with success after a signal.

    Args:
        config: of uvicorn.
        stop: called when the first signal comes.
    """

    def __init__(self, config: uvicorn.Config, stop: Callable[[], object]) -> None:
        super().__init__(config)
        self._stop = stop

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Refuse new requests; a second Ctrl-C does not wait for those that are answered."""
        self._stop()
        super().handle_exit(sig, frame)

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Handle signals within the block, and do not repeat them after it."""
        if threading.current_thread() is not threading.main_thread():
            # Only the main thread can.
            yield
            return
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.handle_exit) for number in numbers}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def resolve(host: str) -> tuple[str, bool]:
    """The address of a host, and whether it is this machine alone.

    Raises:
        ConfigError: there is no such host.
    """
    try:
        found = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ConfigError(
            f"host={host}: no address of this machine ({error}); take 127.0.0.1, or 0.0.0.0 for all"
        ) from None
    address = str(found[0][4][0])
    return address, ipaddress.ip_address(address.partition("%")[0]).is_loopback


def bind(address: str, port: int) -> socket.socket:
    """A socket that does not listen yet, so that a port in use is known before a ranker is loaded.

    Args:
        address: of :func:`resolve`.
        port: 0 for any that is free.

    Raises:
        ConfigError: the port is in use, or may not be used.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    # asyncio sets TCP_NODELAY only on sockets that name their protocol; without it, an answer of two parts waits for the
    # client's delayed acknowledgement, some 40 ms.
    listener = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    if os.name == "posix":
        # The port of a server that was killed is free at once.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((address, port))
    except OSError as error:
        listener.close()
        raise _refused(address, port, error) from None
    return listener


def _refused(address: str, port: int, error: OSError) -> ConfigError:
    if error.errno == errno.EADDRINUSE:
        advice = "it is in use; end what uses it, or choose another port="
    elif error.errno == errno.EACCES:
        advice = "this user may not use it; choose a port= from 1024 on"
    else:
        advice = f"{os.strerror(error.errno or 0)}; choose another host= or port="
    return ConfigError(f"port {port} of {address}: {advice}")


def listen(listener: socket.socket) -> str:
    """Let a socket listen; returns its address for a browser.

    Raises:
        ConfigError: another process listens there since :func:`bind`.
    """
    address, port = listener.getsockname()[:2]
    try:
        listener.listen(BACKLOG)
    except OSError as error:
        listener.close()
        raise _refused(address, port, error) from None
    return f"http://{f'[{address}]' if ':' in address else address}:{port}/"


def build_server(app: ASGIApp, service: Service) -> Server:
    """A server that answers by an application.

    Args:
        app: that answers.
        service: told of the end.
    """
    # The application says in one line what goes wrong.
    logging.getLogger("uvicorn").setLevel(logging.CRITICAL)
    config = uvicorn.Config(
        app,
        loop="asyncio",
        http=Protocol,
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,
        proxy_headers=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=IDLE,
        h11_max_incomplete_event_size=MOST_HEADERS,
        timeout_graceful_shutdown=service.limits.seconds + GRACE,
    )

    def stop() -> None:
        service.is_stopping = True

    return Server(config, stop)


def serve(app: ASGIApp, service: Service, listener: socket.socket) -> None:
    """Answer until a signal comes; requests that are being answered are finished.

    Args:
        app: that answers.
        service: told of the end.
        listener: of :func:`listen`.
    """
    build_server(app, service).run(sockets=[listener])
    service.close()
