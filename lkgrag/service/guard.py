"""What stands before the API: who may ask, how much at once, how long, and which headers an answer has."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import ipaddress
import logging
import time
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from lkgrag.service.answers import refusal

if TYPE_CHECKING:
    from starlette.responses import Response
    from starlette.types import ASGIApp, Message, Receive, Scope, Send

    from lkgrag.service.state import Service

log = logging.getLogger(__name__)

#: Nothing from elsewhere, nothing inline, no frame around it.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
    "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
}
#: What a client without the token may read: it says nothing of the data.
OPEN = ("/healthz", "/readyz", "/openapi.json")
#: What answers at once, also when everything else is busy.
AT_ONCE = ("/healthz", "/readyz", "/metrics")
#: What may take longer than a request: a language model is loaded.
LONG = ("/reload",)
#: Versions of HTTP, and bytes of the headers of a request.
VERSIONS, MOST_HEADERS = ("1.0", "1.1"), 16_384
#: The status of requests whose client left before the answer, in the metrics, as web servers have it.
GONE = 499
#: The path of requests that no route has, in the metrics.
OTHER = "other"


class Guard:
    """Limits, the token, the headers and the counts of a service.

    Args:
        app: that answers.
        service: its limits, token and metrics.
        paths: of the routes.
        pages: paths of files, which everyone may read.
    """

    def __init__(
        self, app: ASGIApp, service: Service, paths: Iterable[str], pages: Iterable[str]
    ) -> None:
        self._app, self._service = app, service
        self._paths, self._pages = frozenset(paths) | frozenset(pages), frozenset(pages)
        self._working = 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        path = scope["path"] if scope["path"] in self._paths else OTHER
        metrics, start, status = self._service.metrics, time.perf_counter(), 0

        async def send_with_headers(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                there = {name.lower() for name, _ in message["headers"]}
                message["headers"] = [
                    *message["headers"],
                    *(
                        (n.encode(), v.encode())
                        for n, v in HEADERS.items()
                        if n.encode() not in there
                    ),
                ]
            await send(message)

        metrics.in_flight.inc()
        try:
            await self._answer(scope, receive, send_with_headers)
        except Exception:
            # The client has its line, and the log its own.
            if not status:
                raise
        finally:
            metrics.in_flight.dec()
            seconds = time.perf_counter() - start
            metrics.requests.labels(path, str(status or GONE)).inc()
            metrics.seconds.labels(path).observe(seconds)
            log.debug("%s %s %s %.3f s", scope["method"], ascii(scope["path"]), status, seconds)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        response = self._refuse(scope)
        if response is not None:
            await response(scope, receive, send)
            return
        if scope["method"] == "HEAD":
            # The server leaves the body out.
            scope = {**scope, "method": "GET"}
        if scope["path"] in AT_ONCE or scope["path"] in self._pages:
            await self._app(scope, receive, send)
            return
        limits = self._service.limits
        if self._working >= limits.queue:
            await refusal(503, "the service is busy; try again soon")(scope, receive, send)
            return
        self._working += 1
        try:
            await self._work(scope, receive, send)
        finally:
            self._working -= 1

    async def _work(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read the whole body, and answer within the time of a request."""
        seconds = None if scope["path"] in LONG else self._service.limits.seconds
        body: bytes | Response | None = None
        try:
            async with asyncio.timeout(seconds):
                body = await _read(receive, self._service.limits.body)
                if isinstance(body, bytes):
                    await self._app(scope, _replay(body, receive), send)
        except TimeoutError:
            if body is None:
                body = refusal(
                    408,
                    f"the body did not come within {seconds} seconds",
                    {"Connection": "close"},
                )
            else:
                body = refusal(
                    504,
                    f"no answer within {seconds} seconds; ask for less, or raise limit.seconds",
                )
        if not isinstance(body, bytes) and body is not None:
            await body(scope, receive, send)

    def _refuse(self, scope: Scope) -> Response | None:
        """Why a request is refused before its body is read; None if it is not."""
        service, path, headers = self._service, scope["path"], _headers(scope)
        if scope["http_version"] not in VERSIONS:
            return refusal(400, "this service speaks HTTP/1.1", {"Connection": "close"})
        if sum(len(name) + len(value) for name, value in scope["headers"]) > MOST_HEADERS:
            return refusal(
                431, f"the headers are larger than {MOST_HEADERS:,} bytes", {"Connection": "close"}
            )
        if service.is_stopping and path not in AT_ONCE:
            return refusal(503, "the service stops; ask its successor", {"Connection": "close"})
        host = headers.get("host")
        if service.token is None and host is not None and not _is_loopback(host):
            # Otherwise a page from elsewhere could give its own name this machine's address, and read the answers.
            return refusal(
                421, f"host {host[:80]!r}: this service answers to the names of this machine only"
            )
        if path in self._pages or path in OPEN:
            return None
        if service.token is not None and not _has_token(
            headers.get("authorization"), service.token
        ):
            return refusal(
                401,
                "give the token of this service, as the header Authorization: Bearer TOKEN",
                {"WWW-Authenticate": "Bearer"},
            )
        if scope["method"] != "POST":
            return None
        origin = headers.get("origin")
        # A page from elsewhere has no token; and a proxy with TLS may name another host than the page's.
        if service.token is None and origin is not None and urlsplit_host(origin) != host:
            return refusal(403, f"origin {origin[:80]!r}: pages from elsewhere may not ask")
        if path in LONG or path not in self._paths:
            return None
        kind = headers.get("content-type", "").split(";")[0].strip().lower()
        if kind != "application/json":
            return refusal(
                415, "the body must be JSON: set the header Content-Type: application/json"
            )
        length = headers.get("content-length", "")
        if length.isdecimal() and (len(length) > 18 or int(length) > service.limits.body):
            return _too_large(service.limits.body)
        return None


def _headers(scope: Scope) -> dict[str, str]:
    """The headers of a request; of one that is given twice, the last."""
    return {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}


def _has_token(given: str | None, token: str) -> bool:
    """Whether a header holds the token; the time that it takes says nothing of it."""
    scheme, _, text = (given or "").partition(" ")
    found, wanted = (
        hashlib.sha256(t.encode("latin-1", "replace")).digest() for t in (text.strip(), token)
    )
    return hmac.compare_digest(found, wanted) and scheme.lower() == "bearer"


def _is_loopback(host: str) -> bool:
    """Whether a Host header names this machine."""
    try:
        name = urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return False
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def urlsplit_host(url: str) -> str:
    """Host and port of an address; empty if it is none."""
    try:
        return urlsplit(url).netloc
    except ValueError:
        return ""


async def _read(receive: Receive, most: int) -> bytes | Response | None:
    """The whole body; a refusal if it is too large, None if the client has gone."""
    parts, size = [], 0
    while True:
        message: Any = await receive()
        if message["type"] != "http.request":
            return None
        parts.append(message.get("body", b""))
        size += len(parts[-1])
        if size > most:
            return _too_large(most)
        if not message.get("more_body", False):
            return b"".join(parts)


def _too_large(most: int) -> Response:
    return refusal(413, f"the body is larger than {most:,} bytes; send fewer items")


def _replay(body: bytes, receive: Receive) -> Receive:
    """Give a body that was read already, once."""
    is_given = False

    async def again() -> Message:
        nonlocal is_given
        if is_given:
            return await receive()
        is_given = True
        return {"type": "http.request", "body": body, "more_body": False}

    return again
